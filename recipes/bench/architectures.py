"""Compares how fast architectures and their options translate, at equal size and equal lengths.

    python recipes/bench/architectures.py --only attention-rnn rnn --beam 5 --int8

Weights and sentences are random, and every translation is as long as its source, so that only the
kinds of layers differ: width 256, the depths and inner widths of the presets transformer-small,
attention-rnn, rnn and conv, 8,000 pieces. One batch is searched in one thread; the models
alternate for several rounds. Prints medians of lines per second, also as a share of
transformer-small's.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from seq2seq_cli.config.models import Vocabulary, model_config
from seq2seq_cli.config.search import SEARCH_BATCH_TOKENS, SearchOptions
from seq2seq_cli.config.shapes import weight_shapes
from seq2seq_cli.inference.architectures import inference_class
from seq2seq_cli.inference.plain_model import PlainModel
from seq2seq_cli.search.engine import EnginePredictor
from seq2seq_cli.symbols import EOS

PIECES, ROUNDS = 8000, 7
YARDSTICK = "transformer"
SCORES = ("additive", "dot", "scaled-dot", "location-base", "content-base", "multi-head")


def variants() -> Iterator[tuple[str, dict[str, Any]]]:
    """The options by name, as tables of settings; the first is what others are compared with."""
    transformer = {"architecture": "transformer"}
    yield YARDSTICK, transformer
    for name in ("average", "ssru"):
        yield f"transformer {name}", transformer | {"decoder_attention": name}
    yield "transformer rms, swiglu", transformer | {"normalisation": "rms", "activation": "swiglu"}
    yield "transformer rotary", transformer | {"positions": "rotary"}
    yield "transformer copying", transformer | {"copy_attention": True}
    yield "conv", {"architecture": "conv"}
    rnn = {"architecture": "rnn"}
    yield "rnn", rnn
    yield "rnn initial", rnn | {"context": "initial"}
    yield "rnn gru", rnn | {"cell": "gru"}
    attention = {"architecture": "attention-rnn"}
    yield "attention-rnn", attention
    yield "attention-rnn gru", attention | {"cell": "gru"}
    yield "attention-rnn 2 layers", attention | {"encoder_layers": 2, "decoder_layers": 2}
    yield "attention-rnn one direction", attention | {"bidirectional": False}
    yield "attention-rnn input feeding", attention | {"input_feeding": True}
    yield "attention-rnn copying", attention | {"copy_attention": True}
    for score in SCORES:
        yield f"attention-rnn {score}", attention | {"score": score}
    for scope, score in itertools.product(("local-m", "local-p"), ("general", "additive")):
        yield f"attention-rnn {scope}, {score}", attention | {"scope": scope, "score": score}


def random_model(table: dict[str, Any]) -> PlainModel:
    """A model with random weights that keep the size of hidden states."""
    config, vocabulary = model_config(table), Vocabulary(PIECES, PIECES, joint=True)
    random = np.random.default_rng(1)
    arrays = {}
    for name, shape in weight_shapes(config, vocabulary).items():
        array = random.standard_normal(shape, dtype=np.float32)
        if "norm" in name:
            array = np.ones(shape, dtype=np.float32)
        elif len(shape) > 1:
            array /= np.float32(shape[-1] ** 0.5)
        arrays[name] = array
    return PlainModel(config, vocabulary, arrays)


def random_sentences(tokens: int) -> list[list[int]]:
    """Sentences of 5 to 45 tokens, so many in all."""
    random = np.random.default_rng(2)
    sentences: list[list[int]] = []
    while sum(map(len, sentences)) < tokens:
        length = int(random.integers(4, 45))
        sentences.append([*random.integers(4, PIECES, length).tolist(), EOS])
    return sorted(sentences, key=len)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], help="architectures to compare")
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--int8", action="store_true")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    sentences = random_sentences(SEARCH_BATCH_TOKENS)
    search = SearchOptions(beam=options.beam, min_ratio=1.0, max_ratio=1.0, max_extra=0)
    engines = {}
    for name, table in variants():
        if name != YARDSTICK and options.only and table["architecture"] not in options.only:
            continue
        model = random_model(table)
        if inference_class(model.config) is None:
            print(f"{name}: has no kernels")
            continue
        engines[name] = EnginePredictor([model], eight_bits=options.int8)
    speeds: dict[str, list[float]] = {name: [] for name in engines}
    for number in range(options.rounds + 1):
        for name, engine in engines.items():
            began = time.perf_counter()
            engine.search(sentences, search)
            if number:  # the first round warms up
                speeds[name].append(len(sentences) / (time.perf_counter() - began))
    whole = statistics.median(speeds[YARDSTICK])
    print(f"beam {options.beam}, {'8 bits' if options.int8 else 'float32'}")
    for name, measured in speeds.items():
        speed = statistics.median(measured)
        print(f"{name:32} {speed:8.1f} lines/s {speed / whole:6.2f}")


if __name__ == "__main__":
    main()
