"""Settings of the data that a model is trained on: the section [data]."""

from typing import ClassVar, Literal

from seq2seq_cli.config.settings import MOST, Section, require, setting, toml_value
from seq2seq_cli.deferred import dataclass, pattern
from seq2seq_cli.inputs import Reading

LanguageTags = Literal["source", "both", "both-source-last"]
LANGUAGE_CODE = pattern("[A-Za-z]{2,3}([-_][A-Za-z0-9]+)*")


def check_language_code(code: str, shown: str) -> None:
    """Raise InputError, with the code as it is `shown`, unless it has the form of one or is ""."""
    require(
        not code or LANGUAGE_CODE.fullmatch(code) is not None,
        f"{shown}: a code of two or three letters is allowed, also with a region, as in en or "
        "pt-BR",
    )


@dataclass(frozen=True)
class DataConfig(Section):
    """Which sentence pairs a model is trained on. Lengths are in tokens, without BOS and EOS."""

    SECTION: ClassVar[str] = "data"

    source: tuple[str, ...] = ()
    """Source texts of the training corpora.

    Each is a file of lines, a column or field of a table, or a field of a Hugging Face data set.
    """

    target: tuple[str, ...] = ()
    """Target texts of the training corpora: text k is the translation of text k of data.source.

    If texts are marked with their language, as in de=train.de, one model learns several.
    """

    valid_source: tuple[str, ...] = ()
    """Held-out source texts, on which training is validated."""

    valid_target: tuple[str, ...] = ()
    """Translations of the held-out source texts."""

    encoding: str = ""
    """Encoding of texts that are not UTF-8, by its name in Python, such as cp1252 or gb18030.

    UTF-8 is recognised, and UTF-16 by its byte-order mark.
    """

    delimiter: str = ""
    """What divides the cells of tables, which are then read by the rules of CSV.

    It is a character, or tab, comma, semicolon or pipe. Without it, .tsv has tabs, and .csv what
    divides its first lines most evenly.
    """

    as_text: bool = False
    """Read lines of text, even if they look like a table, JSON, markup or broken text."""

    joint_vocabulary: bool = True
    """Whether both sides share one tokenizer and one vocabulary."""

    source_tokenizer: str = ""
    """Tokenizer file for the source; without one a tokenizer is learned from the data."""

    target_tokenizer: str = ""
    """Tokenizer file for the target; the same file for both sides makes a joint vocabulary."""

    alignments: tuple[str, ...] = ()
    """Word alignments of the training corpora, in Pharaoh format and with a line for each pair.

    Attention learns from them with the weight training.guided_alignment. Words are divided by ASCII
    spaces, as aligners do.

    Paper: Chen et al. 2016, Guided Alignment Training for Topic-Aware Neural Machine Translation.
    """

    max_length: int = setting(200, at_least=1)
    """Longest side of a training pair, in tokens.

    Longer pairs are left out of training; longer lines are split to be translated.
    """

    max_length_ratio: float = setting(9.0, at_least=1)
    """Greatest ratio of the longer to the shorter side of a training pair, in tokens.

    The default is that of clean-corpus-n.perl in Moses.
    """

    join_sentences: float = setting(0.0, at_least=0, below=1)
    """Probability that a pair is joined with the pair after it, drawn again in each epoch.

    The model then learns to translate lines of several sentences. Pairs are joined that follow each
    other in their corpus and together are not longer than data.max_length.
    """

    source_language: str = ""
    """Language of the source, such as en: where its sentences end, and what its abbreviations are.

    If empty, names of texts tell, as in train.en, or else the script of a line.
    """

    source_eos: bool = True
    """Whether source sentences end in EOS as the model reads them.

    Models of OpenNMT-py and others read none. Those that are trained here do.
    """

    source_prefix: str = ""
    """Pieces that stand in front of each source as the model reads it, with a space between them.

    They are written as `seq2seq tokenizer encode` prints them: `▁` for models like MADLAD-400,
    `▁translate ▁English ▁to ▁German :` for a task of T5.
    """

    language_tags: LanguageTags = "source"
    """Where the tags of languages stand, for models of several languages.

    source: the source begins with the tag of the language to translate into. both: each side begins
    with the tag of its own language, as in M2M-100, NLLB and mBART-50; translations are forced to
    begin with theirs, which is cut off. both-source-last: the source's stands behind EOS, as in the
    first version of NLLB.

    Paper: Johnson et al. 2017 (source); Fan et al. 2021, Beyond English-Centric Multilingual
    Machine Translation (both).
    """

    subword_sampling: float = setting(0.0, at_least=0, at_most=1)
    """Random segmentation: words are cut into different pieces each time a pair comes up.

    With a bpe tokenizer this is the probability that a merge is left out, usually 0.1. With a
    unigram tokenizer it is alpha, usually 0.1 to 0.5: the smaller, the more random. 0 always gives
    the same pieces. Random segmentations have more tokens, about 1.3 times as many with alpha 0.2;
    training.batch_tokens holds for their average.

    Paper: Kudo 2018, Subword Regularization; Provilkov et al. 2020, BPE-Dropout.
    """

    weights: tuple[float, ...] = setting((), above=0, at_most=MOST)
    """How often pairs of each corpus come up, relative to those of the other corpora.

    There is one weight for each corpus; none at all are equal weights. In streams a weight is for
    the corpus instead of the pair, since its size is unknown.
    """

    temperature: float = setting(1.0, at_least=1)
    """Above 1, small corpora get more than their share of an epoch; the higher, the more equal.

    Paper: Arivazhagan et al. 2019, Massively Multilingual Neural Machine Translation in the Wild.
    """

    stream: bool = False
    """Read text as it is needed instead of storing it first.

    An epoch is then one portion of the stream, of data.stream_pairs pairs.
    """

    stream_pairs: int = setting(500_000, at_least=1)
    """Pairs of a stream that are read, and shuffled among each other, at a time."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.reading  # raises InputError for an unknown encoding
        require(
            bool(self.source_tokenizer) == bool(self.target_tokenizer),
            "data.source_tokenizer and data.target_tokenizer belong together: give both or none "
            "(the same file twice for a joint vocabulary)",
        )
        require(
            self.source_eos or self.language_tags != "both-source-last",
            'data.language_tags = "both-source-last" puts tags behind EOS, and with '
            "data.source_eos = false there is none",
        )
        require(
            not self.weights or len(self.weights) == len(self.source) == len(self.target),
            f"data.weights = {toml_value(self.weights)}: one weight for each corpus is needed, and "
            f"data.source names {len(self.source)}, data.target {len(self.target)}",
        )
        require(
            not self.stream or self.temperature == 1,
            "data.temperature depends on the sizes of corpora, which are unknown for streams; give "
            "data.weights instead",
        )
        require(
            not (self.stream and self.alignments),
            "data.alignments are read as a whole; leave out data.stream, or them",
        )

    @property
    def reading(self) -> Reading:
        """How the texts are read."""
        return Reading(self.encoding, self.delimiter, self.as_text)
