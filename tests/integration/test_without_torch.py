"""Commands that need no PyTorch never import it, nor datasets or pyarrow."""

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import typer

import seq2seq_cli
from seq2seq_cli.cli.app import app
from seq2seq_cli.kernels.library import library

GUARDED = """
import os, sys

class Guard:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "datasets", "pyarrow"):
            os.write(2, f"{name} is imported\\n".encode())
            os._exit(99)

sys.meta_path.insert(0, Guard())
from seq2seq_cli.cli import main
sys.argv[0] = "seq2seq"
main()
"""
NEEDING = {"train", "average", "push"}  # PyTorch; push needs a network
NEEDING |= {"inspect states", "inspect geometry", "inspect probe", "inspect agreement"}  # layers
TEXT = "one two three .\nfour\n"

LIGHT = {
    "help": "--help",
    "version": "--version",
    "settings": "settings training.seed",
    "presets": "presets transformer-small",
    "data demo": "data demo {tmp}/demo --pairs 20",
    "tokenizer train": "tokenizer train {data}/train.en --output {tmp}/a.model --vocab-size 40",
    "tokenizer encode": "tokenizer encode {run}/tokenizer.model",
    "tokenizer decode": "tokenizer decode {run}/tokenizer.model --input {tmp}/pieces",
    "score": "score -r {data}/valid.de --hypothesis {data}/valid.en",
    "compare": "compare a={data}/valid.de b={data}/valid.en -r {data}/valid.de",
    "info": "info {run}",
    "info as JSON": "info {run} --format json",
    "inspect curves": "inspect curves {run}",
    "export": "export {run} {tmp}/for-ctranslate2 --quantization int8",
    "inspect curves as a page": "inspect curves {run} -o {tmp}/curves.html",
}
ENGINE = {
    "translate": "translate {run}",
    "translate greedily in 8 bits": "translate {run} --beam 1 --precision int8",
}
SEARCHES = {
    "translate as JSON": "translate {run} --n-best 2 --format jsonl --alignment {tmp}/alignment",
    "translate by sampling": "translate {run} --sample --seed 3",
    "translate with constraints": "translate {run} --coverage-penalty 0.1 --no-repeat-ngram 2",
    "translate with an ensemble": "translate {run} {run} --weights 2,1",
    "import": "import {run} {tmp}/imported",
    "compare runs": "compare a={run} b={data}/valid.en --source {data}/valid.en -r {data}/valid.de",
    "likelihood": "likelihood {run} --source {data}/valid.en --target {data}/valid.de",
    "inspect attention": "inspect attention {run}",
    "inspect attention of targets": "inspect attention {run} -i {data}/valid.en "
    "--target {data}/valid.de -o {tmp}/attention.html",
}


def leaves(command: Any, *names: str) -> Iterator[str]:
    below = getattr(command, "commands", {})
    for name, inner in below.items():
        yield from leaves(inner, *names, name)
    if not below:
        yield " ".join(names)


def without_torch(command: str, trained: Path, tmp: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a process that ends with 99 where PyTorch is imported."""
    (tmp / "pieces").write_text("\n")
    words = [w.format(run=trained, data=trained.parent, tmp=tmp) for w in command.split()]
    return subprocess.run(
        [sys.executable, "-c", GUARDED, *words], input=TEXT.encode(), capture_output=True, cwd=tmp
    )


@pytest.mark.parametrize("command", LIGHT.values(), ids=LIGHT)
def test_a_command_that_only_reads_files_imports_no_torch(
    command: str, trained: Path, tmp_path: Path
) -> None:
    done = without_torch(command, trained, tmp_path)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.skipif(library() is None, reason="without kernels PyTorch translates")
@pytest.mark.parametrize("command", ENGINE.values(), ids=ENGINE)
def test_translating_on_a_cpu_imports_no_torch(command: str, trained: Path, tmp_path: Path) -> None:
    done = without_torch(command, trained, tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout


@pytest.mark.skipif(library() is None, reason="without kernels PyTorch translates")
@pytest.mark.parametrize("command", SEARCHES.values(), ids=SEARCHES)
def test_every_search_on_a_cpu_imports_no_torch(
    command: str, trained: Path, tmp_path: Path
) -> None:
    assert without_torch(command, trained, tmp_path).returncode == 0


def test_every_command_says_whether_it_needs_torch() -> None:
    tried = {*LIGHT.values(), *ENGINE.values(), *SEARCHES.values()}
    for name in leaves(typer.main.get_command(app)):
        assert (name in NEEDING) != any(f"{each} ".startswith(f"{name} ") for each in tried), name


ENOUGH = ("numpy", "safetensors", "sentencepiece", "typer", "rich")  # packages to translate with


def packages_needed(names: Sequence[str]) -> set[str]:
    """These packages and, where they are installed, those that they require."""
    needed, left = set[str](), [*names]
    while left:
        name = left.pop()
        try:
            requirements = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # for another system
            continue
        if name not in needed:
            needed.add(name)
            left += [
                re.split(r"[^\w.-]", each, maxsplit=1)[0]
                for each in requirements
                if "extra ==" not in each
            ]
    return needed


@pytest.mark.skipif(library() is None, reason="without kernels PyTorch translates")
@pytest.mark.parametrize("command", ["translate {run}", "info {run}", "--help"])
def test_five_packages_are_enough_to_translate(command: str, trained: Path, tmp_path: Path) -> None:
    """An interpreter without installed packages, to which only those are linked."""
    for name in packages_needed(ENOUGH):
        for file in metadata.files(name) or []:
            top = Path(file.parts[0])
            if ".." not in file.parts and not (tmp_path / top).is_symlink():
                (tmp_path / top).symlink_to(Path(str(metadata.distribution(name).locate_file(top))))
    (tmp_path / "seq2seq_cli").symlink_to(Path(seq2seq_cli.__file__).parent)
    code = f"import sys; sys.path.append({str(tmp_path)!r})\n" + GUARDED
    words = [word.format(run=trained) for word in command.split()]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, *words], input=TEXT.encode(), capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    if command == "translate {run}":
        assert done.stdout.decode() == "eins zwei drei .\nvier\n"


def test_python_code_that_translates_imports_no_torch(trained: Path) -> None:
    code = GUARDED.partition("from seq2seq_cli.cli")[0] + (
        "from seq2seq_cli.translation import Translator\n"
        "print(Translator.load(sys.argv[1]).translate(['one two'])[0].text)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, trained], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "eins zwei\n"), done.stderr
