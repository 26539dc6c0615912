"""Compares normalisations of source text: how well a model translates text typed in other ways.

    python recipes/bench/noisy_source.py RUN --source FILE --reference FILE [--lines 300]

RUN was trained on clean text, which each normalisation reads alike, so one model serves them all.
Each line of the source is changed in one way: letters and marks apart (NFD), full-width forms,
ligatures, no-break spaces, soft hyphens, invisible characters. Prints chrF and BLEU of the
translations for each change and normalisation, greedily; `share` is the share of lines that the
change altered.
"""

import argparse
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.evaluation.scoring import score
from seq2seq_cli.tokenization.text_form import TextForm
from seq2seq_cli.translation import TranslationSettings, Translator

FORMS = ("identity", "nfc", "nfkc", "nmt_nfkc")


def full_width(line: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in line)


def ligatures(line: str) -> str:
    for letters, ligature in (("ffi", "ﬃ"), ("ff", "ﬀ"), ("fi", "ﬁ"), ("fl", "ﬂ"), ("st", "ﬆ")):
        line = line.replace(letters, ligature)
    return line


def each_fourth_space(space: str) -> Callable[[str], str]:
    def change(line: str) -> str:
        words = line.split(" ")
        spaces = [space if index % 4 == 1 else " " for index in range(len(words))]
        return "".join(word + after for word, after in zip(words, spaces, strict=True)).rstrip()

    return change


def inside_words(character: str) -> Callable[[str], str]:
    def change(line: str) -> str:
        return " ".join(f"{w[:4]}{character}{w[4:]}" if len(w) > 7 else w for w in line.split(" "))

    return change


CHANGES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "marks apart (NFD)": lambda line: unicodedata.normalize("NFD", line),
    "full-width forms": full_width,
    "ligatures": ligatures,
    "no-break spaces": each_fourth_space("\u00a0"),
    "soft hyphens": inside_words("\u00ad"),
    "zero-width spaces": inside_words("\u200b"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--lines", type=int, default=300)
    given = parser.parse_args()
    source, reference = (
        path.read_text(encoding="utf-8").split("\n")[: given.lines]
        for path in (given.source, given.reference)
    )
    settings = TranslationSettings(search=SearchOptions(beam=1), unknown="keep")
    translator = Translator.load(given.run, settings)
    print("change", "share", *FORMS, sep="\t")
    for name, change in CHANGES.items():
        lines = [change(line) for line in source]
        cells = []
        for form in FORMS:
            translator.tokenizers.source.form = replace(TextForm(), normalization=form)
            texts = [each.text for each in translator.translate(lines)]
            cells.append(shown(texts, reference))
        share = sum(a != b for a, b in zip(lines, source, strict=True)) / len(lines)
        print(name, f"{share:.0%}", *cells, sep="\t", flush=True)


def shown(texts: list[str], reference: list[str]) -> str:
    bleu, chrf = score(texts, [reference])
    return f"{chrf.value:.1f} / {bleu.value:.1f}"


if __name__ == "__main__":
    main()
