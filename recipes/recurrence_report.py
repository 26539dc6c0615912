"""Writes the report of recurrence.sh, with its pictures, from what it counted and timed.

    python recipes/recurrence_report.py FOLDER

Ends with exit code 1 if what recurrence.sh states does not hold.
"""

import argparse
import json
import platform
from pathlib import Path
from typing import Any

import torch
from reports import ARCHITECTURES, finish, last_validation, table

from seq2seq_cli.evaluation.plots import figures

RECURRENT = ARCHITECTURES[:2]
LEAST_GROWTH = 10  # of the chain of a recurrent model, from the shortest sentences to the longest

FAR, LEAST_RATIO = 16, 2  # pieces back, and how many times the gradient of attention-rnn is kept


def far_share(gradient: dict[str, Any]) -> float:
    """The gradient FAR pieces back, relative to the nearest piece's."""
    share: float = gradient["share"][gradient["distance"].index(FAR)]
    return share


def count_section(counts: dict[str, Any]) -> list[str]:
    lengths = list(counts[ARCHITECTURES[0]])
    parts = ["## Counted from the models", ""]
    for key, title, scale, unit in (
        ("training_chain", "Training: products that wait for one another", 1, ""),
        ("translating_chain", "Translating: products that wait for one another", 1, ""),
        ("operations_per_token", "Training: operations for each target token", 1e6, " M"),
    ):
        rows = [[title, *(f"{length} tokens" for length in lengths)]]
        for name in ARCHITECTURES:
            values = [counts[name][length][key] / scale for length in lengths]
            rows.append([name, *(f"{value:,.0f}{unit}" for value in values)])
        parts += table(rows)
    return [
        *parts,
        "The longest way through the graph of a step, products of matrices counted: a machine with "
        "any number of processors must take so many one after the other. In training all target "
        "tokens are known, so only recurrence waits; in translating each token waits for the one "
        "before, whatever the architecture.",
        "",
    ]


def of(speeds: list[dict[str, Any]], **wanted: Any) -> list[dict[str, Any]]:
    return [s for s in speeds if all(s[key] == value for key, value in wanted.items())]


def speed_section(speeds: list[dict[str, Any]]) -> list[str]:
    parts = ["## Target tokens/s", ""]
    for work, unit in (("training", "tokens in a batch"), ("translating", "lines together")):
        for size in sorted({s["size"] for s in of(speeds, work=work)}):
            lengths = sorted({s["length"] for s in speeds})
            title = f"{work}, {size:,} {unit if size > 1 else 'line alone'}"
            rows = [[title, "threads", *(f"{length} tokens" for length in lengths)]]
            for name in ARCHITECTURES:
                for threads in sorted({s["threads"] for s in speeds}):
                    found = of(speeds, work=work, size=size, architecture=name, threads=threads)
                    by_length = {s["length"]: s["tokens_per_second"] for s in found}
                    cells = [f"{by_length[length]:,.0f}" for length in lengths]
                    rows.append([name, str(threads), *cells])
            parts += table(rows)
    return parts


def speed_figure(speeds: list[dict[str, Any]], path: Path) -> None:
    drawing = figures.figure(10, 4)
    axes = drawing.subplots(1, 2)
    threads = max(s["threads"] for s in speeds)
    for axis, work in zip(axes, ("training", "translating"), strict=True):
        size = max(s["size"] for s in of(speeds, work=work))
        for name in ARCHITECTURES:
            found = of(speeds, work=work, size=size, architecture=name, threads=threads)
            axis.plot(
                [s["length"] for s in found],
                [s["tokens_per_second"] for s in found],
                marker="o",
                label=name,
            )
        unit = "tokens in a batch" if work == "training" else "lines together"
        axis.set(
            title=f"{work}, {size:,} {unit}",
            xlabel="tokens per sentence",
            ylabel=f"target tokens/s, {threads} threads",
            xscale="log",
            ylim=(0, None),
        )
        ticks = sorted({s["length"] for s in speeds})
        axis.set_xticks(ticks, [str(each) for each in ticks])
        axis.minorticks_off()
        axis.legend()
    figures.save(drawing, path, print)


