"""Tokenizers trained on texts as the user names them: in the cache, or in a file of the user's.

    CACHE/KEY/tokenizer.model  a trained tokenizer
    CACHE/KEY/notes.json       the notes of its training

KEY is a hash of everything that decides the tokenizer: the texts and the settings.
"""

import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.data.cache import Cache
from seq2seq_cli.data.formats.base import BegunInput
from seq2seq_cli.data.parallel import Corpus, is_blank, no_pairs_error
from seq2seq_cli.data.sources import parse_source
from seq2seq_cli.errors import InputError
from seq2seq_cli.inputs import UTF8, Reading
from seq2seq_cli.messages import Warn, ignore_warning
from seq2seq_cli.tokenization.learning import (
    TrainedTokenizer,
    train_tokenizer,
    train_tokenizer_on_sides,
)
from seq2seq_cli.tokenization.text_form import SIDES
from seq2seq_cli.tokenization.tokenizer import Tokenizer
from seq2seq_cli.whole_files import replace_file

FORMAT = 3  # raise it when the content of an entry changes
TOKENIZER, NOTES = "tokenizer.model", "notes.json"


def train_or_load_tokenizer(
    corpora: Sequence[Corpus],
    sides: Sequence[int],
    settings: TokenizerSettings,
    cache: Cache | None,
) -> TrainedTokenizer:
    """Train a tokenizer on these sides, 0 source and 1 target, or load it from the cache.

    Raises InputError if the corpora have no sentence pair.
    """
    if cache is None:
        return _train(corpora, sides, settings)

    def make(folder: Path) -> None:
        trained = _train(corpora, sides, settings)
        replace_file(folder / TOKENIZER, trained.tokenizer.model)
        replace_file(folder / NOTES, json.dumps(trained.notes, indent=1).encode())

    key = [FORMAT, [each.digest() for each in corpora], list(sides), dataclasses.asdict(settings)]
    loaded = cache.load(key, make, _load)
    return _train(corpora, sides, settings) if loaded is None else loaded


def _load(entry: Path) -> TrainedTokenizer:
    notes = json.loads((entry / NOTES).read_text(encoding="utf-8"))
    return TrainedTokenizer(Tokenizer.load(entry / TOKENIZER), notes)


def _train(
    corpora: Sequence[Corpus], sides: Sequence[int], settings: TokenizerSettings
) -> TrainedTokenizer:
    texts = [((SIDES[side],), _lines(corpora, side)) for side in sides]
    return train_tokenizer_on_sides(texts, settings, sides=len(sides))


def _lines(corpora: Sequence[Corpus], side: int) -> Iterator[str]:
    """Yield the lines of a side of all pairs that are not blank."""
    blank = found = 0
    for corpus in corpora:
        for pair in corpus.pairs(ignore_warning):
            if is_blank(*pair):
                blank += 1
            else:
                found += 1
                yield pair[side]
    if not found:
        raise no_pairs_error(corpora, blank)


def train_tokenizer_file(
    texts: Sequence[str],
    output: Path,
    settings: TokenizerSettings,
    warn: Warn,
    reading: Reading = UTF8,
    *,
    overwrite: bool = False,
) -> TrainedTokenizer:
    """Train a tokenizer on texts, named as for `parse_source`, and write it to a file.

    Raises InputError if a text cannot be read or `output` cannot be written.
    """
    begun: dict[Path, BegunInput] = {}
    sources = [parse_source(name, reading, begun=begun) for name in texts]
    files = [source.path for source in sources if source.path is not None]
    _check_output(output, files, overwrite)
    lines = chain.from_iterable(source.lines(warn) for source in sources)
    # The texts are taken for the sides of one corpus: this many lines make a sentence pair.
    trained = train_tokenizer(lines, settings, sides=len(sources))
    try:
        replace_file(output, trained.tokenizer.model)
    except OSError as error:
        raise InputError(f"{output}: cannot be written: {error.strerror}") from None
    return trained


def _check_output(output: Path, texts: list[Path], overwrite: bool) -> None:
    """Raise InputError if the tokenizer could not be written, before it takes minutes to train."""
    if output.is_dir():
        raise InputError(f"{output} is a directory; give --output the name of a file")
    if not output.parent.is_dir():
        raise InputError(f"{output}: the directory {output.parent} does not exist")
    if not os.access(output.parent, os.W_OK):
        raise InputError(f"{output}: the directory {output.parent} is not writable")
    if not output.exists():
        return
    if any(file.exists() and file.samefile(output) for file in texts):
        raise InputError(f"{output} is both a text to learn from and the --output; choose another")
    if not overwrite:
        raise InputError(f"{output} exists; choose another --output, or add --force to replace it")
