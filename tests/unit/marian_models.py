"""Models as Marian writes them, with random weights, for tests of its formats."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sentencepiece import SentencePieceTrainer

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.config.shapes import weight_shapes
from seq2seq_cli.interop.foreign_model import ForeignModel, StoredWeight
from seq2seq_cli.interop.marian import reader as marian
from seq2seq_cli.interop.marian.writer import write
from seq2seq_cli.interop.run_writer import write_run
from seq2seq_cli.runs.origin import Origin
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.symbols import BOS, NEVER, PAD
from seq2seq_cli.tokenization.foreign_vocabulary import ForeignVocabulary
from seq2seq_cli.tokenization.tokenizer import Tokenizer
from seq2seq_cli.translation import TranslationSettings, Translator

Arrays = dict[str, np.ndarray]
SOURCE = ["a man rides a bicycle", "two dogs play in the snow", "the house is big"] * 4
TARGET = ["ein mann fährt rad", "zwei hunde spielen im schnee", "das haus ist groß"] * 4
LINES = ["a man rides in the snow", "two big dogs", "the bicycle is big", "", "zwei"]
# What Marian writes; the settings in which the runs of `settings` differ are its options.
OPTIONS = """\
dec-cell: gru
dec-depth: 1
dim-emb: 16
dim-vocabs:
  - 60
  - 60
enc-depth: 1
input-types:
  []
lemma-dim-emb: 0
tied-embeddings: false
tied-embeddings-all: true
tied-embeddings-src: false
transformer-decoder-autoreg: self-attention
transformer-dim-ffn: 24
transformer-ffn-activation: relu
transformer-ffn-depth: 2
transformer-guided-alignment-layer: last
transformer-heads: 2
transformer-postprocess: dan
transformer-postprocess-emb: d
transformer-postprocess-top: ""
transformer-preprocess: ""
transformer-tied-layers:
  []
type: transformer
version: v1.12.42 b7be0e964
"""
BASE = {"width": 16, "heads": 2, "feed_forward": 24, "encoder_layers": 1, "decoder_layers": 1}
MARIAN: dict[str, Any] = {
    "norm": "post",
    "norm_epsilon": 1e-6,
    "sinusoids": "tensor2tensor",
    "zero_start": True,
    "output_bias": True,
}


def trained(lines: list[str], **settings: Any) -> bytes:
    """A SentencePiece model as Marian trains it."""
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        vocab_size=60,
        hard_vocab_limit=False,
        eos_id=0,
        unk_id=1,
        bos_id=-1,
        pad_id=-1,
        minloglevel=2,
        **settings,
    )
    return model.getvalue()


def random_run(folder: Path, tokenizers: Tokenizers, **settings: Any) -> RunFolder:
    """A run of random weights that Marian can hold."""
    config = TransformerConfig(**BASE | MARIAN | settings)
    draw = np.random.default_rng(1)
    weights = {}
    for name, shape in weight_shapes(config, tokenizers.vocabulary).items():
        array = draw.normal(0, 0.4, shape).astype(np.float32)
        if name == "target_embedding.weight":
            array[BOS] = 0
        if name == "output.bias":
            array[[PAD, BOS]] = NEVER
        weights[name] = StoredWeight.of(array)
    write_run(ForeignModel(config, tokenizers, weights, DataConfig(), Origin()), folder)
    return RunFolder(folder)


def imported(path: Path, folder: Path) -> RunFolder:
    write_run(marian.read(path), folder)
    return RunFolder(folder)


def exported(run: RunFolder, folder: Path) -> Path:
    folder.mkdir()
    write(run, folder, "")
    return folder


def translations(run: RunFolder) -> list[str]:
    settings = TranslationSettings(search=SearchOptions(beam=3))
    found = Translator.load(run.path, settings).translate(LINES)
    return [each.as_jsonl(3) for each in found]


def one_tokenizer(model: bytes) -> Tokenizers:
    tokenizer = Tokenizer(model)
    return Tokenizers(tokenizer, tokenizer)


def hand_written(folder: Path, model: bytes, changes: Mapping[str, str] | None = None) -> Arrays:
    """Write a model with the names, shapes and options that Marian's trainer writes."""
    folder.mkdir(exist_ok=True)
    pieces = len(ForeignVocabulary.of_model(model).pieces)
    draw = np.random.default_rng(2)

    def drawn(*shape: int) -> np.ndarray:
        return draw.normal(0, 0.4, shape).astype(np.float32)

    arrays = {"Wemb": drawn(pieces, 16), "decoder_ff_logit_out_b": drawn(1, pieces)}
    for layer in ("encoder_l1_self", "decoder_l1_self", "decoder_l1_context"):
        for letter in "qkvo":
            arrays[f"{layer}_W{letter}"] = drawn(16, 16)
            arrays[f"{layer}_b{letter}"] = drawn(1, 16)
        arrays[f"{layer}_Wo_ln_scale"] = drawn(1, 16)
        arrays[f"{layer}_Wo_ln_bias"] = drawn(1, 16)
    for layer in ("encoder_l1_ffn", "decoder_l1_ffn"):
        arrays |= {f"{layer}_W1": drawn(16, 24), f"{layer}_b1": drawn(1, 24)}
        arrays |= {f"{layer}_W2": drawn(24, 16), f"{layer}_b2": drawn(1, 16)}
        arrays |= {f"{layer}_ffn_ln_scale": drawn(1, 16), f"{layer}_ffn_ln_bias": drawn(1, 16)}
    options = OPTIONS
    for old, new in (changes or {}).items():
        assert old in options
        options = options.replace(old, new)
    stored = arrays | {"special:model.yml": np.frombuffer(options.encode() + b"\0", np.int8)}
    np.savez(folder / "model.npz", **stored)  # type: ignore[arg-type]
    (folder / "vocab.spm").write_bytes(model)
    return arrays


