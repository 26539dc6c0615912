"""The demo corpus as text files, and its trees and alignments."""

from pathlib import Path

from seq2seq_cli.errors import InputError
from seq2seq_cli.text import write_lines

from .splits import DemoSplits, generate
from .trees import trees

TREES = ("en.conllu", "de.conllu", "align")  # endings of the files beside the text


def write_corpus(
    directory: Path,
    *,
    pairs: int = 20_000,
    seed: int = 1,
    min_words: int = 0,
    max_words: int | None = None,
    with_trees: bool = False,
) -> dict[str, int]:
    """Write train, valid and test .en and .de to a directory, which is made if it is missing.

    The settings are those of `generate`. `with_trees` also writes the dependency trees of both
    sides to .en.conllu and .de.conllu, and the word alignments to .align, in Pharaoh format; the
    text is the same. Without it such files of an earlier corpus are removed.

    Returns the pairs of each split. Raises InputError if the grammar has too few sentences of these
    lengths, or the directory cannot be written.
    """
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory} is a file; name a folder for the corpus")
    try:
        splits = generate(
            pairs, seed, min_words=min_words, max_words=max_words, keep_sentences=with_trees
        )
    except ValueError as error:
        raise InputError(str(error)) from None
    by_name = {"train": splits.train, "valid": splits.valid, "test": splits.test}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, chosen in by_name.items():
            write_lines(directory / f"{name}.en", [english for english, _ in chosen])
            write_lines(directory / f"{name}.de", [german for _, german in chosen])
            if with_trees:
                _write_trees(directory, name, splits)
            else:  # those of other text would be taken for those of this one
                for end in TREES:
                    (directory / f"{name}.{end}").unlink(missing_ok=True)
    except OSError as error:
        place = error.filename or directory
        raise InputError(f"{place}: cannot be written: {error.strerror}") from None
    return {name: len(chosen) for name, chosen in by_name.items()}


def _write_trees(directory: Path, name: str, splits: DemoSplits) -> None:
    chosen = getattr(splits, name)
    blocks = trees(name, (splits.sentences[english] for english, _ in chosen))
    files = [directory / f"{name}.{end}" for end in TREES]
    with (
        files[0].open("w", encoding="utf-8", newline="\n") as source,
        files[1].open("w", encoding="utf-8", newline="\n") as target,
        files[2].open("w", encoding="utf-8", newline="\n") as links,
    ):
        for english, german, alignment in blocks:
            source.write(english)
            target.write(german)
            links.write(alignment + "\n")
