"""Dependency trees from CoNLL-U files, and where their words are in a line."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from seq2seq_cli.errors import InputError
from seq2seq_cli.messages import Warn, counted, ignore_warning
from seq2seq_cli.text import read_lines
from seq2seq_cli.tokenization.language_tags import tag_of

COLUMNS = 10
SHOWN = 20  # characters of a line in a message
LONGEST_SENTENCE = 1000  # words; a matrix of distances is its square
NO_HEAD = -1


@dataclass(frozen=True)
class Row:
    """A line of a sentence: a word, or the token that several words make, as im for "in dem"."""

    first: int  # numbers of words, from 1
    last: int
    columns: list[str]

    @property
    def form(self) -> str:
        return self.columns[1]

    @property
    def part_of_speech(self) -> str:
        return self.columns[3]

    @property
    def relation(self) -> str:
        return self.columns[7]

    @property
    def misc(self) -> dict[str, str]:
        pairs = (each.partition("=") for each in self.columns[9].split("|"))
        return {name: value for name, _, value in pairs}


@dataclass(frozen=True)
class ParsedSentence:
    """The words of a sentence and their heads."""

    words: list[Row]
    tokens: dict[int, Row]  # those of several words, by the number of the first
    heads: list[int]  # of each word the index of its head; NO_HEAD is the root's
    line: int  # where it begins in its file

    @property
    def forms(self) -> list[str]:
        return [word.form for word in self.words]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where the words are in the text of the sentence, in characters; spaces may be anywhere.

        The words of a token of several are where the token is. The text may begin with the tag of a
        language. Raises InputError if it has other words.
        """
        first = self.tokens.get(1, self.words[0]).form
        position = 0 if text.lstrip().startswith(first) else tag_of(text)[1]
        spans: list[tuple[int, int]] = []
        while len(spans) < len(self.words):
            number = len(spans) + 1
            token = self.tokens.get(number, self.words[number - 1])
            # A form may have spaces of its own, as in "1 000".
            while text[position : position + 1].isspace():
                position += 1
            if not text.startswith(token.form, position):
                there = _beginning(text[position:])
                raise InputError(f'has the word "{token.form}" where the line has "{there}"')
            spans += [(position, position + len(token.form))] * (token.last + 1 - number)
            position += len(token.form)
        if rest := text[position:].strip():
            raise InputError(f'ends before "{_beginning(rest)}", which the line has')
        return spans


def _beginning(text: str) -> str:
    """The first characters of a text, for a message."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def read_sentences(path: Path, warn: Warn = ignore_warning) -> Iterator[ParsedSentence]:
    """Yield the sentences of a CoNLL-U file; words that the text leaves out are not in them.

    Raises InputError, with the number of the line, for what is not CoNLL-U, and for a sentence that
    has no single root, a cycle, or more words than LONGEST_SENTENCE.
    """
    for number, block in _blocks(read_lines(path, warn)):
        yield _sentence(path, number, block)


def trees_of_lines(
    path: Path | None, lines: Sequence[str], name: str
) -> list[ParsedSentence | None]:
    """The tree of each line, None for a blank one; an empty list without a file.

    `name` is what messages call the text of the lines. The file may go on after the last of them.
    Raises InputError unless there is a tree with the words of each line that is not blank.
    """
    if path is None:
        return []
    filled = sum(bool(line.strip()) for line in lines)
    trees = list(islice(read_sentences(path), filled))
    if len(trees) < filled:
        raise InputError(
            f"{path} has {counted(len(trees), 'tree')} but {name} has "
            f"{counted(filled, 'line')} with text; the tree k must belong to the line k of these"
        )
    remaining = iter(trees)
    found = [next(remaining) if line.strip() else None for line in lines]
    for number, (tree, line) in enumerate(zip(found, lines, strict=True), start=1):
        if tree is not None:
            try:
                tree.spans(line)
            except InputError as error:
                raise InputError(
                    f"{path}, line {tree.line}: the tree of line {number} of {name} {error}"
                ) from None
    return found


def _blocks(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of each sentence with the number of its first line."""
    block: list[str] = []
    first = 1
    for number, line in enumerate(lines, start=1):
        if line.strip():
            first = first if block else number
            block.append(line)
        elif block:
            yield first, block
            block = []
    if block:
        yield first, block


def _sentence(path: Path, first: int, block: list[str]) -> ParsedSentence:
    words: list[Row] = []
    tokens: dict[int, Row] = {}
    for number, line in enumerate(block, start=first):
        if line.startswith("#"):
            continue
        row = _row(line, f"{path}, line {number}")
        if row is not None and "-" in row.columns[0]:
            tokens[row.first] = row
        elif row is not None:
            words.append(row)
    where = f"{path}, sentence in line {first}"
    if not words or [row.first for row in words] != list(range(1, len(words) + 1)):
        raise InputError(f"{where}: its words must be numbered 1, 2, 3 and so on")
    if len(words) > LONGEST_SENTENCE:
        raise InputError(
            f"{where} has {len(words):,} words; at most {LONGEST_SENTENCE:,} are allowed: "
            "leave it out"
        )
    if any(not row.first <= row.last <= len(words) for row in tokens.values()):
        raise InputError(
            f"{where}: a token has the words up to one that the sentence does not have"
        )
    heads = [_head(row, len(words), where) for row in words]
    _check_is_tree(heads, where)
    return ParsedSentence(words, tokens, heads, first)


def _row(line: str, where: str) -> Row | None:
    """A line in its columns; None for an empty node of an enhanced graph."""
    columns = line.split("\t")
    if len(columns) != COLUMNS:
        raise InputError(
            f"{where}: {counted(len(columns), 'column')}; CoNLL-U has {COLUMNS}, divided by tabs"
        )
    number = columns[0]
    if "." in number:
        return None
    start, _, end = number.partition("-")
    if (
        not (number.isascii() and start.isdigit() and (not end or end.isdigit()))
        or len(number) > 19
    ):
        raise InputError(
            f'{where}: "{_beginning(number)}" is not the number of a word; such as 3 or 3-4'
        )
    return Row(int(start), int(end or start), columns)


def _head(row: Row, words: int, where: str) -> int:
    """The index of a word's head, NO_HEAD for the root."""
    text = row.columns[6]
    if not (text.isascii() and text.isdigit() and len(text) < 9 and int(text) <= words):
        raise InputError(
            f'{where}: the head of word {row.first} is "{_beginning(text)}"; allowed are 0 to '
            f"{words}"
        )
    return int(text) - 1


def _check_is_tree(heads: list[int], where: str) -> None:
    roots = heads.count(NO_HEAD)
    if roots != 1:
        raise InputError(f"{where} has {roots} roots; a tree has one word with head 0")
    safe: set[int] = {NO_HEAD}
    for start in range(len(heads)):
        path: list[int] = []
        node = start
        while node not in safe:
            path.append(node)
            if len(path) > len(heads):
                raise InputError(f"{where}: the heads of its words run in a circle")
            node = heads[node]
        safe.update(path)