def opus_release(
    folder: Path, models: tuple[bytes, bytes], decoder: str = "", listed: bytes = b""
) -> Path:
    """A release as OPUS-MT has it: one list for both sides, and a segmentation for each."""
    pieces = {"</s>": 0, "<unk>": 1}
    for model in models:
        for piece in ForeignVocabulary.of_model(model).pieces:
            assert piece is not None
            pieces.setdefault(piece, len(pieces))
    pieces.setdefault(">>deu<<", len(pieces))
    folder.mkdir()
    joint = trained(SOURCE + TARGET)
    arrays = hand_written(folder, joint)
    (folder / "vocab.spm").unlink()
    draw = np.random.default_rng(3)
    arrays["Wemb"] = draw.normal(0, 0.4, (len(pieces), 16)).astype(np.float32)
    arrays["decoder_ff_logit_out_b"] = np.zeros((1, len(pieces)), np.float32)
    stored = arrays | {"special:model.yml": np.frombuffer(OPTIONS.encode(), np.int8)}
    np.savez(folder / "model.npz", **stored)  # type: ignore[arg-type]
    for name, model in zip(("source.spm", "target.spm"), models, strict=True):
        (folder / name).write_bytes(model)
    lines = [f"{json.dumps(piece)}: {number}" for piece, number in pieces.items()]
    (folder / "opus.vocab.yml").write_bytes(listed or "\n".join(lines).encode())
    (folder / "decoder.yml").write_text(
        decoder
        or "models:\n  - model.npz\nvocabs:\n  - opus.vocab.yml\n  - opus.vocab.yml\n"
        "beam-size: 6\nnormalize: 1\nrelative-paths: true\n"
    )
    (folder / "LICENSE").write_text("Attribution 4.0 International\n\n===")
    (folder / "README.md").write_text(
        "# opus\n* source language(s): eng\n* target languages: deu\n"
    )
    return folder
