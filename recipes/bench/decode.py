"""Compares search with CTranslate2, Marian and fxtranslate on the same weights and threads.

    python recipes/bench/decode.py RUN --source test.en --reference test.de
    python recipes/bench/decode.py RUN --source F --marian PYTHON --most-tokens 54

Each engine runs in a process of its own. The engines alternate for several rounds, so that other
work on the machine affects all of them; processor time ("cpu", of all threads) tells more on a
busy one. Prints medians over the rounds and ratios to CTranslate2's fastest setting, or else to
Marian's, by time and by processor time; then the floor: the time of the model's matrix products
alone, in float32, at the same shapes. An engine that is not installed, or does not have the
settings of the run, is left out with a word.

Marian (pymarian 1.12.42, 600 MB) has a Python of its own, which --marian names. For a run of
`shapes.py`, whose translations never end, --most-tokens is the length of all of them; fxtranslate
has a limit that cannot be set, 54 for lines of 24 tokens.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engines import Engine, Lines, MarianProcess, OwnProcess, Request

# Of a translation, in all engines: their own limits differ, and so would the time spent on loops.
MOST_TOKENS = 100
MARIAN_BATCHES = (64, 16)  # lines


def fastest(engines: Sequence[Engine], lines: Lines, every: int) -> Engine:
    """Return the setting that is fastest in the better of two alternating runs; stop the others."""
    if len(engines) == 1:
        return engines[0]
    chosen = lines[::every]
    rounds = [[engine.translate(chosen) for engine in engines] for _ in range(2)]
    _, index = min((seconds, index) for times in rounds for index, seconds in enumerate(times))
    best = engines[index]
    for engine in engines:
        if engine is not best:
            engine.stop()
    return best


CTRANSLATE2_ALONE = """
import sys, ctranslate2, sentencepiece
folder, source, target = sys.argv[1:]
engine = ctranslate2.Translator(folder, inter_threads=1, intra_threads=1, compute_type="int8")
read = sentencepiece.SentencePieceProcessor(model_file=source)
written = sentencepiece.SentencePieceProcessor(model_file=target)
for line in sys.stdin:
    [found] = engine.translate_batch([read.encode(line, out_type=str)], beam_size=5)
    print(written.decode(found.hypotheses[0]), flush=True)
