"""Probes the runs of geometry.sh and writes its report.

    python recipes/geometry_report.py FOLDER TREES

FOLDER has the run of each architecture and its `.score.json`. Ends with exit code 1 if the result
that geometry.sh states is not reached.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from reports import ARCHITECTURES, finish, table

from seq2seq_cli.devices import prepare
from seq2seq_cli.evaluation.hidden_states import StateReader
from seq2seq_cli.evaluation.model_info import ModelInfo
from seq2seq_cli.evaluation.plots import figures
from seq2seq_cli.evaluation.plots.geometry_figures import layers_figure, senses_figure, tree_figure
from seq2seq_cli.evaluation.probes.report import (
    ProbeReport,
    Sample,
    chosen_sentence,
    compare,
    sample,
    untrained,
)
from seq2seq_cli.evaluation.probes.senses import ambiguous_words
from seq2seq_cli.evaluation.probes.treebank import Tree, read_trees

CHECKED = ("conv", "transformer")
LEAST_MARGIN = 0.05
RANK = 32


def probed(folder: Path, name: str, trees: list[Tree]) -> ProbeReport:
    """Probe a run, and draw a tree and the word whose senses are the most different in number."""
    run = folder / name
    reader = StateReader.load(run)
    read = sample(reader, trees)
    report = compare(read, sample(untrained(reader, run), trees), name, len(trees), RANK)
    shown = chosen_sentence(read)
    layer = report.best().layer
    vectors = shown.layers[layer] @ report.projections[layer]
    figures.save(
        tree_figure(shown.tree, vectors, f"{name}, {layer}"), folder / f"{name}.tree.png", print
    )
    draw_senses(read, name, folder)
    return report


def draw_senses(read: Sample, name: str, folder: Path) -> None:
    """Draw the held-out occurrences of the word that has most of them in the rarer senses."""
    words = ambiguous_words([each.tree for each in read.train], [each.tree for each in read.test])
    if not words:
        return
    word = max(words, key=lambda w: w.held_out - max(map(len, w.test.values())))
    layers = [read.layers[0], read.layers[len(read.layers) // 2], read.layers[-1]]
    panels = {
        layer: {
            sense: np.stack([read.test[number].layers[layer][node] for number, node in places])
            for sense, places in word.test.items()
        }
        for layer in layers
    }
    figures.save(senses_figure(word.form, panels), folder / f"{name}.senses.png", print)


def section(report: ProbeReport) -> list[str]:
    """The table of an architecture, and its pictures."""
    rows = [["layer", "UUAS", "Spearman", "UUAS, untrained", "UUAS, random map", "senses",
             "senses, untrained"]]  # fmt: skip
    for each in report.layers:
        values = (
            each.tree.uuas, each.tree.spearman, each.untrained_tree.uuas,
            each.random_projection.uuas, each.senses.accuracy, each.untrained_senses.accuracy,
        )  # fmt: skip
        rows.append([each.layer, *(f"{value:.3f}" for value in values)])
    name = report.run
    pictures = [f"![Tree and states]({name}.tree.png)", ""]
    if report.ambiguous:
        pictures += [f"![Senses]({name}.senses.png)", ""]
    return [f"## {name}", "", *table(rows), *pictures]


def overview(folder: Path, reports: dict[str, ProbeReport]) -> list[str]:
    """Sizes, BLEU and the best layer of each, with the baselines that need no model."""
    rows = [["architecture", "parameters", "BLEU", "best layer", "UUAS", "Spearman", "senses"]]
    for name, report in reports.items():
        bleu = json.loads((folder / f"{name}.score.json").read_text())[0]["value"]
        best = report.best()
        senses = max(each.senses.accuracy for each in report.layers)
        size = ModelInfo.of_run(folder / name).count
        rows.append(
            [name, f"{size / 1e6:.2f} M", f"{bleu:.1f}", best.layer, f"{best.tree.uuas:.3f}",
             f"{best.tree.spearman:.3f}", f"{senses:.3f}"]
        )  # fmt: skip
    first = reports[ARCHITECTURES[0]]
    order = first.linear_order
    rows.append(["order of words", "", "", "", f"{order.uuas:.3f}", f"{order.spearman:.3f}", ""])
    rows.append(["most frequent sense", *[""] * 5, f"{first.most_frequent_sense:.3f}"])
    return table(rows)


def attention_section(reports: dict[str, ProbeReport]) -> list[str]:
    rows = [["weights of", "related or not", "which relation"]]
    for name, report in reports.items():
        for kind, score in (("", report.attention), (", untrained", report.untrained_attention)):
            if score:
                rows.append([name + kind, f"{score.related:.3f}", f"{score.relation:.3f}"])
    last = reports[ARCHITECTURES[-1]]
    order = last.linear_order_attention
    rows.append(["order of words alone", f"{order.related:.3f}", f"{order.relation:.3f}"])
    rows.append(["always the most frequent", "0.500", f"{order.most_frequent:.3f}"])
    return ["## Attention", "", *table(rows)]


def behaves_as_in_the_paper(reports: dict[str, ProbeReport]) -> list[str]:
    """Where the best layer is: in the papers, trees are clearest in the middle of 12 layers."""
    lines = []
    for name, report in reports.items():
        scores = [each.tree.uuas for each in report.layers]
        best = report.best().layer
        where = "in between, as in the paper"
        if best == report.layers[0].layer:
            where = "below all layers: none adds to what words and positions say"
        elif scores.index(max(scores)) >= len(scores) - 2:
            where = "at the top; BERT's is in the middle of its 12 layers"
        lines.append(f"- {name}: trees are clearest in {best}, {where}.")
    return ["## Layers", "", *lines, ""]


def missed(reports: dict[str, ProbeReport]) -> list[str]:
    """The results of geometry.sh that are not reached."""
    margins: dict[str, float] = {}
    for name in CHECKED:
        report = reports[name]
        best = report.best()
        margins[f"{name}, UUAS above untrained"] = best.tree.uuas - best.untrained_tree.uuas
        margins[f"{name}, UUAS above a random map"] = best.tree.uuas - best.random_projection.uuas
        margins[f"{name}, UUAS above the order of words"] = (
            best.tree.uuas - report.linear_order.uuas
        )
        if report.attention and report.untrained_attention:
            margins[f"{name}, attention above untrained"] = (
                report.attention.related - report.untrained_attention.related
            )
    for what, margin in margins.items():
        print(f"{what}: {margin:+.3f}")
    return [
        f"{what} by {m:.3f}, not {LEAST_MARGIN}" for what, m in margins.items() if m < LEAST_MARGIN
    ]


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("folder", type=Path)
parser.add_argument("trees", type=Path)
arguments = parser.parse_args()
prepare(None)
folder: Path = arguments.folder
trees = read_trees(arguments.trees, print)
found = {name: probed(folder, name, trees) for name in ARCHITECTURES}
drawing = layers_figure(
    {name: [each.tree.uuas for each in report.layers] for name, report in found.items()},
    {"order of words": found["rnn"].linear_order.uuas},
    "UUAS",
)
figures.save(drawing, folder / "layers.png", print)
first = found["rnn"]
lines = [
    "# What each layer knows of syntax", "",
    f"Structural probes of rank {RANK}, trained on {first.sentences:,} sentences of the demo "
    f"grammar and measured on {first.held_out:,} others. A word's state is the mean of its pieces' "
    "states. UUAS: share of the tree's edges found; Spearman: correlation of distances; senses: "
    "accuracy of the nearest centroid, mean over words. The best layer is chosen on the sentences "
    "it is measured on.", "",
    *overview(folder, found), "![UUAS by layer](layers.png)", "",
    *attention_section(found), *behaves_as_in_the_paper(found),
]  # fmt: skip
for report in found.values():
    lines += section(report)
lines += [f"Words with several senses: {', '.join(first.ambiguous) or 'none'}", ""]
failures = missed(found)
lines += ["## Checks", "", *(f"- missed: {each}" for each in failures or ["none"]), ""]
records: dict[str, Any] = {name: json.loads(report.as_json()) for name, report in found.items()}
finish(folder, lines, records, failures)
