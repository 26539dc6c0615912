"""Writes the report of agreement.sh.

    python recipes/agreement_report.py FOLDER ARCHITECTURE...

FOLDER has ONE.OTHER.json, the agreement of the first run of ONE with the second of OTHER, and the
runs. Ends with exit code 1 if the result that agreement.sh states is not reached.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from reports import finish, records, table

CHECKED = ("conv", "transformer")
LEAST_MARGIN = 0.05


def best(layers: list[dict[str, Any]]) -> dict[str, Any]:
    """The layer in which training added most to the edges shared."""
    return max(layers, key=lambda each: each["trained"]["edges"] - each["untrained"]["edges"])


def validation_bleu(run: Path) -> float:
    """BLEU on validation data of the weights that a training chose: the best that it found."""
    validated = [*records(run, "validation"), *records(run, "final")]
    return max(float(record["bleu"]) for record in validated)


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("folder", type=Path)
parser.add_argument("architectures", nargs="+")
arguments = parser.parse_args()
folder: Path = arguments.folder
names: list[str] = arguments.architectures
found: dict[str, dict[str, list[dict[str, Any]]]] = {
    one: {
        other: json.loads((folder / f"{one}.{other}.json").read_text(encoding="utf-8"))["layers"]
        for other in names
    }
    for one in names
}
lines = [
    "# What two trainings agree on", "",
    "Share of the edges of sentences' minimum spanning trees that two runs have in common, in the "
    "layer where training adds most to it, and in brackets the same untrained.", "",
    *table(
        [["first run, best layer with", *names]]
        + [
            [one, *(
                f"{best(found[one][other])['trained']['edges']:.2f} "
                f"({best(found[one][other])['untrained']['edges']:.2f})" for other in names
            )]
            for one in names
        ]
    ),
]  # fmt: skip
failures = []
for name in names:
    rows = [["layer", "nearest of the other run", "edges shared", "untrained", "Spearman",
             "untrained", "edges of neighbours"]]  # fmt: skip
    for each in found[name][name]:
        trained, untrained = each["trained"], each["untrained"]
        values = (
            trained["edges"], untrained["edges"], trained["spearman"], untrained["spearman"],
            each["neighbours"],
        )  # fmt: skip
        rows.append([each["layer"], each["other"], *(f"{value:.2f}" for value in values)])
    scores = ", ".join(f"{validation_bleu(folder / f'{name}-{seed}'):.1f}" for seed in (1, 2))
    lines += [f"## {name}", "", f"BLEU on validation data, greedy: {scores}", "", *table(rows)]
    chosen = best(found[name][name])
    margin = chosen["trained"]["edges"] - chosen["untrained"]["edges"]
    if name in CHECKED and margin < LEAST_MARGIN:
        failures.append(f"{name}, above untrained by {margin:.3f}, not {LEAST_MARGIN}")
lines += ["## Checks", "", *(f"- missed: {each}" for each in failures or ["none"]), ""]
finish(folder, lines, found, failures)