"""


def start_up(command: list[str], line: str) -> float:
    """Return the seconds from starting a command to its first line; the better of two."""
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        subprocess.run(command, input=f"{line}\n".encode(), check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def floor(run: Path, lines: Lines, output: Lines, beam: int, threads: int) -> float:
    """Time the float32 products alone, for every token of the output in a full beam."""
    import torch
    from torch import nn

    from seq2seq_cli.runs.run_folder import RunFolder

    torch.set_num_threads(threads)
    model, tokenizers = RunFolder(run).load_model(), RunFolder(run).load_tokenizers()
    source = sum(len(ids) + 1 for ids in tokenizers.source.encode(lines))
    target = beam * sum(len(ids) + 1 for ids in tokenizers.target.encode(output))
    total, batch = 0.0, 400
    for name, module in model.named_modules():
        if not isinstance(module, nn.Linear):
            continue
        x, seconds = torch.randn(batch, module.in_features), []
        with torch.inference_mode():
            for _ in range(5):
                began = time.perf_counter()
                module(x)
                seconds.append(time.perf_counter() - began)
        once = name.startswith("encoder") or ("key_value" in name and "cross" in name)
        total += min(seconds) * (source if once else target) / batch
    return total


class Field:
    """The engines that can run a run, and the fastest setting of each kind of them."""

    def __init__(self, given: argparse.Namespace, folder: Path, lines: Lines) -> None:
        self.run: Path = given.run
        self.precisions: list[str] = given.precision
        self.every: int = given.every
        self.settings = None if self.every else 1  # how many of each kind are tried
        self.python: Path | None = given.marian
        self.lines = lines
        self.folder = folder
        self.has_shortlist = (self.run / "shortlist.safetensors").exists()
        wanted = ["ctranslate2", "marian", "firefox"]
        if self.python is None:
            print("Marian is left out: --marian names no Python that has pymarian")
            wanted.remove("marian")
        for name in ("ctranslate2", "fxtranslate"):
            if find_spec(name) is None:
                print(f"{name} is left out: it is not installed")
                wanted.remove({"fxtranslate": "firefox"}.get(name, name))
        self.exported = [name for name in wanted if self._export(name)]

    def _export(self, name: str) -> bool:
        """Write the run for an engine; says why that cannot be done."""
        command = [sys.executable, "-m", "seq2seq_cli", "export", self.run, self.folder / name]
        done = subprocess.run([*command, "--format", name], capture_output=True)
        if done.returncode:
            print(f"{name} is left out: {' '.join(done.stderr.decode().split())}")
            return False
        if name == "marian":
            convert = [self.python, "-m", "pymarian", "convert", "--gemm-type", "intgemm8"]
            names = ["-f", self.folder / name / "model.npz", "-t", self.folder / name / "int8.bin"]
            subprocess.run([*convert, *names], check=True, capture_output=True)
        return True

    def engines(self, request: Request) -> list[Engine]:
        """Start the fastest setting of each kind."""
        found = self._ours(request)
        if "ctranslate2" in self.exported:
            found += self._ctranslate2(request)
        if "marian" in self.exported:
            found += self._marian(request)
        if "firefox" in self.exported and request.beam == 1:
            found += self._fxtranslate(request)
        return found

    def _fastest(self, engines: Sequence[Engine]) -> Engine:
        return fastest(engines, self.lines, self.every)

    def _ours(self, request: Request) -> list[Engine]:
        kinds: dict[str, dict[str, Any]] = {
            precision: {"precision": precision} for precision in self.precisions
        }
        if self.has_shortlist and "int8" in kinds:
            kinds["int8 shortlist"] = {"precision": "int8", "shortlist": True}
        chosen = []
        for kind, how in kinds.items():
            tried = []
            for size in (1024, 512, 2048)[: self.settings]:
                workers = request.threads
                label = f"seq2seq {kind}, {size} tokens, {workers} workers"
                settings = how | {"batch_tokens": size, "workers": workers}
                process = OwnProcess("seq2seq", self.run, request, settings)
                tried.append(Engine(label, [process]))
            chosen.append(self._fastest(tried))
        return chosen

    def _ctranslate2(self, request: Request) -> list[Engine]:
        chosen = []
        for kind in self.precisions:
            tried = []
            settings = list(itertools.product((64, 32, 128), (request.threads, 1)))
            for size, workers in settings[: self.settings]:
                label = f"CTranslate2 {kind}, {size} lines, {workers} workers"
                how = {"batch": size, "workers": workers, "compute_type": kind}
                process = OwnProcess("ctranslate2", self.folder / "ctranslate2", request, how)
                tried.append(Engine(label, [process]))
            chosen.append(self._fastest(tried))
        return chosen

    def _marian(self, request: Request) -> list[Engine]:
        assert self.python is not None
        folder = self.folder / "marian"
        names = [folder / "vocab.spm"] * 2
        if not names[0].exists():
            names = [folder / "source.spm", folder / "target.spm"]
        common: dict[str, Any] = {
            "vocabs": [str(name) for name in names],
            "beam_size": request.beam,
            "normalize": 1,
            "max_length_factor": request.marian_factor,
            "cpu_threads": request.threads,
            "maxi_batch": 100,
            "maxi_batch_sort": "src",
            "workspace": 128,
            "quiet": True,
            "skip_cost": request.beam == 1,
        }
        kinds = {
            "float32": {"models": str(folder / "model.npz")},
            "int8": {"models": str(folder / "int8.bin")},
        }
        kinds = {kind: how for kind, how in kinds.items() if kind in self.precisions}
        lexicon = next(iter((self.folder / "firefox").glob("lex*")), None)
        if lexicon is not None and "int8" in kinds:
            kinds["int8 shortlist"] = kinds["int8"] | {"shortlist": [str(lexicon)]}  # type: ignore[dict-item]
        chosen = []
        for kind, how in kinds.items():
            tried = []
            for size in MARIAN_BATCHES[: self.settings]:
                process = MarianProcess(self.python, common | how | {"mini_batch": size})
                tried.append(Engine(f"Marian {kind}, {size} lines", [process]))
            chosen.append(self._fastest(tried))
        return chosen

    def _fxtranslate(self, request: Request) -> list[Engine]:
        if "int8" not in self.precisions:
            return []
        from seq2seq_cli.runs.run_folder import RunFolder

        config = vars(RunFolder(self.run).load_config().model)
        if (config.get("decoder_attention"), config.get("activation")) != ("ssru", "relu"):
            print("fxtranslate is left out: it has only SSRU decoders with relu")
            return []
        chosen = []
        for shortlist in (False, True) if self.has_shortlist else (False,):
            make = partial(OwnProcess, "fxtranslate", self.folder / "firefox", request)
            kind = f"int8{' shortlist' if shortlist else ''}"
            processes = [make({"shortlist": shortlist}) for _ in range(request.threads)]
            chosen.append(Engine(f"fxtranslate {kind}, {request.threads} processes", processes))
        return chosen


def measure(
    engines: Sequence[Engine], lines: Lines, reference: Lines, rounds: int, single_lines: int
) -> None:
    """Translate all lines in several rounds, then lines one at a time; the engines alternate."""
    from seq2seq_cli.evaluation.scoring import score

    for _ in range(rounds):
        for engine in engines:
            engine.seconds.append(engine.translate(lines))
            engine.processor_seconds.append(engine.used)
    for engine in engines:
        if reference:
            engine.bleu = score(engine.output, [reference], ("bleu",))[0].value
        engine.translations = engine.output
    for line in lines[:single_lines]:
        for engine in engines:
            engine.latencies.append(engine.translate([line]))
            engine.processor_latencies.append(engine.used)


def records(engines: Sequence[Engine], beam: int, run: Path) -> list[dict[str, Any]]:
    """Return the figures of each engine: medians, and the ratio to another one's fastest."""
    from seq2seq_cli.runs.run_folder import RunFolder

    tokenizer = RunFolder(run).load_tokenizers().target
    yardstick: list[Engine] = []
    for name in ("CTranslate2", "Marian", "fxtranslate"):
        yardstick = yardstick or [engine for engine in engines if name in engine.label]
    best, least = (
        min((statistics.median(seconds) for seconds in each), default=0.0)
        for each in (
            [engine.seconds for engine in yardstick],
            [engine.processor_seconds for engine in yardstick],
        )
    )
    found = []
    for engine in engines:
        seconds = statistics.median(engine.seconds)
        used = statistics.median(engine.processor_seconds)
        latencies = sorted(1000 * each for each in engine.latencies)
        tokens = sum(len(ids) + 1 for ids in tokenizer.encode(engine.translations))
        found.append(
            {
                "engine": engine.label,
                "beam": beam,
                "seconds": seconds,
                "processor_seconds": used,
                "lines_per_second": len(engine.translations) / seconds,
                "tokens_per_second": tokens / seconds,
                "ratio": best / seconds,
                "processor_ratio": least / used,
                "bleu": engine.bleu,
                "median_ms": statistics.median(latencies),
                "p95_ms": latencies[int(0.95 * len(latencies))],
                "processor_ms": 1000 * statistics.median(engine.processor_latencies),
                "megabytes": engine.megabytes,
            }
        )
    return found


