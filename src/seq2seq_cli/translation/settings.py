"""How runs translate, as one frozen object."""

from typing import Literal

from seq2seq_cli.config.data import check_language_code
from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.config.settings import Section, setting
from seq2seq_cli.deferred import dataclass

Alignments = Literal["off", "if-possible", "required"]
Unknown = Literal["copy", "keep"]
Precision = Literal["auto", "float32", "bfloat16", "int8"]
SplitSentences = Literal["auto", "on", "off"]

# Stands for the search of the author of an imported run, if it is this very object: options that
# were given explicitly are taken as they are, also where they equal the defaults.
DEFAULT_SEARCH = SearchOptions()


@dataclass(frozen=True)
class TranslationSettings(Section):
    """How runs are loaded and lines translated.

    The defaults are those of `seq2seq translate`, except that it chooses the number of workers.
    Raises InputError for a value that is not allowed.
    """

    search: SearchOptions = DEFAULT_SEARCH
    """Beam, n-best, penalties, length limits, sampling. Without any, an imported run translates
    as its author's settings say."""

    weights: tuple[float, ...] = ()
    """A number above 0 for each run of an ensemble; empty: all runs have the same weight."""

    target_language: str = ""
    """The language of lines without a tag such as <2de>, for runs with several languages."""

    split_sentences: SplitSentences = "auto"
    """Whether lines of several sentences are translated sentence by sentence. auto: if the run was
    trained on lines of one sentence."""

    source_language: str = ""
    """Language of the lines, such as en, by whose rules sentences end, and which runs with tags on
    both sides translate from. If empty, what the settings of the run say, or else the script of a
    line."""

    alignments: Alignments = "off"
    """Whether candidates have alignments of words. They need attention to the source: without it,
    "if-possible" leaves them out and "required" raises InputError."""

    unknown: Unknown = "copy"
    """Text that the run has no pieces for: with "copy" it replaces the word that attends to it
    most, with "keep" the model's own words stay."""

    precision: Precision = "auto"
    """The type of matrix products. auto: float32 on CPUs, bfloat16 on GPUs that have it."""

    shortlist: bool = False
    """Choose only among likely translations of the words of a line, as the first run lists them."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps; auto: CUDA if there is a GPU, else MPS, else the CPU."""

    batch_tokens: int | None = setting(None, at_least=1)
    """Source tokens searched at a time, padding included; None: what is fastest for the beam."""

    workers: int = setting(1, at_least=1)
    """Batches searched side by side. All use the threads that the process has for CPU work;
    `share_threads` divides these among workers, as the command does."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_language_code(self.source_language, f"source language {self.source_language}")

    @classmethod
    def assignment(cls, name: str, value: object) -> str:
        """How messages write a setting with its value, as in `workers=2`."""
        return f"{name}={value!r}"
