"""A request for a search: sources, options, and the limits of each sentence's translations."""

from collections.abc import Container, Sequence
from dataclasses import replace
from typing import Self

from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.search.prefix import ForcedPrefix
from seq2seq_cli.symbols import EOS

ForcedPrefixes = Sequence[ForcedPrefix | Sequence[int]]  # also as tokens alone


@dataclass(frozen=True)
class Sentence:
    """The limits of one sentence's translations. Lengths are in tokens, EOS counted."""

    index: int  # in the batch that was given
    min_length: int
    max_length: int
    prefix: ForcedPrefix  # what translations begin with


@dataclass(frozen=True)
class Request:
    """A batch to translate."""

    lengths: tuple[int, ...]  # B, of sources, EOS counted
    options: SearchOptions
    sentences: tuple[Sentence, ...]  # B

    @classmethod
    def of(
        cls, lengths: Sequence[int], options: SearchOptions, prefixes: ForcedPrefixes = ()
    ) -> "Request":
        """Work out the limits for sources of these lengths; `prefixes` are one for each or none."""
        forced = [
            each if isinstance(each, ForcedPrefix) else ForcedPrefix.of_tokens(each)
            for each in prefixes or [()] * len(lengths)
        ]
        sentences = (
            Sentence(
                index,
                options.min_length(length),
                options.max_length(length, prefix.longest),
                # Too short with EOS and nothing else
                prefix.without(EOS) if prefix.longest + 1 < options.min_length(length) else prefix,
            )
            for index, (length, prefix) in enumerate(zip(lengths, forced, strict=True))
        )
        return cls(tuple(lengths), options, tuple(sentences))

    @property
    def prefix_tokens(self) -> list[tuple[int, ...]] | None:
        """Tokens of the prefixes of all sentences; None if there are none."""
        prefixes = [sentence.prefix.tokens for sentence in self.sentences]
        return prefixes if any(prefixes) else None

    def within(self, lists: Sequence[Container[int]]) -> Self:
        """The request with prefixes of tokens that are on the list of their sentence."""
        sentences = (
            replace(each, prefix=each.prefix.within(listed))
            for each, listed in zip(self.sentences, lists, strict=True)
        )
        return replace(self, sentences=tuple(sentences))
