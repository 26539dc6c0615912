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
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from seq2seq_cli.data.batching import epoch_batches
from seq2seq_cli.data.token_pairs import Sentences, TokenPairs
from seq2seq_cli.devices import autocast, prepare
from seq2seq_cli.models import TranslationModel, Vocabulary, build
from seq2seq_cli.runs.run_config import RunConfig
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.symbols import BOS, EOS, PAD
from seq2seq_cli.training.settings import merge_settings
from seq2seq_cli.training.trainer import Experiment, Trainer

CPU = torch.device("cpu")
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
WARM_UP = 3  # updates before the clock runs
# The products of a linear layer: forward, and for the gradients of its inputs and its weights.
FORWARD, INPUTS, WEIGHTS = "f", "i", "w"
ONWARD, ALL = FORWARD + INPUTS, FORWARD + INPUTS + WEIGHTS

Update = Callable[[], object]


class Silent:
    """Ignores the progress of training."""

    def progressed(self, *figures: object) -> None: ...
    def ticked(self, *figures: object) -> None: ...
    def validated(self, *figures: object, **more: object) -> None: ...
    def said(self, message: str) -> None: ...


def our_engine(pairs: TokenPairs, config: RunConfig, size: int, precision: str) -> Update:
    """Return the trainer's update, as `seq2seq train` runs it."""
    model = build(config.model, Vocabulary(size, size, joint=True))
    folder = RunFolder(Path(tempfile.mkdtemp()))
    trainer = Trainer(
        Experiment(
            model=model,
            pairs=pairs,
            config=config.training,
            run=folder,
            validate=None,
            diagnose=None,
            listener=Silent(),
            device=CPU,
            precision=TYPES[precision],
            data="",
        )
    )
    model.train()
    return trainer.update


def marian_engine(pairs: TokenPairs, config: RunConfig, size: int, precision: str) -> Update:
    """Return an update as it is usually written with transformers and PyTorch alone."""
    import transformers

    transformers.logging.set_verbosity_error()
    training, shape = config.training, config.model
    marian = transformers.MarianMTModel(
        transformers.MarianConfig(
            vocab_size=size, d_model=shape.width, pad_token_id=PAD, eos_token_id=EOS,
            encoder_layers=shape.encoder_layers, decoder_layers=shape.decoder_layers,
            encoder_attention_heads=shape.heads, decoder_attention_heads=shape.heads,
            encoder_ffn_dim=shape.feed_forward, decoder_ffn_dim=shape.feed_forward,
            dropout=shape.dropout, activation_dropout=shape.dropout, activation_function="relu",
            scale_embedding=True, decoder_start_token_id=BOS, use_cache=False,
        )
    ).train()  # fmt: skip
    optimizer = torch.optim.AdamW(
        marian.parameters(), training.learning_rate, (training.beta1, training.beta2)
    )
    rows = iter(epoch_batches(pairs, training.batch_tokens, training.seed, 0))

    def update() -> None:
        batch = pairs.batch(next(rows))
        with autocast(CPU, TYPES[precision]):
            logits = marian(
                input_ids=batch.source,
                attention_mask=batch.source != PAD,
                decoder_input_ids=batch.target[:, :-1],
            ).logits
            loss = F.cross_entropy(
                logits.flatten(0, 1), batch.target[:, 1:].flatten(),
                ignore_index=PAD, label_smoothing=training.label_smoothing,
            )  # fmt: skip
        loss.backward()
        torch.nn.utils.clip_grad_norm_(marian.parameters(), training.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()

    return update


def serve(pipe: Any, kind: str, precision: str, tuned: bool, threads: int, *given: Any) -> None:
    """Warm up, then answer each number of updates with their seconds and the peak memory in MB."""
    if tuned:
        prepare(threads)
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    ids, config, size = given
    pairs = TokenPairs(*map(Sentences, ids))
    update = {"seq2seq": our_engine, "marian": marian_engine}[kind](pairs, config, size, precision)
    for _ in range(WARM_UP):
        update()
    pipe.send("ready")
    for updates in iter(pipe.recv, None):
        began = time.perf_counter()
        for _ in range(updates):
            update()
        seconds = time.perf_counter() - began
        pipe.send((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


class Engine:
    """An engine in a process of its own."""

    def __init__(self, label: str, kind: str, precision: str, tuned: bool, *given: Any) -> None:
        self.label, self.precision = label, precision
        self.pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        arguments = (theirs, kind, precision, tuned, *given)
        self.process = context.Process(target=serve, args=arguments, daemon=True)
        self.process.start()
        assert self.pipe.recv() == "ready"
        self.speeds: list[float] = []  # target tokens/s of each round
        self.megabytes = 0.0

    def train(self, updates: int, tokens: int) -> None:
        self.pipe.send(updates)
        seconds, self.megabytes = self.pipe.recv()
        self.speeds.append(tokens / seconds)

    def stop(self) -> None:
        self.pipe.send(None)
        self.process.join()


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
    engines = [
        Engine(f"seq2seq, {name}", "seq2seq", name, True, given.threads, *rest) for name in TYPES
    ]
    if config.model.architecture == "transformer" and not given.alone:
        engines += [
            Engine("Marian, as usually written", "marian", "float32", False, given.threads, *rest),
            Engine("Marian, bfloat16, malloc tuned", "marian", "bfloat16", True, given.threads,
                   *rest),
        ]  # fmt: skip
    model = build(config.model, Vocabulary(given.vocabulary_size, given.vocabulary_size, True))
    sentences = round(sum(map(len, used)) / len(used))
    each = [pairs.batch(rows).target_tokens() for rows in used]
    tokens = sum(each) / len(used)
    source = sum(int(pairs.source.lengths[rows].sum()) + len(rows) for rows in used) / len(used)
    products = Products(model, sentences, round(source), round(tokens))
    floors: dict[str, list[float]] = {name: [] for name in TYPES}
    for start in range(0, len(used), given.updates):
        round_tokens = sum(each[start : start + given.updates])
        for name in TYPES:
            floors[name].append(products.seconds(TYPES[name]))
        for engine in engines:
            engine.train(given.updates, round_tokens)
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
    print_ratios(engines)
    return figures


def print_ratios(engines: Sequence[Engine]) -> None:
    """Print the median over the rounds of how many times as fast this program is as each other."""
    for ours in engines[: len(TYPES)]:
        for other in engines[len(TYPES) :]:
            ratios = [a / b for a, b in zip(ours.speeds, other.speeds, strict=True)]
            print(f"  {ours.label} / {other.label}: {statistics.median(ratios):.2f}")


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
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    prepare(given.threads)
    ids = tokenised(given.source, given.target, given.vocabulary_size)
    figures = [record for preset in given.preset for record in compare(preset, ids, given)]
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
