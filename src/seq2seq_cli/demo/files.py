"""The demo corpus as text files."""

from pathlib import Path

from seq2seq_cli.errors import InputError
from seq2seq_cli.text import write_lines

from .splits import generate


def write_corpus(
    directory: Path,
    *,
    pairs: int = 20_000,
    seed: int = 1,
    min_words: int = 0,
    max_words: int | None = None,
) -> dict[str, int]:
    """Write train, valid and test .en and .de to a directory, which is made if it is missing.

    The settings are those of `generate`. Returns the pairs of each split. Raises InputError if the
    grammar has too few sentences of these lengths, or the directory cannot be written.
    """
    try:
        splits = generate(pairs, seed, min_words=min_words, max_words=max_words)
    except ValueError as error:
        raise InputError(str(error)) from None
    by_name = {"train": splits.train, "valid": splits.valid, "test": splits.test}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, chosen in by_name.items():
            write_lines(directory / f"{name}.en", [english for english, _ in chosen])
            write_lines(directory / f"{name}.de", [german for _, german in chosen])
    except OSError as error:
        raise InputError(f"{directory}: cannot be written: {error.strerror}") from None
    return {name: len(chosen) for name, chosen in by_name.items()}
