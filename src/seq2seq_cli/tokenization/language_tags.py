"""Tags such as <2de> at the beginning of a source line: the language to translate it into.

The form >>deu<< of OPUS-MT is read too.

Johnson et al. 2017, "Google's Multilingual Neural Machine Translation System".
"""

import re

from seq2seq_cli.config.tokenizer import LANGUAGE

# At the beginning of a line; the language is in one of the two groups.
TAG = re.compile(rf"\s*<2({LANGUAGE})>(?:\s+|$)")
FOREIGN_TAG = re.compile(rf">>({LANGUAGE})<<")


def language_tag(language: str) -> str:
    """The tag of a language, as in <2de>."""
    return f"<2{language}>"


def foreign_language(piece: str) -> str:
    """The language of a piece such as >>deu<<, or "" for any other piece."""
    found = FOREIGN_TAG.fullmatch(piece)
    return found[1] if found else ""


def language_of(line: str) -> str:
    """The language that the tag of a line chooses, or "" if the line has no tag."""
    found = TAG.match(line)
    return found[1] if found else ""


def split_tag(line: str) -> tuple[str, str]:
    """Split a line into its tag, with a space, and the rest. The tag is "" if there is none."""
    found = TAG.match(line)
    return (f"{language_tag(found[1])} ", line[found.end() :]) if found else ("", line)
