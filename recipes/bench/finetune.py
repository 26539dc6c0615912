"""Compares fine-tuning an OPUS-MT model with a plain loop over Hugging Face's MarianMTModel.

    python recipes/bench/finetune.py [--folder FOLDER] [--batch-tokens 2048]

The model has the shape of OPUS-MT (58,101 pieces, width 512, 6 + 6 layers, inner width 2,048) with
random weights, or is the one in FOLDER. Both begin with the same weights: here as `seq2seq import`
makes a run of them. Each engine runs in a process of its own, so that its peak memory can be
measured, and they alternate over the same batches of random tokens for several rounds; medians are
printed, and the ratios within each round. `--micro-batch-tokens N` computes N tokens at a time on
both sides, and there with gradient checkpointing too.
"""

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from train import CPU, TYPES, Silent

from seq2seq_cli.data.batching import epoch_batches
from seq2seq_cli.data.token_pairs import Sentences, TokenPairs
from seq2seq_cli.devices import autocast, prepare
from seq2seq_cli.padding import split_by_tokens
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.symbols import PAD
from seq2seq_cli.training.settings import merge_settings
from seq2seq_cli.training.trainer import Experiment, Trainer
from seq2seq_cli.translation.importing import ImportRequest, import_model

PIECES, WIDTH = 58_101, 512
WARM_UP = 2  # updates before the clock runs
SENTENCES = 20_000
Update = Callable[[], object]


def made_up_folder(path: Path) -> None:
    """Save a MarianMTModel of OPUS-MT's shape with random weights, and a tokenizer for it."""
    import json

    import transformers
    from shapes import made_up_tokenizer

    tokenizer, _ = made_up_tokenizer(PIECES - 1)
    pieces = ["</s>", "<unk>", *tokenizer.vocabulary[4:]]
    pieces += [f"unused{number}" for number in range(PIECES - len(pieces) - 1)]
    pieces.append("<pad>")
    path.mkdir(parents=True)
    for name in ("source.spm", "target.spm"):
        (path / name).write_bytes(tokenizer.model)
    (path / "vocab.json").write_text(json.dumps({p: i for i, p in enumerate(pieces)}))
    pad = len(pieces) - 1
    config = transformers.MarianConfig(
        vocab_size=PIECES, d_model=WIDTH, encoder_layers=6, decoder_layers=6,
        encoder_attention_heads=8, decoder_attention_heads=8, max_position_embeddings=512,
        encoder_ffn_dim=2048, decoder_ffn_dim=2048, activation_function="swish",
        scale_embedding=True, pad_token_id=pad, decoder_start_token_id=pad, eos_token_id=0,
        forced_eos_token_id=0,
    )  # fmt: skip
    torch.manual_seed(1)
    transformers.MarianMTModel(config).save_pretrained(path)


def made_up_pairs(pieces: int, length: float) -> TokenPairs:
    """Pairs of random tokens, with lengths as those of sentences: log-normal, about `length`."""
    draw = np.random.default_rng(1)
    lengths = draw.lognormal(np.log(length), 0.5, (2, SENTENCES)).clip(2, 120).astype(int)
    sides = [[draw.integers(4, pieces, each).tolist() for each in side] for side in lengths]
    return TokenPairs(*map(Sentences, sides))


def our_engine(given: argparse.Namespace, pairs: TokenPairs, config: Any, precision: str) -> Update:
    """Return the trainer's update, as `seq2seq train --init-from` runs it."""
    trainer = Trainer(
        Experiment(
            model=RunFolder(given.run).load_model(),
            pairs=pairs,
            config=config,
            run=RunFolder(Path(tempfile.mkdtemp())),
            validate=None,
            diagnose=None,
            listener=Silent(),
            device=CPU,
            precision=TYPES[precision],
            data="",
        )
    )
    trainer.model.train()
    return trainer.update


