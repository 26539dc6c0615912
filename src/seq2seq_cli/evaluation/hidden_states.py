"""Hidden states of every layer and attention of every head, for pairs of sentences.

    from seq2seq_cli.evaluation.hidden_states import StateReader, hidden_states

    reader = StateReader.load("runs/en-de")
    for states in hidden_states(reader, [("A man rides a bicycle.", None)]):
        print(states.source_pieces, states.source_states["layer-1"].shape)

The model runs in PyTorch, a sentence at a time, so that nothing depends on other sentences.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from seq2seq_cli.errors import InputError
from seq2seq_cli.kernels.arrays import Floats
from seq2seq_cli.models import TranslationModel, capture_attention
from seq2seq_cli.padding import split_by_tokens
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.search.prefix import ForcedPrefix
from seq2seq_cli.symbols import BOS, WORD_START
from seq2seq_cli.tokenization.language_tags import tag_of
from seq2seq_cli.tokenization.tokenizer import WORD, Span, Tokenizer
from seq2seq_cli.translation.languages import TaggedLine
from seq2seq_cli.translation.settings import TranslationSettings
from seq2seq_cli.translation.translator import Translator
from seq2seq_cli.translation.word_alignment import word_indices

WINDOW_PAIRS = 64  # searched together

Pair = tuple[str, str | None]  # a line, and its translation or None for the model's own
NO_WORD = -1
NOWHERE = (0, 0)


@dataclass(frozen=True)
class SentenceStates:
    """States and attention of all layers, for a sentence and its translation.

    The pieces are what encoder and decoder read, in that order: EOS ends the source, BOS begins the
    target. What was computed when the decoder read a piece predicts the piece after it.

    Names of layers are "embedding" (with positions, as the first layer reads it), "layer-1" and so
    on, and "output" where something comes after the last layer, such as a norm. The last one is
    what the decoder attends to, and what the projection to the vocabulary reads.
    """

    source_pieces: list[str]
    target_pieces: list[str]
    source_states: dict[str, Floats]  # name of the layer -> (source pieces, width), float32
    target_states: dict[str, Floats]  # name of the layer -> (target pieces, width)
    source_attention: Floats | None  # (layers, heads, source pieces, source pieces); None: no such
    target_attention: Floats | None  # (layers, heads, target pieces, target pieces)
    cross_attention: Floats | None  # (layers, heads, target pieces, source pieces)
    source_words: list[str] = field(default_factory=list)
    target_words: list[str] = field(default_factory=list)
    # The index of the word that each piece belongs to; NO_WORD for BOS, EOS and tags
    source_word_indices: list[int] = field(default_factory=list)
    target_word_indices: list[int] = field(default_factory=list)
    source_text: str = ""  # the line as it was given
    target_text: str = ""
    # Where each piece is in the text, in characters, from begin to end; (0, 0) for BOS, EOS, tags,
    # and for a translation of pieces that the tokenizer would not cut it into.
    source_spans: list[Span] = field(default_factory=list)
    target_spans: list[Span] = field(default_factory=list)

    def arrays(self) -> dict[str, Floats]:
        """All arrays by the names that files have for them, as "source/layer-1".

        Attention is (pairs of pieces, layers, heads): for each piece that looks, row by row, what
        it looks at, as in `weights.reshape(len(target_pieces), len(source_pieces), layers, heads)`.
        """
        sides: Mapping[str, Mapping[str, Floats]] = {
            "source": self.source_states,
            "target": self.target_states,
        }
        named = {f"{side}/{name}": each for side in sides for name, each in sides[side].items()}
        attention = {
            "source/attention": self.source_attention,
            "target/attention": self.target_attention,
            "cross/attention": self.cross_attention,
        }
        for name, weights in attention.items():
            if weights is not None:
                layers, heads = weights.shape[:2]
                named[name] = weights.transpose(2, 3, 0, 1).reshape(-1, layers, heads)
        return named


@dataclass(frozen=True)
class StateReader:
    """A translator, and the model of the same vocabulary whose states are read."""

    translator: Translator
    model: TranslationModel  # in evaluation mode

    @classmethod
    def load(cls, run: str | Path, settings: TranslationSettings | None = None) -> "StateReader":
        """Load a run folder. Raises InputError as `Translator.load` does."""
        settings = settings or TranslationSettings(device="cpu")
        return cls(Translator.load(run, settings), RunFolder(Path(run)).load_model())

    def names(self) -> list[str]:
        """The names of all arrays that the model has, as `SentenceStates.arrays` returns them."""
        empty = _Sentence("", self.translator.languages.read(""), [], [], "")
        return list(_states(self, empty).arrays())


def hidden_states(
    reader: StateReader, pairs: Iterable[Pair], names: Iterable[str] | None = None
) -> Iterator[SentenceStates]:
    """Yield the states of each pair, in order; a translation that is None is searched.

    Pairs are taken as they are needed, some of them ahead. Raises InputError for a line or
    translation longer than the model reads, and for a line without the language that the model
    needs to know. `names` are what it calls the pairs; without them, line 1, line 2 and so on.
    """
    named = (f"line {number}" for number in count(1)) if names is None else iter(names)
    remaining = iter(pairs)
    while window := list(islice(remaining, WINDOW_PAIRS)):
        sentences = [_read(reader.translator, pair, next(named)) for pair in window]
        _search(reader.translator, sentences)
        for sentence in sentences:
            yield _states(reader, sentence)


@dataclass
class _Sentence:
    """A pair in tokens."""

    line: str
    tagged: TaggedLine
    source: list[int]  # without EOS
    target: list[int] | None  # without BOS, EOS and tags; None: to be searched
    translation: str | None


def _read(translator: Translator, pair: Pair, name: str) -> _Sentence:
    line, translation = pair
    tagged = translator.languages.read(line)
    tokenizers = translator.tokenizers
    source = tokenizers.source.encode([tagged.text])[0]
    target = None if translation is None else tokenizers.target.encode([translation])[0]
    for side, ids in ((name, source), (f"the target of {name}", target or ())):
        if len(ids) > translator.max_length:
            raise InputError(
                f"{side} has {len(ids):,} tokens, the model reads {translator.max_length:,}; "
                "shorten it, or leave it out"
            )
    if tagged.fault and source:
        raise InputError(f"{name} {tagged.fault}")
    if not source and target is None:
        target = []  # blank lines stay blank
    return _Sentence(line, tagged, source, target, translation)


def _search(translator: Translator, sentences: Sequence[_Sentence]) -> None:
    """Translate what has no target yet."""
    rest = sorted(
        (each for each in sentences if each.target is None), key=lambda each: -len(each.source)
    )
    if not rest:
        return
    lengths = np.array([len(each.source) + 1 for each in rest])
    for batch in split_by_tokens(lengths, translator.batch_budget()):
        searched = rest[batch]
        prefixes = [ForcedPrefix().behind(*each.tagged.forced) for each in searched]
        found = translator.predictor.search(
            [translator.form.row(each.source) for each in searched],
            translator.settings.search,
            prefixes if any(prefixes) else (),
        )
        for each, hypotheses in zip(searched, found, strict=True):
            best = hypotheses[0].without_first(len(each.tagged.forced))
            each.target = list(best.tokens)


@torch.inference_mode()
def _states(reader: StateReader, sentence: _Sentence) -> SentenceStates:
    """Run the model over one pair."""
    translator, model = reader.translator, reader.model
    tokenizers = translator.tokenizers
    assert sentence.target is not None
    source_ids = translator.form.row(sentence.source)
    target_ids = [BOS, *sentence.tagged.forced, *sentence.target]
    device = next(model.parameters()).device
    source, target = (torch.tensor([ids], device=device) for ids in (source_ids, target_ids))
    states = model.layer_states(source, target)
    cross = None
    if model.attends_to_source:
        with capture_attention(model) as captured:
            model(source, target)
        cross = _stacked([torch.cat(calls, dim=2) for calls in captured])  # a call for each token
    source_text = _source_text(translator, sentence)
    target_text = _target_text(tokenizers.target, sentence, len(target_ids))
    return SentenceStates(
        source_pieces=tokenizers.source.ids_to_pieces(source_ids),
        target_pieces=tokenizers.target.ids_to_pieces(target_ids),
        source_states={name: _array(each[0]) for name, each in states.source.items()},
        target_states={name: _array(each[0]) for name, each in states.target.items()},
        source_attention=_stacked(states.source_attention),
        target_attention=_stacked(states.target_attention),
        cross_attention=cross,
        source_words=source_text.words,
        target_words=target_text.words,
        source_word_indices=source_text.word_indices,
        target_word_indices=target_text.word_indices,
        source_text=source_text.text,
        target_text=target_text.text,
        source_spans=source_text.spans,
        target_spans=target_text.spans,
    )


@dataclass(frozen=True)
class _PiecesInText:
    """A text, its words, and for each piece that a model reads its word and where it is."""

    text: str
    words: list[str]
    word_indices: list[int]  # NO_WORD for what is not text
    spans: list[Span]  # NOWHERE for what is not text


def _source_text(translator: Translator, sentence: _Sentence) -> _PiecesInText:
    """The line, and the pieces that the encoder reads in it."""
    tokenizer, tagged = translator.tokenizers.source, sentence.tagged.text
    words, indices = _words(tokenizer, tagged, sentence.source)
    # The row may end with the tag, or lack EOS; of a blank line it is EOS.
    in_row = translator.form.of_row(sentence.source, np.array(indices, dtype=np.int64) + 1)
    indices = [index - 1 for index in in_row.tolist()] or [NO_WORD]
    # The text of the source may have been given another tag; it ends as the line does.
    shift = len(tagged) - len(sentence.line)
    spans = [
        NOWHERE if end <= shift else (max(0, begin - shift), end - shift)
        for begin, end in tokenizer.spans(tagged)
    ]
    in_row = translator.form.of_row(sentence.source, np.arange(1, len(spans) + 1))
    spans = [([NOWHERE, *spans])[index] for index in in_row.tolist()] or [NOWHERE]
    return _PiecesInText(sentence.line, words, indices, spans)


def _target_text(tokenizer: Tokenizer, sentence: _Sentence, pieces: int) -> _PiecesInText:
    """The translation, and the pieces that the decoder reads in it: so many, the last of them."""
    assert sentence.target is not None
    text = sentence.translation
    if text is None:
        [text] = tokenizer.decode([sentence.target])
    words, indices = _words(tokenizer, text, sentence.target)
    before = pieces - len(indices)
    spans = [NOWHERE] * pieces
    if tokenizer.encode([text])[0] == sentence.target:
        spans[before:] = tokenizer.spans(text)
    return _PiecesInText(text, words, [NO_WORD] * before + indices, spans)


def _array(tensor: Tensor) -> Floats:
    array: Floats = tensor.float().cpu().numpy()
    return array


def _stacked(layers: Sequence[Tensor]) -> Floats | None:
    """(L, H, Q, S) of weights (1, H, Q, S) of each layer; None without layers."""
    return _array(torch.cat(list(layers))) if layers else None


def _words(tokenizer: Tokenizer, text: str, ids: Sequence[int]) -> tuple[list[str], list[int]]:
    """The words of a text, which spaces divide, and the one that each of its tokens belongs to.

    A tag at the beginning of the text is not a word.
    """
    tags = int(bool(ids) and ids[0] in tokenizer.tags.values())
    pieces = tokenizer.ids_to_pieces(ids[tags:])
    words = WORD.findall(text, tag_of(text)[1] if tags else 0)
    if tokenizer.divides_words(text):
        indices = tokenizer.word_indices(text)[tags:]
    else:
        indices = word_indices(pieces)
    if len(indices) != len(pieces) or max(indices, default=-1) != len(words) - 1:
        # Text that a model wrote, which the tokenizer would cut in another way.
        indices = word_indices(pieces)
        words = ["" for _ in range(max(indices, default=-1) + 1)]
        for piece, index in zip(pieces, indices, strict=True):
            words[index] += piece.removeprefix(WORD_START)
    return words, [NO_WORD] * tags + indices
