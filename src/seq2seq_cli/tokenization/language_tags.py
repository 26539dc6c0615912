"""Tags such as <2de> at the beginning of a source line: the language to translate it into.

Johnson et al. 2017, "Google's Multilingual Neural Machine Translation System". The form >>deu<< of
OPUS-MT is read too. For models in which each side has the tag of its own language, a second tag may
follow: the language that the line is in.
"""

import re
from collections.abc import Container

from seq2seq_cli.config.tokenizer import LANGUAGE

# At the beginning of a line
TAG = re.compile(rf"\s*(?:<2({LANGUAGE})>(?:\s+|$)|>>({LANGUAGE})<<\s*)")
TAG_STARTS = ("<2", ">>")
FOREIGN_TAG = re.compile(rf">>({LANGUAGE})<<")


def language_tag(language: str) -> str:
    """The tag of a language, as in <2de>."""
    return f"<2{language}>"


def foreign_language(piece: str) -> str:
    """The language of a piece such as >>deu<<, or "" for any other piece."""
    found = FOREIGN_TAG.fullmatch(piece)
    return found[1] if found else ""


def tag_of(line: str) -> tuple[str, int]:
    """The language of the tag that a line begins with, and where the text after it begins.

    The language is "" if there is no tag.
    """
    found = TAG.match(line)
    return (found[1] or found[2], found.end()) if found else ("", 0)


def language_of(line: str) -> str:
    """The language that the tag of a line chooses, or "" if the line has no tag."""
    return tag_of(line)[0]


def split_tag(line: str) -> tuple[str, str]:
    """Split a line into its tag, with a space, and the rest. The tag is "" if there is none."""
    language, start = tag_of(line)
    return (f"{language_tag(language)} ", line[start:]) if language else ("", line)


def with_language(line: str, language: str) -> str:
    """The line behind the tag of a language; as it is if that is "" or the line is blank."""
    return f"{language_tag(language)} {line}" if language and line.strip() else line


def split_languages(
    line: str, into: Container[str] | None = None, of: Container[str] | None = None
) -> tuple[str, str, str]:
    """Split a line with up to two tags: the language to translate into, its own, and the text.

    A language is "" if there is no tag of it, or none of a language that is known, if these are
    given. Without the first tag there is no second.
    """
    target, start = tag_of(line)
    if not target or (into is not None and target not in into):
        return "", "", line
    text = line[start:]
    own, start = tag_of(text)
    if not own or (of is not None and own not in of):
        return target, "", text
    return target, own, text[start:]
