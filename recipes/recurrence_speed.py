"""Counts the products of a model and how many wait for one another, and times what they take.

    SEQ2SEQ_NATIVE=off python recipes/recurrence_speed.py FOLDER --count
    python recipes/recurrence_speed.py FOLDER

FOLDER holds a run for each architecture. Writes FOLDER/count.json and FOLDER/speed.json.
"""

import argparse
import itertools
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from reports import ARCHITECTURES
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.devices import prepare
from seq2seq_cli.models import TranslationModel
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.search.engine import EnginePredictor
from seq2seq_cli.symbols import BOS, EOS
from seq2seq_cli.training.cross_entropy import cross_entropy

LENGTHS = (10, 20, 40, 80, 160)  # tokens per sentence
TRAINING_TOKENS = (640, 5120)  # of a batch
LINES = (1, 32)  # translated together
THREADS = (1, 2)
ROUNDS = 3
# Nodes of the autograd graph that are a product of matrices: attention in one node is two of them.
PRODUCTS = {"Addmm": 1, "Mm": 1, "Bmm": 1, "Convolution": 1, "ScaledDotProduct": 2}


def batch(model: TranslationModel, rows: int, length: int) -> tuple[Tensor, Tensor]:
    """Random sentences of so many tokens, and targets that begin with BOS."""
    source = torch.randint(4, model.source_embedding.num_embeddings, (rows, length))
    target = torch.randint(4, model.target_embedding.num_embeddings, (rows, length + 1))
    target[:, 0] = BOS
    return source, target


def longest_chain(result: Tensor) -> int:
    """The products on the longest way from a result back to the weights: they wait for another."""
    depth: dict[Any, int] = {}
    stack = [(result.grad_fn, False)]
    while stack:
        node, is_ready = stack.pop()
        before = [each for each, _ in node.next_functions if each is not None]
        if is_ready:
            name = node.name()
            own = next((count for kind, count in PRODUCTS.items() if name.startswith(kind)), 0)
            depth[node] = own + max((depth[each] for each in before), default=0)
        elif node not in depth:
            stack.append((node, True))
            stack += [(each, False) for each in before if each not in depth]
    return depth[result.grad_fn]


def counts(model: TranslationModel, length: int) -> dict[str, float]:
    """Products of a training step and of translating, for one sentence of this length."""
    source, target = batch(model, 1, length)
    with FlopCounterMode(display=False) as counter:
        loss = model.output(model(source, target[:, :-1])).logsumexp(-1).sum()
        chain = longest_chain(loss)
        loss.backward()
    read = [each for each in tensors(model.encode(source)) if each.grad_fn is not None]
    with torch.no_grad():
        memory, state = model.encode(source)
    hidden, _ = model.decode(target[:, :1], state, memory)
    return {
        "training_chain": 2 * chain,  # every product is followed by those of its gradients
        "operations_per_token": counter.get_total_flops() / length,
        "translating_chain": max(map(longest_chain, read))
        + length * longest_chain(model.output(hidden).sum()),
    }


def tensors(state: Any) -> list[Tensor]:
    if isinstance(state, Tensor):
        return [state]
    if isinstance(state, tuple):
        return [tensor for each in state for tensor in tensors(each)]
    return []  # the empty state before the first token


def seconds_of_training(model: TranslationModel, tokens: int, length: int) -> float:
    """Time a forward and a backward pass over so many target tokens."""
    source, target = batch(model, tokens // length, length)
    begin = time.perf_counter()
    hidden = model.hidden(source, target[:, :-1])
    labels = target[:, 1:].reshape(-1)
    loss, _ = cross_entropy(hidden[None], model.output.weight, labels[None], 0.1)
    loss.backward()  # type: ignore[no-untyped-call]
    model.zero_grad()
    return time.perf_counter() - begin


def seconds_of_translating(predictor: EnginePredictor, lines: int, length: int) -> float:
    """Time a greedy search for translations that are as long as their sources."""
    options = SearchOptions(beam=1, min_ratio=1.0, max_ratio=1.0, max_extra=0)
    sentences = [[*torch.randint(4, 200, (length - 1,)).tolist(), EOS] for _ in range(lines)]
    begin = time.perf_counter()
    predictor.search(sentences, options)
    return time.perf_counter() - begin


def speeds(folder: Path) -> list[dict[str, Any]]:
    """Target tokens/s: medians of rounds in which the architectures take turns."""
    models = {name: RunFolder(folder / name).load_model().train() for name in ARCHITECTURES}
    engines = {
        name: EnginePredictor([RunFolder(folder / name).load_plain_model()])
        for name in ARCHITECTURES
    }
    found = []
    works = [("training", tokens) for tokens in TRAINING_TOKENS]
    works += [("translating", lines) for lines in LINES]
    for threads, (work, size), length in itertools.product(THREADS, works, LENGTHS):
        prepare(threads)
        taken: dict[str, list[float]] = {name: [] for name in ARCHITECTURES}
        for round_ in range(ROUNDS + 1):
            for name in ARCHITECTURES:
                if work == "training":
                    seconds = seconds_of_training(models[name], size, length)
                else:
                    seconds = seconds_of_translating(engines[name], size, length)
                if round_ > 0:  # the first round warms up
                    taken[name].append(seconds)
        tokens = size // length * length if work == "training" else size * length
        for name, each in taken.items():
            found.append(
                {"architecture": name, "work": work, "size": size, "threads": threads}
                | {"length": length, "tokens_per_second": tokens / statistics.median(each)}
            )
        print(f"{work} of {size}, {length} tokens, {threads} threads: done", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", action="store_true", help="count, and time nothing")
    options = parser.parse_args()
    torch.manual_seed(1)
    if options.count:
        torch.backends.mkldnn.set_flags(False)  # whose LSTM is one node of the graph
        found: Any = {
            name: {
                str(length): counts(RunFolder(options.folder / name).load_model(), length)
                for length in LENGTHS
            }
            for name in ARCHITECTURES
        }
    else:
        found = speeds(options.folder)
    path = options.folder / ("count.json" if options.count else "speed.json")
    path.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
