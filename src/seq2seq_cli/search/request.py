"""What a search is asked for: sources, options, and the limits of each sentence's translations."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.padding import pad
from seq2seq_cli.symbols import PAD


@dataclass(frozen=True)
class Sentence:
    """The limits of one sentence's translations. Lengths are in tokens, EOS counted."""

    index: int  # in the batch that was given
    min_length: int
    max_length: int
    prefix: Sequence[int]  # tokens that translations begin with


@dataclass(frozen=True)
class Request:
    """A batch to translate."""

    source: Tensor  # (B, S) ids
    options: SearchOptions
    sentences: tuple[Sentence, ...]  # B

    @classmethod
    def of(
        cls, source: Tensor, options: SearchOptions, prefixes: Sequence[Sequence[int]] = ()
    ) -> "Request":
        """Work out the limits of (B, S) ids; `prefixes` are one for each row, or none at all."""
        lengths = (source != PAD).sum(dim=1).tolist()
        sentences = (
            Sentence(
                index,
                options.min_length(length),
                options.max_length(length, len(prefix)),
                prefix,
            )
            for index, (length, prefix) in enumerate(
                zip(lengths, prefixes or [()] * len(lengths), strict=True)
            )
        )
        return cls(source, options, tuple(sentences))

    @property
    def prefix_tokens(self) -> Tensor | None:
        """The prefixes as (B, longest), PAD after the end of each; None if there are none."""
        prefixes = [sentence.prefix for sentence in self.sentences]
        return pad(prefixes).to(self.source.device) if any(prefixes) else None