COLUMNS = {  # of the printed table: heading, digits after the decimal point
    "seconds": ("s", 2),
    "processor_seconds": ("cpu s", 2),
    "lines_per_second": ("lines/s", 1),
    "tokens_per_second": ("tokens/s", 0),
    "ratio": ("ratio", 2),
    "processor_ratio": ("of cpu", 2),
    "bleu": ("BLEU", 2),
    "median_ms": ("ms/line", 1),
    "p95_ms": ("p95", 1),
    "processor_ms": ("cpu ms", 1),
    "megabytes": ("MB", 0),
}


def show(figures: Sequence[dict[str, Any]]) -> None:
    """Print one line for each engine."""
    print(f"{'engine':52}" + "".join(f" {name:>8}" for name, _ in COLUMNS.values()))
    for each in figures:
        values = "".join(f" {each[key]:8.{digits}f}" for key, (_, digits) in COLUMNS.items())
        print(f"{each['engine']:52}{values}", flush=True)


def compare(engines: Sequence[Engine]) -> None:
    """Print how many float32 translations are the same in other engines."""
    if not any("float32" in engine.label for engine in engines):
        return
    ours, *theirs = (engine for engine in engines if "float32" in engine.label)
    for other in theirs:
        pairs = zip(ours.translations, other.translations, strict=True)
        same = sum(a == b for a, b in pairs)
        print(f"{same:,} of {len(ours.translations):,} lines are the same in {other.label}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--reference", type=Path, help="for BLEU")
    parser.add_argument("--beam", type=int, nargs="+", default=[5, 1])
    parser.add_argument("--precision", nargs="+", default=["float32", "int8"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--every",
        type=int,
        default=2,
        help="settings are chosen on every Nth line; 0: the first of each kind is taken",
    )
    parser.add_argument("--single-lines", type=int, default=100)
    parser.add_argument("--most-tokens", type=int, help="exact length of all translations")
    parser.add_argument("--marian", type=Path, metavar="PYTHON", help="a Python that has pymarian")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    from seq2seq_cli.runs.run_folder import RunFolder
    from seq2seq_cli.text import read_lines

    lines = list(read_lines(given.source, print))
    reference = list(read_lines(given.reference, print)) if given.reference else []
    request = Request(0, given.threads, MOST_TOKENS, marian_factor=3.0)
    if given.most_tokens:
        # All lines have as many tokens: Marian's limit is a multiple of that.
        width = len(RunFolder(given.run).load_tokenizers().source.encode(lines[:1])[0]) + 1
        factor = (given.most_tokens - 0.5) / width
        request = replace(request, most_tokens=given.most_tokens, marian_factor=factor)
    temporary = tempfile.TemporaryDirectory()
    folder = Path(temporary.name)
    field = Field(given, folder, lines)
    figures: list[dict[str, Any]] = []
    outputs: dict[int, Lines] = {}  # beam size -> translations
    for beam in given.beam:
        engines = field.engines(replace(request, beam=beam))
        measure(engines, lines, reference, given.rounds, given.single_lines)
        outputs[beam] = engines[0].translations
        found = records(engines, beam, given.run)
        print(f"\nbeam {beam}, {given.threads} threads, {len(lines):,} lines")
        show(found)
        compare(engines)
        figures += found
        for engine in engines:
            engine.stop()
    command = [sys.executable, "-m", "seq2seq_cli", "translate", str(given.run)]
    print(f"\nstart-up to the first line: {start_up(command, lines[0]):.2f} s")
    if "ctranslate2" in field.exported:
        exported = folder / "ctranslate2"
        models = sorted(map(str, exported.glob("*.model")))
        command = [sys.executable, "-c", CTRANSLATE2_ALONE, str(exported), models[0], models[-1]]
        print(f"CTranslate2 in a script of its own: {start_up(command, lines[0]):.2f} s")
    for beam, output in outputs.items():
        seconds = floor(given.run, lines, output, beam, given.threads)
        print(f"floor at beam {beam}: {seconds:.2f} s of float32 products")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
