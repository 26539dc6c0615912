"""Recipes say how they are called before they install anything."""

import shutil
import subprocess
from pathlib import Path

import pytest

RECIPES = Path(__file__).parents[2] / "recipes"
OTHERS = ("setup.sh", "usage.sh", "slurm.sh")  # sourced, and a job
NAMES = sorted(path.name for path in RECIPES.glob("*.sh") if path.name not in OTHERS)


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipes, with a setup.sh that installs nothing and ends with another exit code."""
    folder = tmp_path_factory.mktemp("copies") / "recipes"
    folder.mkdir()
    for path in RECIPES.glob("*.sh"):
        shutil.copy(path, folder)
    (folder / "setup.sh").write_text("exit 99\n")
    return folder


def called(recipe: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", recipe, *arguments], capture_output=True, text=True, check=False,
        cwd=recipe.parent, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_help_and_wrong_arguments_need_no_installation(name: str, copies: Path) -> None:
    done = called(copies / name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"bash recipes/{name}" in done.stdout
    assert "set -euo" not in done.stdout
    for wrong in (["--hlep"], ["no-such-thing", "x", "y"]):
        done = called(copies / name, *wrong)
        assert (done.returncode, done.stdout) == (2, "")
        assert wrong[0] in done.stderr.partition("\n")[0] or "too many" in done.stderr
        assert f"bash recipes/{name}" in done.stderr
