"""Compares the attention of models with gold alignments, and writes the report of attentions.sh.

    python recipes/attentions_report.py FOLDER SCORE...

FOLDER holds, for each score and scope, a run, its translations and their score, and the corpus with
its trees. Ends with exit code 1 if what attentions.sh states does not hold.
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from reports import finish, table, training_speed

from seq2seq_cli.text import read_lines
from seq2seq_cli.translation import Translator
from seq2seq_cli.translation.word_alignment import AlignedSource, align_words

SCOPES = ("global", "local-m", "local-p")
BLIND = "location-base"  # whose weights depend on positions alone
SEEING = ("additive", "general", "multi-head")
ROUNDS = 3
Links = set[tuple[int, int]]


def own_links(translator: Translator, sources: list[str], targets: list[str]) -> list[Links]:
    """The source word that each target word attends to most, reading the reference."""
    tokenizers = translator.tokenizers
    source_ids, target_ids = tokenizers.source.encode(sources), tokenizers.target.encode(targets)
    found: list[Links] = []
    for index, (text, ids) in enumerate(zip(sources, source_ids, strict=True)):
        [aligned] = align_words(
            translator.predictor,
            tokenizers,
            [AlignedSource(text, ids)],
            [(0, target_ids[index])],
            translator.form,
        )
        found.append(set(aligned.pairs))
    return found


def error_rate(found: list[Links], gold: list[Links]) -> float:
    """The alignment error rate (Och and Ney 2003) where all gold links are sure."""
    both = sum(len(own & links) for own, links in zip(found, gold, strict=True))
    return 1 - 2 * both / (sum(map(len, found)) + sum(map(len, gold)))


def lines_per_second(translators: dict[str, Translator], lines: list[str]) -> dict[str, float]:
    """The speed of translating: medians of rounds in which the models take turns."""
    taken: dict[str, list[float]] = {name: [] for name in translators}
    for _ in range(ROUNDS):
        for name, translator in translators.items():
            begin = time.perf_counter()
            translator.translate(lines)
            taken[name].append(time.perf_counter() - begin)
    return {name: len(lines) / statistics.median(each) for name, each in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("scores", nargs="+")
    options = parser.parse_args()
    folder: Path = options.folder
    sources, targets, gold_lines = (
        list(read_lines(folder / "corpus" / f"test.{end}", print)) for end in ("en", "de", "align")
    )
    gold = [
        {(int(i), int(j)) for i, j in (link.split("-") for link in line.split())}
        for line in gold_lines
    ]
    names = [
        f"{score}-{scope}"
        for scope in SCOPES
        for score in options.scores
        if score != BLIND or scope == SCOPES[0]  # others do not go with it
    ]
    translators = {name: Translator.load([folder / name]) for name in names}
    speeds = lines_per_second(translators, sources[:200])
    figures: dict[str, Any] = {}
    for name in names:
        bleu = json.loads((folder / f"{name}.score.json").read_text(encoding="utf-8"))[0]
        figures[name] = {
            "bleu": bleu["value"],
            "signature": bleu["signature"],
            "alignment_error_rate": error_rate(
                own_links(translators[name], sources, targets), gold
            ),
            "training_tokens_per_second": training_speed(folder / name),
            "lines_per_second": speeds[name],
        }
    rows = [["score", "scope", "BLEU", "alignment error rate", "training, target tokens/s",
             "lines/s"]]  # fmt: skip
    for name, each in figures.items():
        scope = next(scope for scope in SCOPES if name.endswith(f"-{scope}"))
        rows.append(
            [name.removesuffix(f"-{scope}"), scope, f"{each['bleu']:.2f}",
             f"{each['alignment_error_rate']:.1%}", f"{each['training_tokens_per_second']:,.0f}",
             f"{each['lines_per_second']:,.1f}"]
        )  # fmt: skip
    report = [
        "# Ways to attend", "", *table(rows),
        f"BLEU: {figures[names[0]]['signature']}. Alignment error rate: the source word that "
        "each word of the reference attends to most, against the links of the grammar. Lines/s: "
        f"float32, beam 5, medians of {ROUNDS} alternating rounds. torch {torch.__version__}, "
        f"Python {platform.python_version()}, {torch.get_num_threads()} threads.", "",
        "What each looked at, for the same sentence:", "",
    ]  # fmt: skip
    report += [line for name in names for line in (f"{name}: ![{name}]({name}.png)", "")]
    rates = {score: figures[f"{score}-global"]["alignment_error_rate"] for score in options.scores}
    missed = [
        f"{score} aligns no better than {BLIND}: {rates[score]:.1%} and {rates[BLIND]:.1%}"
        for score in SEEING
        if score in rates and rates[score] >= rates.get(BLIND, 1.0)
    ]
    finish(folder, report, figures, missed)


if __name__ == "__main__":
    main()