def marian_engine(
    given: argparse.Namespace, pairs: TokenPairs, config: Any, precision: str
) -> Update:
    """Return an update as it is usually written with transformers and PyTorch alone."""
    import transformers

    transformers.logging.set_verbosity_error()
    model = transformers.MarianMTModel.from_pretrained(given.folder, dtype=torch.float32)
    model = model.train()
    model.config.use_cache = False
    if given.micro_batch_tokens:
        model.gradient_checkpointing_enable()
    optimizer = torch.optim.AdamW(
        model.parameters(), config.learning_rate, (config.beta1, config.beta2)
    )
    rows = iter(epoch_batches(pairs, given.batch_tokens, config.seed, 0))

    def update() -> None:
        chosen = next(rows)
        lengths = np.maximum(pairs.source.lengths, pairs.target.lengths)[chosen] + 1
        parts = split_by_tokens(lengths, given.micro_batch_tokens or 1 << 30)
        total = pairs.batch(chosen).target_tokens()
        for part in parts:
            batch = pairs.batch(chosen[part])
            with autocast(CPU, TYPES[precision]):
                logits = model(
                    input_ids=batch.source,
                    attention_mask=batch.source != PAD,
                    decoder_input_ids=batch.target[:, :-1],
                ).logits
                loss = F.cross_entropy(
                    logits.flatten(0, 1), batch.target[:, 1:].flatten(), reduction="sum",
                    ignore_index=PAD, label_smoothing=config.label_smoothing,
                )  # fmt: skip
            (loss / total).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()

    return update


ENGINES = {"seq2seq": our_engine, "transformers": marian_engine}


def serve(pipe: Any, kind: str, precision: str, given: argparse.Namespace) -> None:
    """Warm up, then answer each number of updates with their seconds and the peak memory in MB."""
    if kind == "seq2seq":
        prepare(given.threads)
    torch.set_num_threads(given.threads)
    torch.manual_seed(1)
    training = {"batch_tokens": given.batch_tokens, "warmup_updates": 4000}
    if given.micro_batch_tokens:
        training["micro_batch_tokens"] = given.micro_batch_tokens
    settings = merge_settings({"training": training}, preset="transformer-base", warn=print)
    pairs = made_up_pairs(PIECES, given.length)
    update = ENGINES[kind](given, pairs, settings.training, precision)
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

    def __init__(self, kind: str, precision: str, given: argparse.Namespace) -> None:
        self.label = f"{kind}, {precision}"
        self.kind, self.speeds, self.megabytes = kind, list[float](), 0.0
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("spawn").Process(
            target=serve, args=(theirs, kind, precision, given), daemon=True
        )
        self.process.start()
        assert self.pipe.recv() == "ready"

    def train(self, updates: int, tokens: int) -> None:
        self.pipe.send(updates)
        seconds, self.megabytes = self.pipe.recv()
        self.speeds.append(tokens / seconds)

    def stop(self) -> None:
        self.pipe.send(None)
        self.process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, help="a MarianMTModel; else one is made up")
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--micro-batch-tokens", type=int, default=0)
    parser.add_argument("--length", type=float, default=20, help="usual tokens of a sentence")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=2, help="in each round")
    parser.add_argument("--precision", nargs="+", choices=TYPES, default=["float32"])
    given = parser.parse_args()
    work = Path(tempfile.mkdtemp())
    if given.folder is None:
        given.folder = work / "model"
        made_up_folder(given.folder)
    given.run = work / "run"
    import_model(ImportRequest(str(given.folder)), given.run)
    pairs = made_up_pairs(PIECES, given.length)
    batches = epoch_batches(pairs, given.batch_tokens, 1, 0)
    tokens = [pairs.batch(rows).target_tokens() for rows in batches[WARM_UP:]]
    engines = [Engine(kind, each, given) for each in given.precision for kind in ENGINES]
    for start in range(0, given.rounds * given.updates, given.updates):
        for engine in engines:
            engine.train(given.updates, sum(tokens[start : start + given.updates]))
    for engine in engines:
        engine.stop()
    print(f"{'engine':24} {'tokens/s':>9} {'from':>7} {'to':>7} {'MB':>6}")
    for engine in engines:
        speeds = engine.speeds
        print(
            f"{engine.label:24} {statistics.median(speeds):9,.0f} {min(speeds):7,.0f} "
            f"{max(speeds):7,.0f} {engine.megabytes:6,.0f}"
        )
    for ours, theirs in zip(engines[::2], engines[1::2], strict=True):
        ratios = [a / b for a, b in zip(ours.speeds, theirs.speeds, strict=True)]
        print(
            f"{ours.label} / {theirs.label}: {statistics.median(ratios):.2f} of the speed, "
            f"{ours.megabytes / theirs.megabytes:.2f} of the memory"
        )


if __name__ == "__main__":
    main()
