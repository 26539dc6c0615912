"""Compares fine-tuning an OPUS-MT model with a plain loop over Hugging Face's MarianMTModel.

    python recipes/bench/finetune.py [--folder FOLDER] [--batch-tokens 4096]

The model has the shape of OPUS-MT (58,101 pieces, width 512, 6 + 6 layers, inner width 2,048) with
random weights, or is the one in FOLDER. Both begin with the same weights: here as `seq2seq import`
makes a run of them. Each engine runs in a process of its own, so that its peak memory can be
measured, and they alternate over the same batches of random tokens for several rounds; medians are
printed, and the ratios within each round. `--micro-batch-tokens N` computes N tokens at a time on
both sides, and there with gradient checkpointing too.
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from updates import TYPES, Engine, Update, our_update, usual_update

from seq2seq_cli.data.batching import epoch_batches
from seq2seq_cli.data.token_pairs import Sentences, TokenPairs
from seq2seq_cli.devices import prepare
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.training.settings import merge_settings
from seq2seq_cli.translation.importing import ImportRequest, import_model

PIECES, WIDTH = 58_101, 512
WARM_UP = 2  # updates before the clock runs
SENTENCES = 20_000
ENGINES = ("seq2seq", "transformers")


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


def make_update(given: argparse.Namespace, kind: str, precision: str) -> Update:
    """Return the update of an engine, whose settings of the process are made too."""
    if kind == "seq2seq":
        prepare(given.threads)
    torch.set_num_threads(given.threads)
    training = {"batch_tokens": given.batch_tokens, "warmup_updates": 4000}
    if given.micro_batch_tokens:
        training["micro_batch_tokens"] = given.micro_batch_tokens
    config = merge_settings({"training": training}, preset="transformer-base", warn=print).training
    pairs = made_up_pairs(PIECES, given.length)
    if kind == "seq2seq":
        return our_update(RunFolder(given.run).load_model(), pairs, config, precision)
    import transformers

    transformers.logging.set_verbosity_error()
    model = transformers.MarianMTModel.from_pretrained(given.folder, dtype=torch.float32)
    model.config.use_cache = False
    if given.micro_batch_tokens:
        model.gradient_checkpointing_enable()
    return usual_update(model, pairs, config, precision, given.micro_batch_tokens)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median over the rounds of how many times as fast ours is."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


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
    engines = [
        Engine(f"{kind}, {precision}", precision, make_update, WARM_UP, given, kind, precision)
        for precision in given.precision
        for kind in ENGINES
    ]
    for start in range(0, given.rounds * given.updates, given.updates):
        for engine in engines:
            engine.train(given.updates, sum(tokens[start : start + given.updates]))
    for engine in engines:
        engine.stop()
    print(f"{'engine':24} {'tokens/s':>9} {'from':>7} {'to':>7} {'/cpu s':>7} {'MB':>6}")
    for engine in engines:
        speeds = engine.speeds
        print(
            f"{engine.label:24} {statistics.median(speeds):9,.0f} {min(speeds):7,.0f} "
            f"{max(speeds):7,.0f} {statistics.median(engine.processor_speeds):7,.0f} "
            f"{engine.megabytes:6,.0f}"
        )
    for ours, theirs in zip(engines[::2], engines[1::2], strict=True):
        print(
            f"{ours.label} / {theirs.label}: {ratio(ours.speeds, theirs.speeds):.2f} of the speed, "
            f"{ratio(ours.processor_speeds, theirs.processor_speeds):.2f} by processor time, "
            f"{ours.megabytes / theirs.megabytes:.2f} of the memory"
        )


if __name__ == "__main__":
    main()
