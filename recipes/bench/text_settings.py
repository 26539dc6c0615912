"""What inline casing and byte fallback gain and cost, on made-up numbers in words.

    python recipes/bench/text_settings.py FOLDER [--updates 700]

Writes a corpus of German numbers in words: lines begin with a capital, one in twenty is all in
capitals, and one in ten has a rare character, which is to be copied. Trains one tiny model with
different settings of the tokenizer and prints chrF, without regard to case, of translations of
held-out text as it is, in lower case, with capitalised words and all in capitals; the share of the
rare characters that are copied; and target tokens a second in training.
"""

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.evaluation.scoring import score
from seq2seq_cli.translation import TranslationSettings, Translator

GERMAN = "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf hundert tausend"
ENGLISH = "zero one two three four five six seven eight nine ten eleven twelve hundred thousand"
WORDS = dict(zip(GERMAN.split(" "), ENGLISH.split(" "), strict=True))
RARE = [chr(0x4E00 + 37 * number) for number in range(150)]
SETTINGS = {
    "keep": ["tokenizer.casing=keep"],
    "inline": ["tokenizer.casing=inline"],
    # As many pieces of words as above: the rare characters have none, and bytes take 256.
    "bytes": [
        "tokenizer.byte_fallback=on",
        "tokenizer.vocabulary_size=366",
        "tokenizer.character_coverage=0.995",
    ],
}
SIZES = """
[model]
architecture = "transformer"
width = 64
encoder_layers = 1
decoder_layers = 1
heads = 4
feed_forward = 128
[training]
batch_tokens = 500
learning_rate = 0.005
warmup_updates = 50
[tokenizer]
vocabulary_size = 260
"""


def pair(draw: random.Random, rare: Sequence[str]) -> tuple[str, str]:
    german = draw.choices(list(WORDS), k=draw.randint(2, 7))
    english = [WORDS[word] for word in german]
    if rare and draw.random() < 0.1:
        place, character = draw.randrange(len(german)), draw.choice(rare)
        german.insert(place, character)
        english.insert(place, character)
    source, target = " ".join(german), " ".join(english)
    if draw.random() < 0.05:
        return source.upper(), target.upper()
    return source[0].upper() + source[1:], target[0].upper() + target[1:]


def write(folder: Path, name: str, pairs: Sequence[tuple[str, str]]) -> None:
    for index, language in enumerate(("de", "en")):
        text = "".join(f"{each[index]}\n" for each in pairs)
        (folder / f"{name}.{language}").write_text(text, encoding="utf-8")


def train(folder: Path, name: str, updates: int) -> Path:
    run = folder / name
    files = [
        part
        for option, file in (
            ("--source", "train.de"),
            ("--target", "train.en"),
            ("--valid-source", "valid.de"),
            ("--valid-target", "valid.en"),
        )
        for part in (option, str(folder / file))
    ]
    (folder / "sizes.toml").write_text(SIZES)
    command = ["train", *files, "--config", str(folder / "sizes.toml"), "--output", str(run)]
    command += [
        "--restart",
        "--max-updates",
        str(updates),
        "--set",
        "training.validate_every=1000000",
    ]
    for setting in SETTINGS[name]:
        command += ["--set", setting]
    subprocess.run(
        [sys.executable, "-m", "seq2seq_cli", *command], check=True, stderr=subprocess.DEVNULL
    )
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--updates", type=int, default=700)
    parser.add_argument("--only", nargs="+", choices=SETTINGS)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(1)
    write(given.folder, "train", [pair(draw, RARE) for _ in range(4_000)])
    valid = [pair(draw, ()) for _ in range(200)]
    write(given.folder, "valid", valid)
    references = [target.lower() for _, target in valid]
    cases = {"as it is": str, "lower": str.lower, "title": str.title, "upper": str.upper}
    print("tokenizer", *cases, "rare copied", "tokens/s", sep="\t")
    for name in given.only or SETTINGS:
        run = train(given.folder, name, given.updates)
        settings = TranslationSettings(search=SearchOptions(beam=1), unknown="keep")
        translator = Translator.load(run, settings)

        def translate(lines: list[str], translator: Translator = translator) -> list[str]:
            return [each.text for each in translator.translate(lines)]

        cells = []
        for change in cases.values():
            texts = [each.lower() for each in translate([change(source) for source, _ in valid])]
            cells.append(f"{score(texts, [references], ['chrf'])[0].value:.1f}")
        copied = [
            line.count(each)
            for each, line in zip(
                RARE, translate([f"Drei {each} vier" for each in RARE]), strict=True
            )
        ]
        records = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
        speeds = sorted(
            each["tokens_per_second"] for each in records if "tokens_per_second" in each
        )
        cells += [f"{sum(map(bool, copied)) / len(RARE):.0%}", f"{speeds[len(speeds) // 2]:,.0f}"]
        print(name, *cells, sep="\t", flush=True)


if __name__ == "__main__":
    main()
