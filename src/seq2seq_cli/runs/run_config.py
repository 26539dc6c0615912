"""The settings of a run, and config.toml, which holds them in the run folder."""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import MODEL_CONFIGS, ModelConfig, Vocabulary, model_config
from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.config.settings import (
    Section,
    Table,
    check_sections,
    merged,
    parse_toml,
    require,
    setting,
    settings_from,
    to_toml,
    with_todays_names,
)
from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.errors import InputError
from seq2seq_cli.runs.layout import (
    JOINT_TOKENIZER,
    RUN_CONFIG,
    SOURCE_TOKENIZER,
    TARGET_TOKENIZER,
    check_run_folder,
)
from seq2seq_cli.runs.origin import Origin
from seq2seq_cli.whole_files import replace_file

if TYPE_CHECKING:
    from seq2seq_cli.runs.tokenizers import Tokenizers

SECTIONS = ("data", "tokenizer", "model", "training")
KEYS = {  # section -> the names of its settings, those of all architectures in [model]
    "data": {each.name for each in dataclasses.fields(DataConfig)},
    "tokenizer": {each.name for each in dataclasses.fields(TokenizerSettings)},
    "model": {each.name for kind in MODEL_CONFIGS.values() for each in dataclasses.fields(kind)},
    "training": {each.name for each in dataclasses.fields(TrainingConfig)},
}
TOKENIZERS_OF_BEFORE = {
    "source_normalization": "nmt_nfkc",
    "target_normalization": "nmt_nfkc",
    "byte_fallback": "off",
}
# Sections of config.toml that are not settings; those from "corpus" on may be missing.
RECORDED = ("vocabulary", "sha256", "corpus", "origin", "search")
ONE_SENTENCE = 0.05  # lines are of one sentence if fewer than this share have several


@dataclass(frozen=True)
class RunConfig:
    """The settings of a run: what the user chose, completed with all defaults."""

    data: DataConfig
    tokenizer: TokenizerSettings
    model: ModelConfig
    training: TrainingConfig
    # Settings, as section.key, that the preset auto chooses once the text is read; until then they
    # have any value.
    open_settings: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        dropouts = ", ".join(f"model.{name}" for name in self.model.DROPOUTS)
        require(
            not self.training.r_drop or self.model.drops or self.training.word_dropout > 0,
            f"training.r_drop = {self.training.r_drop} draws two passes together that drop other "
            f"things, and nothing is dropped; set one of {dropouts} and training.word_dropout "
            "above 0",
        )
        require(
            not (self.training.r_drop and self.model.copy_attention),
            "training.r_drop draws two distributions over the vocabulary together, and "
            "model.copy_attention mixes another one in; leave out one of them",
        )
        require(
            not self.model.copy_attention
            or self.data.joint_vocabulary
            or bool(self.data.source_tokenizer or self.training.init_from),
            "model.copy_attention copies pieces, which both sides must have in common; set "
            "data.joint_vocabulary = true",
        )
        require(
            not (self.data.source_tokenizer and self.training.add_pieces)
            and not (self.data.source_tokenizer and self.training.add_languages),
            "training.add_pieces and training.add_languages extend the vocabulary of "
            "training.init_from, and tokenizers are given with data.source_tokenizer; leave out "
            "one or the other",
        )
        require(
            bool(self.training.guided_alignment) == bool(self.data.alignments),
            "training.guided_alignment, a weight above 0, and data.alignments, files in Pharaoh "
            "format, belong together: give both or none",
        )

    @classmethod
    def from_tables(
        cls, tables: Mapping[str, Table], open_settings: frozenset[str] = frozenset()
    ) -> "RunConfig":
        """Read the four sections. Raises InputError for what is unknown or does not fit."""
        check_sections(tables, SECTIONS)
        _check_sections_of_keys(tables)
        return cls(
            data=settings_from(DataConfig, "data", tables.get("data", {})),
            tokenizer=settings_from(TokenizerSettings, "tokenizer", tables.get("tokenizer", {})),
            model=model_config(tables.get("model", {})),
            training=settings_from(TrainingConfig, "training", tables.get("training", {})),
            open_settings=open_settings,
        )

    def with_chosen(self, chosen: Mapping[str, Table]) -> "RunConfig":
        """The settings with values for some of the open ones."""
        names = {f"{section}.{key}" for section, table in chosen.items() for key in table}
        return RunConfig.from_tables(merged(self.tables(), chosen), self.open_settings - names)

    def values(self) -> dict[str, object]:
        """All settings as section.key, without those that are still open."""
        return {
            name: value
            for section, table in self.tables().items()
            for key, value in table.items()
            if (name := f"{section}.{key}") not in self.open_settings
        }

    def tables(self) -> dict[str, Table]:
        """The settings as the sections of a TOML file."""
        return {section: dataclasses.asdict(getattr(self, section)) for section in SECTIONS}


@dataclass(frozen=True)
class CorpusFacts(Section):
    """Facts about the training text of a run: the section [corpus]."""

    SECTION: ClassVar[str] = "corpus"

    several_sentences: float = setting(0.0, at_least=0, at_most=1)
    """Share of the source lines that have several sentences, in a sample."""

    def has_single_sentences(self, data: DataConfig) -> bool:
        """Whether the model learned from lines of one sentence, so that it knows no others."""
        return self.several_sentences < ONE_SENTENCE and not data.join_sentences


