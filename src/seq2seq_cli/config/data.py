"""Settings of the data that a model is trained on: the section [data]."""

import math
from dataclasses import dataclass

from seq2seq_cli.config.settings import MOST, require, toml_value


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
