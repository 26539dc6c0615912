"""Puts made-up names and numbers into the demo corpus: those of the test set are not in training.

    python recipes/copying_corpus.py FROM TO

FROM holds the demo corpus. A first name becomes a made-up one, such as Velimor, and some lines get
a number of four digits, the same on both sides; pairs with neither are left out. TO gets the files
of FROM, and test.made-up: for each line the made-up words, which a translation has to have.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from random import Random

from seq2seq_cli.demo.function_words import NAMES
from seq2seq_cli.text import read_lines, write_lines

TRAINING_NAMES, TEST_NAMES = 20_000, 400  # so many that hardly one is a piece of its own
SYLLABLES = [c + v for c in "bdfghklmnprstvwz" for v in "aeiou"]
ENDINGS = ["n", "r", "l", "s", "x", "k", "m", ""]
NUMBERED = 0.4  # of the lines


def made_up_names(random: Random, count: int) -> list[str]:
    """Different names of two or three syllables."""
    found: dict[str, None] = {}
    while len(found) < count:
        syllables = [random.choice(SYLLABLES) for _ in range(random.choice((2, 3)))]
        found["".join(syllables).capitalize() + random.choice(ENDINGS)] = None
    return list(found)


def with_made_up(
    pair: tuple[str, str], random: Random, names: Sequence[str], numbers: Sequence[str]
) -> tuple[str, str, list[str]]:
    """The pair with other names and perhaps a number, and these words."""
    source, target = pair
    used = []
    for known in NAMES:
        if re.search(rf"\b{known.english}\b", source):
            chosen = random.choice(names)
            source = re.sub(rf"\b{known.english}\b", chosen, source)
            target = re.sub(rf"\b{known.german}(s?)\b", rf"{chosen}\1", target)
            used.append(chosen)
    if random.random() < NUMBERED:
        chosen = random.choice(numbers)
        source, target = f"No. {chosen}: {source}", f"Nr. {chosen}: {target}"
        used.append(chosen)
    return source, target, used


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    random = Random(5)
    names = made_up_names(random, TRAINING_NAMES + TEST_NAMES)
    numbers = [str(number) for number in range(1000, 10_000)]
    random.shuffle(numbers)
    known = names[:TRAINING_NAMES], numbers[: len(numbers) // 2]
    unseen = names[TRAINING_NAMES:], numbers[len(numbers) // 2 :]
    for split, (own_names, own_numbers) in {
        "train": known, "valid": known, "test": unseen,
    }.items():  # fmt: skip
        sides = (read_lines(options.corpus / f"{split}.{side}", print) for side in ("en", "de"))
        made = [
            with_made_up(pair, random, own_names, own_numbers) for pair in zip(*sides, strict=True)
        ]
        made = [each for each in made if each[2]]
        write_lines(options.output / f"{split}.en", [source for source, _, _ in made])
        write_lines(options.output / f"{split}.de", [target for _, target, _ in made])
        if split == "test":
            write_lines(options.output / "test.made-up", [" ".join(used) for _, _, used in made])


if __name__ == "__main__":
    main()
