"""Settings as frozen dataclasses, and their way from and to TOML.

A setting's default stands in its dataclass and nowhere else. Keys are strict: an unknown key or a
wrong type is an error that names the nearest valid key. The settings of an architecture are a
dataclass too, beside the architecture in `models`.
"""

import dataclasses
import difflib
import json
import math
import tomllib
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from seq2seq_cli.errors import InputError, nearby

# Source tokens searched at a time. More is no faster on a CPU, where caches of states fall out of
# the processor's own (recipes/bench/LOG.md).
SEARCH_BATCH_TOKENS = 1024
USUAL_BEAM = 5  # wider ones take smaller batches
MOST_BEAM = 1000  # beyond it is no better, and memory may not hold it
GREEDY_BATCH_TOKENS = 2048  # with one hypothesis a sentence

RUN_CONFIG = "config.toml"  # of a run folder

MOST = 10**12  # of any number: what is greater is a mistake, and may not fit where it is used

Table = dict[str, Any]  # one section of a TOML file: key -> value
Settings = TypeVar("Settings")


@dataclass(frozen=True)
class DataConfig:
    """Which sentence pairs are learned from. Lengths are in tokens, without BOS and EOS."""

    source: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    valid_source: tuple[str, ...] = ()
    valid_target: tuple[str, ...] = ()
    joint_vocabulary: bool = True  # one tokenizer for both sides
    source_tokenizer: str = ""  # a tokenizer file to use; empty: one is learned from the data
    target_tokenizer: str = ""
    alignments: tuple[str, ...] = ()  # in Pharaoh format, line by line: training.guided_alignment
    max_length: int = 200  # longer pairs are not learned from; longer input lines are split
    max_length_ratio: float = 9.0  # of the longer to the shorter side; Moses' clean-corpus uses 9
    # Cuts pairs into other tokens each time they come. With byte-pair encoding the probability that
    # a merge is left out, 0.1 in Provilkov et al. 2020; with a unigram tokenizer alpha, 0.1 to 0.5
    # in Kudo 2018, and the smaller, the more random. 0: always the same tokens. Others are more, by
    # 1.3 with alpha 0.2, and training.batch_tokens holds for their average.
    subword_sampling: float = 0.0
    weights: tuple[float, ...] = ()  # how much of an epoch each corpus gets; empty: all alike
    temperature: float = 1.0  # above 1, small corpora get more than their share of the pairs
    stream: bool = False  # text is read as it is needed and not stored; an epoch is a part of it
    stream_pairs: int = 500_000  # read, and shuffled among each other, at a time

    def __post_init__(self) -> None:
        require(
            bool(self.source_tokenizer) == bool(self.target_tokenizer),
            "data.source_tokenizer and data.target_tokenizer belong together: give both or none "
            "(the same file twice for a joint vocabulary)",
        )
        require(
            0 <= self.subword_sampling <= 1,
            f"data.subword_sampling = {self.subword_sampling}: 0 to 1 is allowed",
        )
        require(
            not self.weights or len(self.weights) == len(self.source) == len(self.target),
            f"data.weights = {toml_value(self.weights)}: a weight for each corpus is wanted, and "
            f"data.source names {len(self.source)}, data.target {len(self.target)}",
        )
        require(
            all(0 < weight <= MOST for weight in self.weights),
            f"data.weights = {toml_value(self.weights)}: numbers above 0 and up to {MOST:,} are "
            "allowed",
        )
        require(
            1 <= self.temperature < math.inf,
            f"data.temperature = {self.temperature}: 1 or more is allowed",
        )
        require(
            not self.stream or self.temperature == 1,
            "data.temperature goes by the sizes of corpora, which of a stream are not known; give "
            "data.weights instead",
        )
        require(
            not (self.stream and self.alignments),
            "data.alignments are read as a whole; leave out data.stream, or them",
        )
        require(
            self.stream_pairs >= 1,
            f"data.stream_pairs = {self.stream_pairs}: 1 or more is allowed",
        )
        require(self.max_length >= 1, f"data.max_length = {self.max_length}: 1 or more is allowed")
        require(
            self.max_length_ratio >= 1,
            f"data.max_length_ratio = {self.max_length_ratio}: 1 or more is allowed",
        )


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained. An update is one step of the optimizer; 0 as a limit means none."""

    init_from: str = ""  # a run folder whose weights training begins with
    init_sha256: str = ""  # of those weights; `train` fills it in, and refuses others
    freeze: tuple[str, ...] = ()  # parts that training leaves as they are, as "encoder"

    seed: int = 1
    # a batch: rows times its longest source or target, padding included; auto: what fits the device
    batch_tokens: int | Literal["auto"] = 4096
    accumulate: int = 1  # batches an update
    # of a batch that a CPU computes at a time, in float32 half as many, which take as much room; 0:
    # all at once
    part_tokens: int = 4096
    recompute_layers: bool = False  # for gradients, instead of being kept (Chen 2016)
    compile_layers: bool = False  # by torch.compile, which takes a minute and is for GPUs
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    learning_rate: float = 0.001  # the highest one, reached at the end of the warm-up
    schedule: Literal["inverse-sqrt", "cosine", "constant"] = "inverse-sqrt"
    warmup_updates: int = 1000
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.98
    epsilon: float = 1e-9
    clip_norm: float = 1.0  # 0: gradients are not clipped
    label_smoothing: float = 0.1
    r_drop: float = 0.0  # alpha of R-Drop (Liang 2021): two passes a batch are drawn together
    # weight of the cross-entropy of data.alignments and attention (Chen 2016), beside that of words
    guided_alignment: float = 0.0
    word_dropout: float = 0.0  # share of source and target tokens that are read as unknown ones
    ema_decay: float = (
        0.0  # of a moving average of the weights, which is then what is kept; 0: none
    )

    max_updates: int = 100_000
    max_epochs: int = 0
    max_minutes: float = 0.0
    checkpoint_every: int = 500  # updates
    validate_every: int = 500  # updates
    valid_beam: int = 1  # hypotheses kept while validation decodes; 1 is greedy
    valid_samples: int = 3  # sample translations shown at each validation

    stop_metric: Literal["loss", "bleu", "chrf"] = "bleu"  # also says which weights are best
    patience: int = 10  # validations without a better value before training stops; 0: no stop
    average: Literal["best", "last", "none"] = "best"  # which weights are averaged at the end
    average_count: int = 5
    # updates between weights put aside for "last", or for `seq2seq average`; 0: after validations
    average_every: int = 0

    def __post_init__(self) -> None:
        require(
            self.batch_tokens == "auto" or self.batch_tokens >= 1,
            f'training.batch_tokens = {self.batch_tokens}: "auto", 1 or more is allowed',
        )
        for name in (
            *("accumulate", "checkpoint_every", "validate_every"),
            *("valid_beam", "average_count"),
        ):
            value = getattr(self, name)
            require(value >= 1, f"training.{name} = {value}: 1 or more is allowed")
        for name in (
            *("seed", "max_updates", "max_epochs", "max_minutes", "patience", "warmup_updates"),
            *("weight_decay", "clip_norm", "valid_samples", "average_every"),
            *("part_tokens", "r_drop", "guided_alignment"),
        ):
            value = getattr(self, name)
            require(0 <= value < math.inf, f"training.{name} = {value}: 0 or more is allowed")
        for name in ("recompute_layers", "compile_layers"):
            require(
                not (getattr(self, name) and self.guided_alignment),
                f"training.{name} does not go with training.guided_alignment, which reads what "
                "layers then do not keep; leave one out",
            )
        for name in ("label_smoothing", "word_dropout", "ema_decay", "beta1", "beta2"):
            value = getattr(self, name)
            require(0 <= value < 1, f"training.{name} = {value}: at least 0 and below 1 is allowed")
        for name in ("learning_rate", "epsilon"):
            value = getattr(self, name)
            require(0 < value < math.inf, f"training.{name} = {value}: a number above 0 is allowed")
        require(
            self.schedule != "cosine" or self.max_updates > 0,
            'training.schedule = "cosine" falls to zero at training.max_updates, which is 0; '
            "set it, or use the schedule inverse-sqrt",
        )
        require(
            self.average_every == 0 or self.average != "best",
            f"training.average_every = {self.average_every} puts weights aside without validating "
            'them, so that none is known to be best; set training.average to "last" or "none"',
        )
        require(
            self.max_updates > 0
            or self.max_epochs > 0
            or self.max_minutes > 0
            or (self.patience > 0),
            "training would never end: set one of training.max_updates, max_epochs, max_minutes "
            "or patience",
        )
        require(
            bool(self.init_from) or not self.init_sha256,
            "training.init_sha256 says which weights training.init_from gives: set that too",
        )


def require(holds: bool, message: str) -> None:
    """Raise InputError with this message unless the condition holds."""
    if not holds:
        raise InputError(message)


def settings_from(kind: type[Settings], section: str, table: Mapping[str, Any]) -> Settings:
    """Build a settings dataclass from a TOML table.

    Raises InputError for an unknown key, with the nearest valid one, and for a value of the wrong
    type, with what is allowed.
    """
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for key in table:
        if key not in names:
            raise InputError(_unknown(f"{section}.{key}", [f"{section}.{name}" for name in names]))
    values = {key: _checked(f"{section}.{key}", table[key], hints[key]) for key in table}
    return kind(**values)


def _checked(name: str, value: object, hint: Any) -> Any:
    """The value as the type of its field, or an InputError that says which types are allowed."""
    for allowed in _alternatives(hint):
        if get_origin(allowed) is Literal:
            if any(value == choice and type(value) is type(choice) for choice in get_args(allowed)):
                return value
        elif allowed is float and type(value) in (int, float):
            return float(value)  # type: ignore[arg-type]
        elif get_origin(allowed) is tuple:
            items = value if isinstance(value, list | tuple) else [value]
            if all(_fits(item, get_args(allowed)[0]) for item in items):
                return tuple(map(get_args(allowed)[0], items))
        elif type(value) is allowed:
            require(
                not isinstance(value, int) or abs(value) <= MOST,
                f"{name} = {value}: at most {MOST:,} is allowed",
            )
            return value
    wanted = " or ".join(_describe(allowed) for allowed in _alternatives(hint))
    guess = ""
    choices = [c for a in _alternatives(hint) if get_origin(a) is Literal for c in get_args(a)]
    if isinstance(value, str) and (close := difflib.get_close_matches(value, choices, n=1)):
        guess = f'; did you mean "{close[0]}"?'
    raise InputError(f"{name} = {toml_value(value)}: {wanted} is allowed{guess}")


def _fits(value: object, hint: type) -> bool:
    """Whether a value may stand in a list of this type."""
    return type(value) in ((int, float) if hint is float else (hint,))


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _describe(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(f'"{choice}"' for choice in get_args(hint))
    if get_origin(hint) is tuple:
        return f"a list of {'numbers' if get_args(hint)[0] is float else 'strings'}"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}[hint]


def _unknown(name: str, valid: Iterable[str]) -> str:
    """The message for an unknown key."""
    valid = list(valid)
    # Keys are compared without their section, or anything of the section would be near.
    keys = {each.rpartition(".")[2]: each for each in valid}
    near = difflib.get_close_matches(name.rpartition(".")[2], keys, n=1, cutoff=0.5)
    close = [keys[key] for key in near]
    if close:
        return f"unknown setting {name}; did you mean {close[0]}?"
    return f"unknown setting {name}; allowed are {', '.join(valid)}"


def parse_toml(text: str, name: str) -> dict[str, Table]:
    """Parse a settings file into its sections. `name` is how messages call it."""
    try:
        parsed = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{name} is no valid TOML: {error}") from None
    for section, table in parsed.items():
        if not isinstance(table, dict):
            raise InputError(
                f"{name}: {section} stands outside a section; write it below [training], [model], "
                "[tokenizer] or [data]"
            )
    return parsed


def parse_assignment(assignment: str) -> tuple[str, str, object]:
    """Split `section.key=value` of --set; a value that is no TOML value is taken as a string."""
    name, equals, text = assignment.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and section and key):
        raise InputError(
            f"--set {assignment}: section.key=value is wanted, as in training.max_updates=2000"
        )
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return section, key, text.strip()
    if len(parsed) > 1:
        raise InputError(f"--set {assignment}: one setting at a time; give --set several times")
    return section, key, parsed["value"]


def merged(*layers: Mapping[str, Table]) -> dict[str, Table]:
    """Lay settings over each other, section by section; later layers win."""
    result: dict[str, Table] = {}
    for layer in layers:
        for section, table in layer.items():
            result.setdefault(section, {}).update(table)
    return result


def check_sections(tables: Mapping[str, Table], valid: Iterable[str]) -> None:
    """Raise InputError for a section that does not exist."""
    valid = list(valid)
    for section in tables:
        if section not in valid:
            raise InputError(_unknown(f"[{section}]", [f"[{name}]" for name in valid]))


def to_toml(sections: Mapping[str, Mapping[str, object]]) -> str:
    """Write sections as TOML."""
    blocks = []
    for section, table in sections.items():
        lines = [f"{key} = {toml_value(value)}" for key, value in table.items()]
        blocks.append("\n".join([f"[{section}]", *lines, ""]))
    return "\n".join(blocks)


def toml_value(value: object) -> str:
    """A setting as a settings file has it."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, str):
        # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value) if isinstance(value, bool) else repr(value)


def check_run_folder(path: Path) -> None:
    """Raise InputError if there is no run folder here, as far as that is seen without reading."""
    if (path / RUN_CONFIG).is_file():
        return
    if path.is_dir():
        raise InputError(f"{path} is no run folder: it has no {RUN_CONFIG}")
    if path.is_file():
        within = next((above for above in path.parents if (above / RUN_CONFIG).is_file()), None)
        hint = f"; name its run folder, {within}" if within else ""
        raise InputError(f"{path} is a file and no run folder{hint}")
    raise InputError(f"{path}: no such run folder{nearby(path)}")
