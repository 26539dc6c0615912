"""Fonts that have the characters of a figure, among those that are installed.

Matplotlib's own font has Latin, Greek, Cyrillic, Arabic and Hebrew letters. For others installed
fonts are searched, by fontconfig where that is there, and the families are given to matplotlib as
ones to fall back on.
"""

import subprocess
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

NOTO_CJK, NOTO, SYMBOLS = "fonts-noto-cjk", "fonts-noto-core", "fonts-symbola"
CJK_NAMES = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC", "FULLWIDTH")
SEARCH_SECONDS = 20
FONTS_TRIED = 40  # for a character
SHOWN = 5  # characters in a message


def families_for(text: str, usual: Sequence[str]) -> tuple[list[str], str]:
    """The families to draw a text with, the `usual` ones first, and the characters in none of them.

    Needs matplotlib.
    """
    from matplotlib import font_manager

    families = list(usual)
    own = str(font_manager.findfont(font_manager.FontProperties(family=families)))
    missing = {each for each in text if not each.isspace() and _is_drawn(each)} - _characters(own)
    without_font = ""
    while missing:
        first = min(missing)
        found = [(path, _characters(path)) for path in _fonts_with(first)]
        found = [(path, characters) for path, characters in found if first in characters]
        if not found:
            without_font += first
            missing.remove(first)
            continue
        best, characters = max(found, key=lambda font: len(font[1] & missing))
        font_manager.fontManager.addfont(best)
        families.append(font_manager.FontProperties(fname=best).get_name())
        missing -= characters
    return families, without_font


def _is_drawn(character: str) -> bool:
    """Whether a character has a picture: not if it only controls how others are drawn."""
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Cn")


def _characters(path: str) -> set[str]:
    """All characters of a font; none if it cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        return set(map(chr, FT2Font(path).get_charmap()))
    except (OSError, RuntimeError):
        return set()


def _fonts_with(character: str) -> list[str]:
    """Files of fonts that may have a character, upright sans-serif ones of usual weight first."""
    try:
        query = ["fc-list", f":charset={ord(character):x}", "file"]
        done = subprocess.run(query, capture_output=True, timeout=SEARCH_SECONDS, check=True)
        paths: Iterable[str] = (line.rstrip(": ") for line in done.stdout.decode().splitlines())
    except (OSError, subprocess.SubprocessError):
        from matplotlib import font_manager

        paths = font_manager.findSystemFonts()
    outlines = [path for path in paths if Path(path).suffix.lower() in (".ttf", ".otf", ".ttc")]
    return sorted(outlines, key=_oddness)[:FONTS_TRIED]


def _oddness(path: str) -> tuple[int, str]:
    """How unusual a font looks by the name of its file."""
    name = Path(path).stem.lower()
    odd = ("bold", "italic", "oblique", "thin", "light", "black", "mono", "serif", "condensed")
    return sum(word in name for word in odd) - ("sans" in name) - ("regular" in name), path


def missing_message(characters: str) -> str:
    """A warning about characters that no installed font has."""
    names = [unicodedata.name(each, "") for each in characters]
    packages = dict.fromkeys(map(_package, characters, names))
    shown = " ".join(characters[:SHOWN])
    return (
        f"no installed font has {len(characters):,} of the characters ({shown}), so boxes are "
        f"drawn for them; install one, as in the package {' or '.join(packages)}, or write .html, "
        "which is drawn by the fonts of the browser"
    )


def _package(character: str, name: str) -> str:
    """The package of Debian and Ubuntu whose fonts have a character."""
    if name.startswith(CJK_NAMES):
        return NOTO_CJK
    return SYMBOLS if unicodedata.category(character).startswith("S") else NOTO
