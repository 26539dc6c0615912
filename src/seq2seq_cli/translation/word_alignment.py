"""Alignments of words, from the attention of models to the source."""

from collections.abc import Sequence
from dataclasses import replace

from seq2seq_cli.deferred import dataclass
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.search.predictor import Predictor
from seq2seq_cli.symbols import WORD_START
from seq2seq_cli.tokenization.sentence_form import SentenceForm
from seq2seq_cli.translation.attention import attention_of
from seq2seq_cli.translation.results import Alignment


@dataclass(frozen=True)
class WordAlignment:
    """Aligned words of a sentence pair, and how many words each side has."""

    pairs: Alignment
    source_words: int
    target_words: int

    @classmethod
    def of_equal(cls, words: int) -> "WordAlignment":
        """The alignment of a text with itself."""
        return cls(tuple((word, word) for word in range(words)), words, words)

    def with_target_words(self, indices: Sequence[int]) -> "WordAlignment":
        """The alignment after words that are not aligned were inserted; indices are ascending."""
        pairs = list(self.pairs)
        for index in indices:
            pairs = [(source, target + (target >= index)) for source, target in pairs]
        return replace(self, pairs=tuple(pairs), target_words=self.target_words + len(indices))


@dataclass(frozen=True)
class AlignedSource:
    """A sentence whose translations are aligned with it."""

    text: str  # with the tag of its language
    tokens: Sequence[int]  # without EOS
    forced: Sequence[int] = ()  # the tag that its translations were forced to begin with


def align_words(
    predictor: Predictor,
    tokenizers: Tokenizers,
    sentences: Sequence[AlignedSource],
    hypotheses: Sequence[tuple[int, Sequence[int]]],
    form: SentenceForm,
) -> list[WordAlignment]:
    """Align the words of each hypothesis, given as (row of its sentence, tokens without EOS).

    Words of the source are what spaces divide in its text as it is. Every piece of a target word
    aligns it with the source word that the piece attends to most; EOS and the tag of a language are
    not words.
    """
    weights = attention_of(
        predictor,
        form,
        [sentences[row].tokens for row, _ in hypotheses],
        [tokens for _, tokens in hypotheses],
        [sentences[row].forced for row, _ in hypotheses],
    )
    alignments = []
    for index, (row, tokens) in enumerate(hypotheses):
        text, ids = sentences[row].text, sentences[row].tokens
        tags = int(ids[0] in tokenizers.source.tags.values())  # a line has one or none
        if tokenizers.source.divides_words(text):
            source_words = tokenizers.source.word_indices(text)[tags:]
        else:
            source_words = word_indices(tokenizers.source.ids_to_pieces(ids[tags:]))
        target_words = word_indices(tokenizers.target.ids_to_pieces(tokens))
        attention = weights[index][: len(target_words), tags : tags + len(source_words)]
        most = attention.argmax(axis=1).tolist()
        pairs = {(source_words[s], target_words[t]) for t, s in enumerate(most)}
        alignments.append(
            WordAlignment(tuple(sorted(pairs)), len(set(source_words)), len(set(target_words)))
        )
    return alignments


def word_indices(pieces: Sequence[str]) -> list[int]:
    """The index of the word that each piece belongs to; words are what spaces divide.

    A piece that is only a space belongs to the word after it and does not make a word itself.
    """
    indices, word, begins = [], -1, True
    for piece in pieces:
        begins = begins or piece.startswith(WORD_START)
        if not piece.strip(WORD_START):
            indices.append(word + 1)
            continue
        word += begins
        begins = False
        indices.append(word)
    return [max(0, min(index, word)) for index in indices]
