"""The engines that `decode.py` compares, each in a process of its own."""

import json
import multiprocessing
import resource
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

Lines = list[str]
Translate = Callable[[Lines], Lines]
Answer = tuple[Lines, float, float, float]  # translations, seconds, processor seconds, MB

MARIAN_WORKER = Path(__file__).parent / "marian_worker.py"


@dataclass(frozen=True)
class Request:
    """How lines are translated, the same for all engines.

    `most_tokens` is the length, without EOS, at which translations end in every engine. Marian's
    limit is a multiple of the source's length, `marian_factor`.
    """

    beam: int
    threads: int
    most_tokens: int
    marian_factor: float


def our_engine(run: Path, request: Request, settings: dict[str, Any]) -> Translate:
    from seq2seq_cli.devices import prepare
    from seq2seq_cli.search import SearchOptions
    from seq2seq_cli.translation import TranslationSettings, Translator

    prepare(request.threads // settings["workers"])
    search = SearchOptions(
        beam=request.beam,
        length_penalty="power",
        max_ratio=0.0,
        max_extra=request.most_tokens + 1,
    )
    translator = Translator.load(run, TranslationSettings(search=search, device="cpu", **settings))

    def translate(lines: Lines) -> Lines:
        return [translation.text for translation in translator.translate(lines)]

    return translate


def ctranslate2_engine(folder: Path, request: Request, settings: dict[str, Any]) -> Translate:
    import ctranslate2

    from seq2seq_cli.tokenization.tokenizer import Tokenizer

    names = sorted(path.name for path in folder.glob("*.model"))
    source, target = Tokenizer.load(folder / names[0]), Tokenizer.load(folder / names[-1])
    batch, workers = settings.pop("batch"), settings.pop("workers")
    engine = ctranslate2.Translator(
        str(folder), inter_threads=workers, intra_threads=request.threads // workers, **settings
    )

    def translate(lines: Lines) -> Lines:
        pieces = [source.ids_to_pieces(ids) for ids in source.encode(lines)]
        found = engine.translate_batch(
            pieces,
            beam_size=request.beam,
            max_batch_size=batch,
            max_decoding_length=request.most_tokens,
            disable_unk=True,
        )
        return target.decode([target.pieces_to_ids(each.hypotheses[0]) for each in found])

    return translate


def fxtranslate_engine(folder: Path, request: Request, settings: dict[str, Any]) -> Translate:
    """It translates greedily and a line at a time; its limit is 2 tokens a source token, and 4."""
    import fxtranslate

    vocabularies = sorted(folder.glob("*vocab*.spm"))
    names = [next(folder.glob("model*.bin")), vocabularies[0], vocabularies[-1]]
    if settings["shortlist"]:
        names.append(next(folder.glob("lex*.bin")))
    engine = fxtranslate.Translator(*(name.read_bytes() for name in names))

    def translate(lines: Lines) -> Lines:
        return [engine.translate(line) for line in lines]

    return translate


ENGINES: dict[str, Callable[[Path, Request, dict[str, Any]], Translate]] = {
    "seq2seq": our_engine,
    "ctranslate2": ctranslate2_engine,
    "fxtranslate": fxtranslate_engine,
}


def serve(pipe: Any, name: str, folder: Path, request: Request, settings: Any) -> None:
    """Load an engine, then answer lists of lines as `Answer` says."""
    translate = ENGINES[name](folder, request, dict(settings))
    translate(["a ."])
    pipe.send("ready")
    for lines in iter(pipe.recv, None):
        began, used = time.perf_counter(), time.process_time()
        found = translate(lines)
        seconds, used = time.perf_counter() - began, time.process_time() - used
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        pipe.send((found, seconds, used, memory))


class Connection(Protocol):
    """A process that translates."""

    def send(self, lines: Lines) -> None: ...

    def receive(self) -> Answer: ...

    def stop(self) -> None: ...


class OwnProcess:
    """An engine of this Python."""

    def __init__(self, name: str, folder: Path, request: Request, how: dict[str, Any]) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(
            target=serve, args=(theirs, name, folder, request, how), daemon=True
        )
        self.process.start()
        assert self.pipe.recv() == "ready"

    def send(self, lines: Lines) -> None:
        self.pipe.send(lines)

    def receive(self) -> Answer:
        answer: Answer = self.pipe.recv()
        return answer

    def stop(self) -> None:
        self.pipe.send(None)
        self.process.join()


class MarianProcess:
    """Marian, under a Python that has its package."""

    def __init__(self, python: Path, options: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            [python, MARIAN_WORKER, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._answer() == "ready"

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"Marian ended with code {self.process.wait()}")
        return json.loads(line)

    def send(self, lines: Lines) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(lines) + "\n")
        self.process.stdin.flush()

    def receive(self) -> Answer:
        found, seconds, used, memory = self._answer()
        return found, seconds, used, memory

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


class Engine:
    """An engine with one of its settings, and what was measured of it.

    Several processes share the lines of an engine that has one thread.
    """

    def __init__(self, label: str, processes: Sequence[Connection]) -> None:
        self.label = label
        self.processes = processes
        self.seconds: list[float] = []
        self.processor_seconds: list[float] = []
        self.used = 0.0  # processor seconds of the last call
        self.latencies: list[float] = []  # of single lines, as below
        self.processor_latencies: list[float] = []
        self.megabytes = 0.0
        self.output: Lines = []
        self.translations: Lines = []
        self.bleu = float("nan")

    def translate(self, lines: Lines) -> float:
        """Translate lines; returns the seconds of the process that took longest."""
        busy = self.processes[: len(lines)]
        for index, process in enumerate(busy):
            process.send(lines[index :: len(busy)])
        self.output, seconds, memory, self.used = [""] * len(lines), 0.0, 0.0, 0.0
        for index, process in enumerate(busy):
            self.output[index :: len(busy)], took, used, megabytes = process.receive()
            seconds, memory = max(seconds, took), memory + megabytes
            self.used += used
        self.megabytes = max(self.megabytes, memory)
        return seconds

    def stop(self) -> None:
        for process in self.processes:
            process.stop()
