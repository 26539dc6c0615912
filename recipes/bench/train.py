"""Compares training with a plain PyTorch loop over Hugging Face's MarianMTModel.

    python recipes/bench/train.py --source train.en --target train.de

Each engine runs in a process of its own, so that its peak memory can be measured. The engines
alternate over the same batches for several rounds, so that other work on the machine affects all of
them; medians are printed. The share is the speed divided by the speed of the matrix products of the
weights alone, for the tokens that are not padding, forward and twice backward, timed in the same
run, type and number of threads. Marian is compared with the Transformer only: post-norm, of the
same size, with the same dropout.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from updates import TYPES, Engine, Update, our_update, usual_update

from seq2seq_cli.data.batching import epoch_batches
from seq2seq_cli.data.token_pairs import Sentences, TokenPairs
from seq2seq_cli.devices import prepare
from seq2seq_cli.models import TranslationModel, Vocabulary, build
from seq2seq_cli.runs.run_config import RunConfig
from seq2seq_cli.symbols import BOS, EOS, PAD
from seq2seq_cli.training.settings import merge_settings

WARM_UP = 3  # updates before the clock runs
# The products of a linear layer: forward, and for the gradients of its inputs and its weights.
FORWARD, INPUTS, WEIGHTS = "f", "i", "w"
ONWARD, ALL = FORWARD + INPUTS, FORWARD + INPUTS + WEIGHTS


def make_update(
    pairs_ids: Any, config: RunConfig, size: int, kind: str, precision: str, tuned: bool,
    threads: int,
) -> Update:  # fmt: skip
    """Return the update of an engine, whose settings of the process are made too."""
    if tuned:
        prepare(threads)
    torch.set_num_threads(threads)
    pairs = TokenPairs(*map(Sentences, pairs_ids))
    if kind == "seq2seq":
        model = build(config.model, Vocabulary(size, size, joint=True))
        return our_update(model, pairs, config.training, precision)
    return usual_update(marian_model(config, size), pairs, config.training, precision)


def marian_model(config: RunConfig, size: int) -> nn.Module:
    """Return a MarianMTModel of the same size, with the same dropout."""
    import transformers

    transformers.logging.set_verbosity_error()
    shape = config.model
    return transformers.MarianMTModel(
        transformers.MarianConfig(
            vocab_size=size, d_model=shape.width, pad_token_id=PAD, eos_token_id=EOS,
            encoder_layers=shape.encoder_layers, decoder_layers=shape.decoder_layers,
            encoder_attention_heads=shape.heads, decoder_attention_heads=shape.heads,
            encoder_ffn_dim=shape.feed_forward, decoder_ffn_dim=shape.feed_forward,
            dropout=shape.dropout, activation_dropout=shape.dropout, activation_function="relu",
            scale_embedding=True, decoder_start_token_id=BOS, use_cache=False,
        )
    )  # fmt: skip


class Products:
    """The matrix products of a model for one batch: their shapes and how often each is computed.

    The products of a recurrent layer with its state have one row for each sentence and are computed
    token by token; only the gradient of its weights is one product for all tokens.
    """

    def __init__(self, model: TranslationModel, sentences: int, source: int, target: int) -> None:
        # (rows, inputs, outputs, which of the products) -> how often
        self.counts: dict[tuple[int, int, int, str], float] = {}
        for name, module in model.named_modules():
            reads_source = name.startswith("encoder") or "key_value" in name
            reads_source = reads_source or name.startswith("attention.weight")
            tokens = source if reads_source else target
            if isinstance(module, nn.Linear):
                self._add(tokens, module.in_features, module.out_features)
            elif isinstance(module, nn.RNNBase):
                for key, weight in module.named_parameters():
                    if key.startswith("weight_ih"):
                        self._add(tokens, weight.size(1), weight.size(0))
                    elif key.startswith("weight_hh"):
                        size = (weight.size(1), weight.size(0))
                        self._add(sentences, *size, ONWARD, tokens / sentences)
                        self._add(tokens, *size, WEIGHTS)

    def _add(
        self, rows: int, inputs: int, outputs: int, products: str = ALL, times: float = 1.0
    ) -> None:
        shape = (rows, inputs, outputs, products)
        self.counts[shape] = self.counts.get(shape, 0.0) + times

    def operations(self) -> float:
        return sum(
            2.0 * len(products) * math.prod(shape) * times
            for (*shape, products), times in self.counts.items()
        )

    def seconds(self, precision: torch.dtype) -> float:
        return sum(times * self._time(*shape, precision) for shape, times in self.counts.items())

    @staticmethod
    def _time(rows: int, inputs: int, outputs: int, products: str, precision: torch.dtype) -> float:
        """Return the seconds of the chosen products: forward, and for the two gradients."""
        x = torch.randn(rows, inputs).to(precision)
        weight = torch.randn(outputs, inputs).to(precision)
        gradient = torch.randn(rows, outputs).to(precision)
        seconds = []
        for _ in range(6):
            began = time.perf_counter()
            if FORWARD in products:
                F.linear(x, weight)
            if INPUTS in products:
                torch.mm(gradient, weight)
            if WEIGHTS in products:
                torch.mm(gradient.t(), x)
            seconds.append(time.perf_counter() - began)
        return statistics.median(seconds[1:])


def tokenised(source: Path, target: Path, size: int) -> tuple[list[list[int]], list[list[int]]]:
    """Return the ids of both sides in a joint vocabulary, without long pairs."""
    from seq2seq_cli.config.tokenizer import TokenizerSettings
    from seq2seq_cli.data.parallel import parse_corpora, read_parallel
    from seq2seq_cli.tokenization.learning import train_tokenizer

    text = read_parallel(parse_corpora((str(source),), (str(target),)), print)
    learned = train_tokenizer(
        [*text.source, *text.target], TokenizerSettings(vocabulary_size=size), sides=2
    ).tokenizer
    sides = learned.encode(text.source), learned.encode(text.target)
    kept = [pair for pair in zip(*sides, strict=True) if max(map(len, pair)) <= 200]
    return [s for s, _ in kept], [t for _, t in kept]


def compare(preset: str, ids: Any, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Train one preset with every engine that supports it; print and return the figures."""
    options = {"training": {"batch_tokens": given.batch_tokens, "warmup_updates": 4000}}
    config = merge_settings(options, preset=preset, warn=print)
    pairs = TokenPairs(*map(Sentences, ids))
    batches = epoch_batches(pairs, given.batch_tokens, config.training.seed, 0)
    used = batches[WARM_UP : WARM_UP + given.rounds * given.updates]
    rest = (ids, config, given.vocabulary_size)
    types = {name: TYPES[name] for name in given.precision}
    kinds = [(f"seq2seq, {name}", "seq2seq", name, True) for name in types]
    if config.model.architecture == "transformer" and not given.alone:
        kinds += [
            ("Marian, as usually written", "marian", "float32", False),
            (f"Marian, {given.precision[0]}, malloc tuned", "marian", given.precision[0], True),
        ]
    engines = [
        Engine(label, precision, make_update, WARM_UP, *rest, kind, precision, tuned, given.threads)
        for label, kind, precision, tuned in kinds
    ]
    model = build(config.model, Vocabulary(given.vocabulary_size, given.vocabulary_size, True))
    sentences = round(sum(map(len, used)) / len(used))
    each = [pairs.batch(rows).target_tokens() for rows in used]
    tokens = sum(each) / len(used)
    source = sum(int(pairs.source.lengths[rows].sum()) + len(rows) for rows in used) / len(used)
    products = Products(model, sentences, round(source), round(tokens))
    floors: dict[str, list[float]] = {name: [] for name in (*types, "float32")}
    for start in range(0, len(used), given.updates):
        round_tokens = sum(each[start : start + given.updates])
        for name in floors:
            floors[name].append(products.seconds(TYPES[name]))
        for engine in engines:
            engine.train(given.updates, round_tokens)
        speeds = ", ".join(f"{engine.label} {engine.speeds[-1]:,.0f}" for engine in engines)
        print(
            f"round {start // given.updates + 1} of {given.rounds}, tokens/s: {speeds}", flush=True
        )
    allowed = {name: tokens / statistics.median(seconds) for name, seconds in floors.items()}
    print(
        f"\n{preset}: {given.rounds} rounds of {given.updates} updates, {tokens:,.0f} target "
        f"tokens each, {products.operations() / tokens / 1e6:.1f} MFLOP per target token"
    )
    for name, speed in allowed.items():
        gigaflops = products.operations() * speed / tokens / 1e9
        print(f"  products alone, {name}: {speed:,.0f} target tokens/s, {gigaflops:,.0f} GFLOP/s")
    print(f"{'engine':32} {'tokens/s':>9} {'from':>7} {'to':>7} {'share':>6} {'MB':>6}")
    figures = []
    for engine in engines:
        speed = statistics.median(engine.speeds)
        record = {
            "preset": preset,
            "engine": engine.label,
            "tokens_per_second": speed,
            "rounds": engine.speeds,
            "share": speed / allowed[engine.precision],
            "megabytes": engine.megabytes,
        }
        figures.append(record)
        slowest, fastest = min(engine.speeds), max(engine.speeds)
        print(f"{engine.label:32} {speed:9,.0f} {slowest:7,.0f} {fastest:7,.0f} "
              f"{record['share']:6.0%} {engine.megabytes:6,.0f}")  # fmt: skip
        engine.stop()
    print_ratios(engines[: len(types)], engines[len(types) :])
    return figures


