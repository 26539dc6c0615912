"""Times training by sequence length and writes the report of bottleneck.sh.

    python recipes/bottleneck_report.py FOLDER CORPUS...

FOLDER/CORPUS contains, for each architecture, its run, `.score.json` and `.info.json`. Ends with
exit code 1 if the result that bottleneck.sh states is not reached.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from reports import ARCHITECTURES, finish, last_validation, table

from seq2seq_cli.devices import prepare
from seq2seq_cli.evaluation.plots import figures
from seq2seq_cli.evaluation.scoring import Bucket, Score
from seq2seq_cli.models import TranslationModel
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.training.cross_entropy import cross_entropy

LENGTHS = (10, 20, 40, 80, 160)  # tokens per sentence
BATCH_TOKENS = 1280
ROUNDS = 5
SHORT, LONG = 10, 16  # words: at most, at least
LEAST_GAP = 0.1  # between the shares of BLEU that attention-rnn and rnn keep


def seconds_of_step(model: TranslationModel, length: int) -> float:
    """Time a forward and a backward pass over BATCH_TOKENS target tokens."""
    rows = BATCH_TOKENS // length
    source = torch.randint(4, model.source_embedding.num_embeddings, (rows, length))
    target = torch.randint(4, model.target_embedding.num_embeddings, (rows, length + 1))
    begin = time.perf_counter()
    hidden = model(source, target[:, :-1])
    loss, _ = cross_entropy(hidden, model.output.weight, target[:, 1:], 0.1)
    loss.backward()  # type: ignore[no-untyped-call]
    model.zero_grad()
    return time.perf_counter() - begin


def training_speeds(models: dict[str, TranslationModel]) -> dict[str, list[float]]:
    """Return target tokens/s of each model at each of LENGTHS: medians of alternating rounds."""
    seconds: dict[str, list[list[float]]] = {name: [[] for _ in LENGTHS] for name in models}
    for round_ in range(ROUNDS + 1):
        for index, length in enumerate(LENGTHS):
            for name, model in models.items():
                taken = seconds_of_step(model, length)
                if round_ > 0:  # the first round warms up
                    seconds[name][index].append(taken)
    return {
        name: [
            BATCH_TOKENS // n * n / statistics.median(t) for n, t in zip(LENGTHS, each, strict=True)
        ]
        for name, each in seconds.items()
    }


def read_buckets(path: Path) -> list[Bucket]:
    record = json.loads(path.read_text(encoding="utf-8"))
    [buckets] = record["by_length"].values()
    return [Bucket(**b | {"scores": [Score(**s) for s in b["scores"]]}) for b in buckets]


def share_kept(buckets: list[Bucket]) -> float:
    """Return the BLEU of long sentences over that of short ones, buckets weighted by lines."""

    def mean(chosen: list[Bucket]) -> float:
        return sum(b.lines * b.scores[0].value for b in chosen) / sum(b.lines for b in chosen)

    short = [bucket for bucket in buckets if bucket.most <= SHORT]
    return mean([bucket for bucket in buckets if bucket.least >= LONG]) / mean(short)


def corpus_section(folder: Path, figures_of: dict[str, Any]) -> list[str]:
    """Return the section on one corpus; its numbers are added to `figures_of`."""
    buckets = {name: read_buckets(folder / f"{name}.score.json") for name in ARCHITECTURES}
    figures.save(figures.length_figure(buckets), folder / "length.png")
    totals = [["architecture", "parameters", "BLEU", "minutes", "target tokens", "share kept"]]
    for name in ARCHITECTURES:
        total = json.loads((folder / f"{name}.score.json").read_text())["scores"][0]
        last = last_validation(folder / name)
        parameters = json.loads((folder / f"{name}.info.json").read_text())["parameters"]
        figures_of[name] = {
            "parameters": parameters,
            "bleu": total["value"],
            "confidence": total["confidence"],
            "signature": total["signature"],
            "minutes": last["seconds"] / 60,
            "target_tokens": last["target_tokens"],
            "share_kept": share_kept(buckets[name]),
            "by_length": [
                {"words": [b.least, b.most], "lines": b.lines, "bleu": b.scores[0].value,
                 "confidence": b.scores[0].confidence}
                for b in buckets[name]
            ],
        }  # fmt: skip
        totals.append(
            [name, f"{parameters / 1e6:.2f} M", f"{total['value']:.2f} ± {total['confidence']:.2f}",
             f"{last['seconds'] / 60:.0f}", f"{last['target_tokens'] / 1e6:.2f} M",
             f"{figures_of[name]['share_kept']:.2f}"]
        )  # fmt: skip
    by_length = [["source words", "lines", *ARCHITECTURES]]
    for row in zip(*buckets.values(), strict=True):
        cells = [f"{b.scores[0].value:.1f} ± {b.scores[0].confidence or 0:.1f}" for b in row]
        by_length.append([f"{row[0].least}-{row[0].most}", str(row[0].lines), *cells])
    pictures = [f"![{name}]({folder.name}/{name}.attention.png)" for name in ARCHITECTURES[1:]]
    return [
        f"## {folder.name}", "", *table(totals),
        f"Share kept: BLEU of sentences of {LONG} words or more over that of {SHORT} or fewer.",
        f"BLEU: {figures_of['rnn']['signature']}", "", *table(by_length),
        f"![BLEU by length]({folder.name}/length.png)", "",
        f"![Curves]({folder.name}/curves.png)", "",
        "What each looked at, for the same sentence:", "", *pictures, "",
    ]  # fmt: skip


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("folder", type=Path)
parser.add_argument("corpora", nargs="+")
arguments = parser.parse_args()
prepare(None)
numbers: dict[str, Any] = {"torch": torch.__version__, "threads": torch.get_num_threads()}
report = ["# The bottleneck of a fixed-length context", ""]
missed = []
for corpus in arguments.corpora:
    numbers[corpus] = {}
    report += corpus_section(arguments.folder / corpus, numbers[corpus])
    gap = numbers[corpus]["attention-rnn"]["share_kept"] - numbers[corpus]["rnn"]["share_kept"]
    if gap < LEAST_GAP:
        missed.append(f"{corpus}: attention-rnn keeps {gap:.2f} more than rnn, not {LEAST_GAP}")

first = arguments.folder / arguments.corpora[0]
models = {name: RunFolder(first / name).load_model().train() for name in ARCHITECTURES}
numbers["training_speed"] = {"lengths": LENGTHS, **training_speeds(models)}
report += ["## Training speed by sequence length", ""]
report += table(
    [["tokens per sentence", *map(str, LENGTHS)]]
    + [[name, *(f"{v:,.0f}" for v in numbers["training_speed"][name])] for name in ARCHITECTURES]
)
report += [
    f"Target tokens/s, forward and backward, batches of {BATCH_TOKENS:,} tokens, median of "
    f"{ROUNDS} alternating rounds; {numbers['threads']} threads, torch {numbers['torch']}.",
    "",
]
finish(arguments.folder, report, numbers, missed)
