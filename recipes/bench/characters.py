"""Which characters of which languages a normalisation changes.

    python recipes/bench/characters.py [FILE]

FILE has lines of a name, TAB, text; without one it is words.tsv, words in 85 languages. Prints a
table of languages and normalisations: the parts of the text that are changed, and into what.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from seq2seq_cli.tokenization.text_form import TextForm

WORDS = Path(__file__).with_name("words.tsv")
FORMS = ("nfc", "nfkc", "nmt_nfkc")


def changes(form: TextForm, text: str) -> Iterator[tuple[str, str]]:
    """Yield the parts of a text that are changed, with what becomes of them."""
    read, origins = form.read_with_origins(text)
    ends = [*origins[1:], len(text)]
    begin = 0
    for index, (start, end) in enumerate(zip(origins, ends, strict=True)):
        if end == start:
            continue
        before, after = text[start:end], read[begin : index + 1]
        begin = index + 1
        if before != form.restore(after):
            yield before, after


def shown(text: str) -> str:
    """The text, with code points for what cannot be seen."""
    return "".join(c if c.isprintable() and c != " " else f"U+{ord(c):04X}" for c in text)


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else WORDS
    print("language", *FORMS, sep="\t")
    for line in path.read_text(encoding="utf-8").split("\n"):
        if not line:
            continue
        name, _, text = line.partition("\t")
        found = [dict.fromkeys(changes(TextForm(form), text)) for form in FORMS]
        cells = ["  ".join(f"{shown(a)}→{shown(b)}" for a, b in each) or "-" for each in found]
        print(name, *cells, sep="\t")


if __name__ == "__main__":
    main()
