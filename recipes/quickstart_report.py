"""Says why the quickstart's training ended, and how it goes on after a time limit.

    seq2seq score --metrics bleu --format json … | python recipes/quickstart_report.py RUN [PRESET]

Ends with exit code 1 if the score is below what the recipe states and no time limit ended training.
"""

import json
import sys
import tomllib
from pathlib import Path

STATED = 90  # BLEU
LEAST_MINUTES = 10  # to go on with


def main(run: Path, arguments: list[str]) -> None:
    bleu = json.load(sys.stdin)[0]["value"]
    reason = json.loads((run / "training" / "finished.json").read_text("utf-8"))["reason"]
    print(f"training ended because {reason}")
    if "minute" in reason:
        limit = tomllib.loads((run / "config.toml").read_text("utf-8"))["training"]["max_minutes"]
        minutes = max(LEAST_MINUTES, round(2 * limit))
        command = " ".join(["bash recipes/quickstart.sh", *arguments])
        print(f"\nThe time limit ended training, with {bleu:.1f} BLEU on the test set. More time")
        print(f"gives {STATED} BLEU and more; this continues the same run:")
        print(f"\n    MINUTES={minutes} {command}")
    elif bleu < STATED:
        sys.exit(f"BLEU {bleu:.1f} is below the {STATED} that this recipe states")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
