"""Neighbouring pairs joined at random, so that a model learns lines of several sentences."""

from collections.abc import Sequence
from functools import cached_property
from typing import cast

import numpy as np

from seq2seq_cli.data.alignments import Alignments, LinkedWords
from seq2seq_cli.data.sentence_arrays import Sentences
from seq2seq_cli.data.token_pairs import Mixture, TokenPairs
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.padding import Ids, Indices
from seq2seq_cli.symbols import UNK
from seq2seq_cli.tokenization.sentences import IS_UNSPACED, join_sentences
from seq2seq_cli.tokenization.tokenizer import Tokenizer

STREAM = 1  # of random numbers, apart from those that order an epoch's batches


@dataclass(frozen=True)
class SentenceJoiner:
    """Joins the ids of sentences into those of a line."""

    tokenizer: Tokenizer
    max_length: int

    def join(self, sentences: Sequence[Ids], *, keeps_words: bool) -> Ids:
        """The ids of a line of several sentences, which has the tag of the first.

        Sentences are joined by spaces, which their ids imply. In Chinese and Japanese there are
        none, unless the line `keeps_words` since they are aligned.
        """
        tags = list(self.tokenizer.tags.values())
        ids = [sentences[0], *(each[np.isin(each[:1], tags).sum() :] for each in sentences[1:])]
        line = np.concatenate(ids)
        if keeps_words or not self._has_unspaced_pieces or UNK in line:
            return line
        tag = int(np.isin(line[:1], tags).sum())
        texts = self.tokenizer.decode([ids[0][tag:].tolist(), *(each.tolist() for each in ids[1:])])
        text = join_sentences(texts)
        if text == " ".join(texts):
            return line
        encoded = [*line[:tag], *self.tokenizer.encode([text])[0]]
        return np.array(encoded, dtype=line.dtype) if len(encoded) <= self.max_length else line

    @cached_property
    def _has_unspaced_pieces(self) -> bool:
        return any(map(IS_UNSPACED.search, self.tokenizer.vocabulary))


class JoinedSentences(Sentences):
    """Runs of neighbouring sentences as one each: run k is sentences starts[k] to starts[k + 1]."""

    def __init__(
        self, sentences: Sentences, starts: Indices, joiner: SentenceJoiner, *, keeps_words: bool
    ) -> None:
        self._sentences = sentences
        self._joiner = joiner
        self._keeps_words = keeps_words
        self._starts = [*starts.tolist(), len(sentences)]
        self.arrays = sentences.arrays
        self.release = sentences.release
        # An upper bound: tags are left out when sentences are joined, and perhaps spaces.
        self.lengths = np.add.reduceat(sentences.lengths, starts)

    def __getitem__(self, index: int) -> Ids:
        rows = range(self._starts[index], self._starts[index + 1])
        sentences = [self._sentences[row] for row in rows]
        if len(sentences) == 1:
            return sentences[0]
        return self._joiner.join(sentences, keeps_words=self._keeps_words)


class JoinedAlignments(Alignments):
    """The alignments of runs of neighbouring pairs: words are counted on through a run."""

    def __init__(self, alignments: Alignments, starts: Indices) -> None:
        self._alignments = alignments
        self._starts = [*starts.tolist(), len(alignments)]
        self.source_starts_word = alignments.source_starts_word
        self.target_starts_word = alignments.target_starts_word

    def __len__(self) -> int:
        return len(self._starts) - 1

    def pair(self, row: int) -> LinkedWords:
        """The links and words of a run as those of one pair."""
        rows = range(self._starts[row], self._starts[row + 1])
        pairs = [self._alignments.pair(number) for number in rows]
        words = np.array([pair.words for pair in pairs])
        before = np.cumsum(words, axis=0) - words  # words of the pairs before, (pairs, 2)
        source, target = (
            np.concatenate([n[side] + p.divided[side] for n, p in zip(before, pairs, strict=True)])
            for side in (0, 1)
        )
        links = [first + pair.links for first, pair in zip(before, pairs, strict=True)]
        total = words.sum(axis=0).tolist()
        return LinkedWords(np.concatenate(links), (total[0], total[1]), (source, target))


@dataclass(frozen=True)
class PairJoiner:
    """Joins each pair with the one after it with a probability, drawn again in each epoch."""

    source: SentenceJoiner
    target: SentenceJoiner
    probability: float
    max_length: int  # of a joined side, in tokens

    def join(self, pairs: TokenPairs, seed: int, epoch: int) -> TokenPairs:
        """The pairs of an epoch: a function of the arguments."""
        starts = self._starts(pairs, np.random.Generator(np.random.PCG64([seed, epoch, STREAM])))
        keeps_words = pairs.alignments is not None
        source, target = (
            JoinedSentences(side, starts, joiner, keeps_words=keeps_words)
            for side, joiner in ((pairs.source, self.source), (pairs.target, self.target))
        )
        joined = TokenPairs(source, target, mixture=_mixture(pairs.mixture, starts))
        joined.sampler = pairs.sampler
        joined.form = pairs.form
        if pairs.alignments is not None:
            joined.alignments = JoinedAlignments(pairs.alignments, starts)
        return joined

    def _starts(self, pairs: TokenPairs, random: np.random.Generator) -> Indices:
        """Draw which pairs are not joined with the one before: those that a run begins with."""
        numbers = np.concatenate([np.zeros(0, np.int32), *pairs.line_numbers])
        follows = np.diff(numbers) == 1  # also not across a pair that was left out, or corpora
        begins = np.ones(len(pairs), dtype=bool)
        begins[1:] = ~(follows & (random.random(len(follows)) < self.probability))
        starts = np.flatnonzero(begins)
        lengths = np.stack([pairs.source.lengths, pairs.target.lengths])
        sums = np.add.reduceat(lengths, starts, axis=1) if len(starts) else lengths
        ends = [*starts[1:].tolist(), len(pairs)]
        for run in np.flatnonzero((sums > self.max_length).any(axis=0)).tolist():
            first = starts[run]
            for row in range(first + 1, ends[run]):
                if lengths[:, first : row + 1].sum(axis=1).max() > self.max_length:
                    begins[row], first = True, row
        return cast(Indices, np.flatnonzero(begins))


def _mixture(mixture: Mixture | None, starts: Indices) -> Mixture | None:
    """The mixture of corpora whose runs begin at these rows."""
    if mixture is None:
        return None
    ends = np.cumsum(mixture.sizes)
    sizes = np.diff(np.searchsorted(starts, ends), prepend=0)
    return Mixture(tuple(sizes.tolist()), mixture.shares)