def print_ratios(own: Sequence[Engine], others: Sequence[Engine]) -> None:
    """Print the median over the rounds of how many times as fast this program is as each other."""
    for ours in own:
        for other in others:
            ratios = [a / b for a, b in zip(ours.speeds, other.speeds, strict=True)]
            print(f"  {ours.label} / {other.label}: {statistics.median(ratios):.2f}")


def with_instructions() -> list[str]:
    """The types whose products the processor has instructions for; says which are left out."""
    if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported():
        return ["bfloat16", "float32"]
    print("bfloat16 is left out: the processor has no instructions for it (--precision bfloat16)")
    return ["float32"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--target", type=Path, required=True)
    presets = ["transformer-small", "attention-rnn", "conv", "rnn"]
    parser.add_argument("--preset", nargs="+", default=presets)
    parser.add_argument("--alone", action="store_true", help="without Hugging Face's model")
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--vocabulary-size", type=int, default=8000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=8, help="in each round")
    parser.add_argument(
        "--precision", nargs="+", choices=list(TYPES), help="those the processor is made for"
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    given.precision = given.precision or with_instructions()
    prepare(given.threads)
    ids = tokenised(given.source, given.target, given.vocabulary_size)
    figures = [record for preset in given.preset for record in compare(preset, ids, given)]
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
