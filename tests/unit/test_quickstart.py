"""How recipes/quickstart.sh ends: with a score, or with what to type for more time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPORT = Path(__file__).parents[2] / "recipes" / "quickstart_report.py"


def report(run: Path, bleu: float, reason: str, minutes: float) -> subprocess.CompletedProcess[str]:
    (run / "training").mkdir()
    finished = {"update": 5, "reason": reason}
    (run / "training" / "finished.json").write_text(json.dumps(finished), encoding="utf-8")
    (run / "config.toml").write_text(f"[training]\nmax_minutes = {minutes}\n", encoding="utf-8")
    return subprocess.run(
        [sys.executable, REPORT, run],
        input=json.dumps([{"value": bleu}]), text=True, capture_output=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(("limit", "more"), [(0.3, 10), (3.0, 10), (10.0, 20)])
def test_after_its_time_limit_it_says_how_to_go_on(limit: float, more: int, tmp_path: Path) -> None:
    done = report(tmp_path, 18.2, f"the limit of {limit:g} minutes was reached", limit)
    assert done.returncode == 0
    assert "18.2 BLEU" in done.stdout
    assert f"\n    MINUTES={more} bash recipes/quickstart.sh\n" in done.stdout


@pytest.mark.parametrize(
    "reason", ["bleu reached 92.34; the goal was 92", "the limit of 4,000 updates was reached"]
)
@pytest.mark.parametrize(("bleu", "code"), [(89.9, 1), (90.0, 0)])
def test_without_the_limit_it_demands_its_score(
    reason: str, bleu: float, code: int, tmp_path: Path
) -> None:
    done = report(tmp_path, bleu, reason, 3.0)
    assert done.returncode == code
    assert "MINUTES" not in done.stdout