@dataclass(frozen=True)
class RunFacts:
    """The facts that config.toml records beside settings and tokenizers."""

    corpus: CorpusFacts | None = None  # runs from before it was recorded have none
    origin: Origin | None = None  # of an imported run
    # How to translate unless told otherwise: options of `SearchOptions`, as its author chose them.
    search: Table = field(default_factory=dict)

    def tables(self) -> dict[str, Table]:
        """The facts as the sections of a TOML file."""
        found = {"corpus": self.corpus, "origin": self.origin}
        tables = {name: dataclasses.asdict(each) for name, each in found.items() if each}
        return tables | ({"search": self.search} if self.search else {})


def _check_sections_of_keys(tables: Mapping[str, Table]) -> None:
    """Raise InputError for a setting that only other sections have, and name those."""
    for section, table in tables.items():
        for key in table:
            owners = [name for name in SECTIONS if key in KEYS[name]]
            if owners and section not in owners:
                meant = " or ".join(f"{name}.{key}" for name in owners)
                raise InputError(f"unknown setting {section}.{key}; did you mean {meant}?")


class ConfigFile:
    """Reads and writes config.toml of one run: settings, and facts about tokenizers and corpus.

    The file is read each time, and parsed again if it has changed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / RUN_CONFIG
        self._parsed: tuple[bytes, dict[str, Table]] = b"", {}
        self._settings: tuple[bytes, RunConfig] | None = None

    def write(self, config: RunConfig, tokenizers: "Tokenizers", facts: RunFacts) -> None:
        """Write the settings, sizes and hashes of the tokenizers, and facts about the run."""
        vocabulary = dataclasses.asdict(tokenizers.vocabulary)
        # File names as TOML keys are quoted, since they contain a dot.
        hashes = {f'"{name}"': each.sha256 for name, each in tokenizers.files().items()}
        recorded: dict[str, Table] = {"vocabulary": vocabulary, "sha256": hashes}
        text = to_toml({**config.tables(), **recorded, **facts.tables()})
        replace_file(self.path, text.encode())

    def is_of_a_run(self) -> bool:
        """Whether a run, of any version of this program, wrote the file."""
        try:
            tables = parse_toml(self.path.read_text(encoding="utf-8"), RUN_CONFIG)
        except (OSError, UnicodeDecodeError, InputError):
            return False
        return {"model", "training", "sha256"} <= tables.keys()

    def settings(self) -> RunConfig:
        """Read the settings. Raises InputError if this is not a run folder or they are damaged."""
        tables = self._tables()
        content, _ = self._parsed
        if self._settings is None or self._settings[0] != content:
            with self._named_in_errors():
                found = RunConfig.from_tables({name: tables[name] for name in SECTIONS})
            self._settings = content, found
        return self._settings[1]

    def vocabulary(self) -> Vocabulary:
        """Read the sizes of the vocabularies. Raises InputError as `settings` does."""
        table = self._tables()["vocabulary"]
        with self._named_in_errors():
            for key in ("source", "target", "joint"):
                require(key in table, f"vocabulary.{key} is missing")
            return settings_from(Vocabulary, "vocabulary", table)

    def facts(self) -> RunFacts:
        """Read the facts about the run. Raises InputError as `settings` does."""
        tables = self._tables()
        with self._named_in_errors():
            search = tables.get("search", {})
            settings_from(SearchOptions, "search", search)
            return RunFacts(
                settings_from(CorpusFacts, "corpus", tables["corpus"])
                if "corpus" in tables
                else None,
                settings_from(Origin, "origin", tables["origin"]) if "origin" in tables else None,
                search,
            )

    def hashes(self) -> dict[str, str]:
        """Read the SHA-256 of each tokenizer file. Raises InputError as `settings` does."""
        hashes = self._tables()["sha256"]
        require(
            set(hashes) in ({JOINT_TOKENIZER}, {SOURCE_TOKENIZER, TARGET_TOKENIZER}),
            f"{self.path} is damaged: its section [sha256] is incomplete",
        )
        return hashes

    def _tables(self) -> dict[str, Table]:
        check_run_folder(self.folder)
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read: {error.strerror or error}") from None
        if not content or content != self._parsed[0]:
            self._parsed = content, self._parse(content)
        return {name: dict(table) for name, table in self._parsed[1].items()}

    def _parse(self, content: bytes) -> dict[str, Table]:
        try:
            tables = parse_toml(content.decode(), str(self.path))
        except UnicodeDecodeError:
            raise InputError(f"{self.path} is damaged: it is not UTF-8 text") from None
        sections = (*SECTIONS, *RECORDED)
        with self._named_in_errors():
            check_sections(tables, sections)
            for section in sections[: sections.index("corpus")]:
                require(section in tables, f"its section [{section}] is missing")
        # Runs from before the setting was there were validated with 13a, whatever their script.
        tables["training"].setdefault("bleu_tokenize", "13a")
        # Older tokenizers have their normalisation in SentencePiece's own rules.
        for key, value in TOKENIZERS_OF_BEFORE.items():
            tables["tokenizer"].setdefault(key, value)
        return with_todays_names(tables)

    @contextmanager
    def _named_in_errors(self) -> Iterator[None]:
        """Let errors about the content begin with the name of the file."""
        try:
            yield
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from None
