"""Compares search with CTranslate2 on the same weights, tokenizer and threads.

    python recipes/bench/decode.py RUN --source test.en --reference test.de

Each engine runs in a process of its own. The engines alternate for several rounds, so that other
work on the machine affects all of them. Prints medians over the rounds and ratios to CTranslate2's
fastest setting; then the floor: the time of the model's matrix products alone, in float32, at the
same shapes.
"""

import argparse
import itertools
import json
import multiprocessing
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

EVERY = 2  # the settings of an engine are chosen on every second line
# Of a translation, in both engines: their own limits differ, and so would the time spent on loops.
MOST_TOKENS = 100

Lines = list[str]
Translate = Callable[[Lines], Lines]


def our_engine(run: Path, beam: int, threads: int, settings: dict[str, Any]) -> Translate:
    from seq2seq_cli.devices import prepare
    from seq2seq_cli.search import SearchOptions
    from seq2seq_cli.translation import TranslationSettings, Translator

    prepare(threads // settings["workers"])
    search = SearchOptions(
        beam=beam, length_penalty="power", max_ratio=0.0, max_extra=MOST_TOKENS + 1
    )
    translator = Translator.load(run, TranslationSettings(search=search, device="cpu", **settings))

    def translate(lines: Lines) -> Lines:
        return [translation.text for translation in translator.translate(lines)]

    return translate


def ctranslate2_engine(
    folder: Path, beam: int, threads: int, settings: dict[str, Any]
) -> Translate:
    import ctranslate2

    from seq2seq_cli.tokenization.tokenizer import Tokenizer

    names = sorted(path.name for path in folder.glob("*.model"))
    source, target = Tokenizer.load(folder / names[0]), Tokenizer.load(folder / names[-1])
    batch, workers = settings.pop("batch"), settings.pop("workers")
    engine = ctranslate2.Translator(
        str(folder), inter_threads=workers, intra_threads=threads // workers, **settings
    )

    def translate(lines: Lines) -> Lines:
        pieces = [source.ids_to_pieces(ids) for ids in source.encode(lines)]
        found = engine.translate_batch(
            pieces,
            beam_size=beam,
            max_batch_size=batch,
            max_decoding_length=MOST_TOKENS,
            disable_unk=True,
        )
        return target.decode([target.pieces_to_ids(each.hypotheses[0]) for each in found])

    return translate


ENGINES = {"seq2seq": our_engine, "ctranslate2": ctranslate2_engine}


def serve(pipe: Any, name: str, folder: Path, beam: int, threads: int, settings: Any) -> None:
    """Load an engine, then answer lists of lines with translations, seconds and memory in MB."""
    translate = ENGINES[name](folder, beam, threads, dict(settings))
    translate(["a ."])
    pipe.send("ready")
    for lines in iter(pipe.recv, None):
        began = time.perf_counter()
        found = translate(lines)
        seconds = time.perf_counter() - began
        pipe.send((found, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


class Engine:
    """An engine in a process of its own."""

    def __init__(self, label: str, name: str, folder: Path, beam: int, threads: int, **how: Any):
        self.label = label
        self.folder = folder
        self.pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(
            target=serve, args=(theirs, name, folder, beam, threads, how), daemon=True
        )
        self.process.start()
        assert self.pipe.recv() == "ready"
        self.seconds: list[float] = []
        self.latencies: list[float] = []
        self.megabytes = 0.0
        self.output: Lines = []
        self.translations: Lines = []
        self.bleu = 0.0

    def translate(self, lines: Lines) -> float:
        self.pipe.send(lines)
        self.output, seconds, self.megabytes = self.pipe.recv()
        return seconds

    def stop(self) -> None:
        self.pipe.send(None)
        self.process.join()


def fastest(engines: Sequence[Engine], lines: Lines) -> Engine:
    """Return the setting that is fastest in the best of three alternating runs; stop the others."""
    chosen = lines[::EVERY]
    rounds = [[engine.translate(chosen) for engine in engines] for _ in range(3)]
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


def our_engines(run: Path, beam: int, threads: int, lines: Lines) -> list[Engine]:
    """Start the fastest setting of each kind of this program."""
    kinds: dict[str, dict[str, Any]] = {
        "float32": {"precision": "float32"},
        "int8": {"precision": "int8"},
        "int8 shortlist": {"precision": "int8", "shortlist": True},
    }
    if not (run / "shortlist.safetensors").exists():
        del kinds["int8 shortlist"]
    chosen = []
    for kind, how in kinds.items():
        tried = []
        for size, workers in ((512, threads), (1024, threads), (2048, threads)):
            label = f"seq2seq {kind}, {size} tokens, {workers} workers"
            how |= {"batch_tokens": size, "workers": workers}
            tried.append(Engine(label, "seq2seq", run, beam, threads, **how))
        chosen.append(fastest(tried, lines))
    return chosen


def their_engines(folder: Path, beam: int, threads: int, lines: Lines) -> list[Engine]:
    """Start the fastest setting of each kind of CTranslate2."""
    chosen = []
    for kind in ("float32", "int8"):
        tried = []
        for size, workers in itertools.product((32, 64, 128), (threads, 1)):
            label = f"CTranslate2 {kind}, {size} lines, {workers} workers"
            how = {"batch": size, "workers": workers, "compute_type": kind}
            tried.append(Engine(label, "ctranslate2", folder, beam, threads, **how))
        chosen.append(fastest(tried, lines))
    return chosen


def measure(
    engines: Sequence[Engine], lines: Lines, reference: Lines, rounds: int, single_lines: int
) -> None:
    """Translate all lines in several rounds, then lines one at a time; the engines alternate."""
    from seq2seq_cli.evaluation.scoring import score

    for _ in range(rounds):
        for engine in engines:
            engine.seconds.append(engine.translate(lines))
    for engine in engines:
        engine.bleu = score(engine.output, [reference], ("bleu",))[0].value
        engine.translations = engine.output
    for line in lines[:single_lines]:
        for engine in engines:
            engine.latencies.append(engine.translate([line]))


def records(engines: Sequence[Engine], beam: int, run: Path) -> list[dict[str, Any]]:
    """Return the figures of each engine: medians, and the ratio to CTranslate2 at its fastest."""
    from seq2seq_cli.runs.run_folder import RunFolder

    tokenizer = RunFolder(run).load_tokenizers().target
    medians = {id(engine): statistics.median(engine.seconds) for engine in engines}
    yardstick = min((medians[id(e)] for e in engines if "CTranslate2" in e.label), default=0.0)
    found = []
    for engine in engines:
        seconds = medians[id(engine)]
        latencies = sorted(1000 * each for each in engine.latencies)
        tokens = sum(len(ids) + 1 for ids in tokenizer.encode(engine.translations))
        found.append(
            {
                "engine": engine.label,
                "beam": beam,
                "seconds": seconds,
                "lines_per_second": len(engine.translations) / seconds,
                "tokens_per_second": tokens / seconds,
                "ratio": yardstick / seconds,
                "bleu": engine.bleu,
                "median_ms": statistics.median(latencies),
                "p95_ms": latencies[int(0.95 * len(latencies))],
                "megabytes": engine.megabytes,
            }
        )
    return found


COLUMNS = {  # of the printed table: heading, digits after the decimal point
    "seconds": ("s", 2),
    "lines_per_second": ("lines/s", 1),
    "tokens_per_second": ("tokens/s", 0),
    "ratio": ("ratio", 2),
    "bleu": ("BLEU", 2),
    "median_ms": ("ms/line", 1),
    "p95_ms": ("p95", 1),
    "megabytes": ("MB", 0),
}


def show(figures: Sequence[dict[str, Any]]) -> None:
    """Print one line for each engine."""
    print(f"{'engine':52}" + "".join(f" {name:>8}" for name, _ in COLUMNS.values()))
    for each in figures:
        values = "".join(f" {each[key]:8.{digits}f}" for key, (_, digits) in COLUMNS.items())
        print(f"{each['engine']:52}{values}", flush=True)


def compare(engines: Sequence[Engine]) -> None:
    """Print how many float32 translations of both engines are the same."""
    ours, *theirs = (engine.translations for engine in engines if "float32" in engine.label)
    for other in theirs:
        same = sum(a == b for a, b in zip(ours, other, strict=True))
        print(f"float32: {same:,} of {len(ours):,} lines are the same in both engines")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--beam", type=int, nargs="+", default=[5, 1])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--single-lines", type=int, default=100)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    from seq2seq_cli.text import read_lines

    lines = list(read_lines(given.source, print))
    reference = list(read_lines(given.reference, print))
    temporary = tempfile.TemporaryDirectory()
    folder = Path(temporary.name) / "exported"
    exported = subprocess.run(
        [sys.executable, "-m", "seq2seq_cli", "export", given.run, folder], capture_output=True
    )
    if exported.returncode:
        print(f"CTranslate2 is left out: {exported.stderr.decode().strip()}")
    figures: list[dict[str, Any]] = []
    outputs: dict[int, Lines] = {}  # beam size -> translations
    for beam in given.beam:
        engines = our_engines(given.run, beam, given.threads, lines)
        if exported.returncode == 0:
            engines += their_engines(folder, beam, given.threads, lines)
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
    if exported.returncode == 0:
        models = sorted(map(str, folder.glob("*.model")))
        command = [sys.executable, "-c", CTRANSLATE2_ALONE, str(folder), models[0], models[-1]]
        print(f"CTranslate2 in a script of its own: {start_up(command, lines[0]):.2f} s")
    for beam, output in outputs.items():
        seconds = floor(given.run, lines, output, beam, given.threads)
        print(f"floor at beam {beam}: {seconds:.2f} s of float32 products")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