def memory_figure(memory: dict[str, Any], path: Path) -> None:
    drawing = figures.figure(10, 4)
    left, right = drawing.subplots(1, 2)
    for name in ARCHITECTURES:
        accuracy = memory[name]["agreement"]
        left.plot(range(len(accuracy)), [100 * a for a in accuracy.values()], "o-", label=name)
        gradient = memory[name]["gradient"]
        right.plot(gradient["distance"], gradient["share"], "o-", label=name)
    left.axhline(50, color="grey", linestyle=":", label="chance")
    left.set_xticks(range(len(accuracy)), list(accuracy))
    left.set(
        title="Agreement of the last verb",
        xlabel="words from the subject to the verb",
        ylabel="right form likelier, %",
    )
    left.legend()
    distances = memory[ARCHITECTURES[0]]["gradient"]["distance"]
    right.set(
        title="Effective context",
        xlabel="target pieces before the verb, from",
        ylabel="gradient, share of the nearest piece's",
        xscale="log",
        yscale="log",
    )
    right.set_xticks(distances, [str(each) for each in distances])
    right.minorticks_off()
    right.legend()
    figures.save(drawing, path, print)


def memory_section(memory: dict[str, Any]) -> list[str]:
    distances = list(memory[ARCHITECTURES[0]]["agreement"])
    rows = [["right form likelier", *(f"{each} words" for each in distances)]]
    for name in ARCHITECTURES:
        rows.append([name, *(f"{100 * memory[name]['agreement'][d]:.0f} %" for d in distances)])
    gradient = [["gradient, pieces before", *map(str, memory["rnn"]["gradient"]["distance"])]]
    for name in ARCHITECTURES:
        gradient.append([name, *(f"{each:.3f}" for each in memory[name]["gradient"]["share"])])
    english, german, wrong = memory["examples"][distances[1]]
    return [
        "## How far back they look", "", *table(rows),
        f"For example: {english} {german} Or, wrongly: … {wrong.rpartition(' ')[2]}", "",
        *table(gradient),
        "The gradient of the verb's log-probability with respect to the vectors of the target "
        "pieces before it, as mean norms from each distance to the next, relative to the nearest.",
        "", "![Agreement and effective context](memory.png)", "",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    counts, speeds, memory = (
        json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("count", "speed", "memory")
    )
    missed = []
    for name in ARCHITECTURES:
        chains = [each["training_chain"] for each in counts[name].values()]
        if name in RECURRENT and chains[-1] < LEAST_GROWTH * chains[0]:
            missed.append(f"{name}: the chain of products grows only from {chains[0]} to {chains}")
        if name not in RECURRENT and chains[-1] != chains[0]:
            missed.append(f"{name}: the chain of products grows from {chains[0]} to {chains[-1]}")
    for name in ARCHITECTURES:
        shown, *_, farthest = memory[name]["agreement"].values()
        if farthest >= shown:
            missed.append(f"{name}: agrees in {farthest:.0%} far away and in {shown:.0%} nearby")
    own, others = (far_share(memory[name]["gradient"]) for name in ("transformer", "attention-rnn"))
    if own < LEAST_RATIO * others:
        missed.append(f"{FAR} pieces back transformer keeps {own:.3f}, attention-rnn {others:.3f}")
    speed_figure(speeds, folder / "speed.png")
    memory_figure(memory, folder / "memory.png")
    validations = {name: last_validation(folder / name) for name in ARCHITECTURES}
    report = [
        "# Recurrence: what must wait, and how far back a model looks", "",
        *table(
            [["architecture", "validation BLEU", "target tokens", "minutes"]]
            + [
                [n, f"{v['bleu']:.2f}", f"{v['target_tokens'] / 1e6:.2f} M",
                 f"{v['seconds'] / 60:.1f}"]
                for n, v in validations.items()
            ]
        ),
        *count_section(counts), *speed_section(speeds), "![Speed](speed.png)", "",
        *memory_section(memory),
        f"torch {torch.__version__}, Python {platform.python_version()}.", "",
    ]  # fmt: skip
    figures_of = {"counts": counts, "speeds": speeds, "memory": memory}
    finish(folder, report, figures_of, missed)


if __name__ == "__main__":
    main()
