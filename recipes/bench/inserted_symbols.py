"""Counts the emojis within lines that `translate` puts into the translation, and shows where.

    python recipes/bench/inserted_symbols.py RUN --source FILE [--lines 300]

RUN has no piece for the emoji. One is put between two words of each line, drawn at random. Prints
the lines with their greedy translations, and how many of them have the emoji.
"""

import argparse
import random
from pathlib import Path

from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.translation import TranslationSettings, Translator

SYMBOL = "\U0001f600"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--lines", type=int, default=300)
    given = parser.parse_args()
    draw = random.Random(1)
    lines = []
    for line in given.source.read_text(encoding="utf-8").split("\n")[: given.lines]:
        words = line.split()
        place = draw.randrange(1, len(words) - 1) if len(words) > 2 else 1
        lines.append(" ".join([*words[:place], SYMBOL, *words[place:]]))
    translator = Translator.load(given.run, TranslationSettings(search=SearchOptions(beam=1)))
    found = translator.translate(lines)
    for each in found:
        print(each.source, each.text, sep="\n", end="\n\n")
    print(f"{sum(SYMBOL in each.text for each in found):,} of {len(found):,} lines")


if __name__ == "__main__":
    main()
