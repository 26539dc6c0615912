"""Measures the time and memory of importing a model of NLLB-600M's shape, with random weights.

    python recipes/bench/import_size.py --dtype float32
    python recipes/bench/import_size.py --dtype float32 --export

Writes a folder as Hugging Face has it (12 + 12 layers, width 1,024, 256,206 ids, 2.5 GB in
float32), imports it with `seq2seq import`, translates a line twice with `--precision int8`, and
removes all. Prints the seconds that the import and both translations took, their most memory beside
mapped files (RssAnon of Linux), and the size of the run folder. The first translation packs the
weights, the second maps what was packed. The import has to
take less than 60 s and 1 GB.

With `--export`, a run of this size, post-norm as MarianMT has it, is exported for Hugging Face
instead.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.config.shapes import weight_shapes
from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.interop.foreign_model import ForeignModel
from seq2seq_cli.interop.run_writer import write_run
from seq2seq_cli.runs.origin import Origin
from seq2seq_cli.runs.stored_weights import NUMPY_TYPES, StoredWeight, save_stored_weights
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.symbols import BOS, EOS, UNK
from seq2seq_cli.tokenization.learning import train_tokenizer
from seq2seq_cli.tokenization.protobuf import (
    NORMALIZER_FIELD,
    PIECE_FIELD,
    TEXT_TYPE,
    TRAINER_FIELD,
    ModelPiece,
    length_delimited,
    raw_fields,
    with_symbols,
)
from seq2seq_cli.tokenization.tokenizer import Tokenizer

IDS, SPM_PIECES = 256_206, 256_000
LANGUAGES = ["eng_Latn", "deu_Latn", "fra_Latn", *(f"a{chr(97 + i)}a_Latn" for i in range(26))]
LIMIT_SECONDS, LIMIT_BYTES = 60, 1e9


def sentencepiece_model() -> bytes:
    """A SentencePiece model of made-up pieces, in the order that NLLB's has."""
    model = train_tokenizer(["a b c d"] * 9, TokenizerSettings(vocabulary_size=9)).tokenizer.model
    pieces = [
        ModelPiece.of("<unk>", 2),
        ModelPiece.of("<s>", 3),
        ModelPiece.of("</s>", 3),
        *(ModelPiece.of(text, TEXT_TYPE) for text in texts(SPM_PIECES - 3)),
    ]
    parts = [length_delimited(PIECE_FIELD, piece.raw) for piece in pieces]
    for number, raw in raw_fields(model):
        if number == TRAINER_FIELD:
            names = {UNK: "<unk>", BOS: "<s>", EOS: "</s>"}
            parts.append(with_symbols(raw, " \u2047 ", {UNK: 0, BOS: 1, EOS: 2}, names))
        elif number == NORMALIZER_FIELD:
            parts.append(raw)
    return b"".join(parts)


def write_tokenizer(folder: Path) -> None:
    (folder / "sentencepiece.bpe.model").write_bytes(sentencepiece_model())
    settings = {"tokenizer_class": "NllbTokenizer", "additional_special_tokens": LANGUAGES}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def texts(count: int) -> Iterator[str]:
    """Pieces that are all different: letters, and groups of letters that begin a word."""
    letters = "abcdefghijklmnopqrstuvwxyz.,?'ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    yield "\u2581"
    yield from letters
    for number in range(count - len(letters) - 1):
        text = ""
        while number:
            number, digit = divmod(number, len(letters))
            text += letters[digit]
        yield f"\u2581\u2581{text}"


def write_model(folder: Path, dtype: str, layers: int, width: int) -> int:
    """Write settings and weights; returns their number of parameters."""
    config = {
        "architectures": ["M2M100ForConditionalGeneration"],
        "model_type": "m2m_100",
        "d_model": width,
        "encoder_layers": layers,
        "decoder_layers": layers,
        "encoder_attention_heads": 16,
        "decoder_attention_heads": 16,
        "encoder_ffn_dim": 4 * width,
        "decoder_ffn_dim": 4 * width,
        "activation_function": "relu",
        "scale_embedding": True,
        "vocab_size": IDS,
        "max_position_embeddings": 1024,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 2,
    }
    (folder / "config.json").write_text(json.dumps(config))
    shapes = {"model.shared.weight": (IDS, width)}
    for side in ("encoder", "decoder"):
        for number in range(layers):
            name = f"model.{side}.layers.{number}"
            attentions = ["self_attn", *["encoder_attn"] * (side == "decoder")]
            for attention in attentions:
                for part in ("q", "k", "v", "out"):
                    shapes[f"{name}.{attention}.{part}_proj.weight"] = (width, width)
                    shapes[f"{name}.{attention}.{part}_proj.bias"] = (width,)
                shapes[f"{name}.{attention}_layer_norm.weight"] = (width,)
                shapes[f"{name}.{attention}_layer_norm.bias"] = (width,)
            shapes[f"{name}.fc1.weight"] = (4 * width, width)
            shapes[f"{name}.fc1.bias"] = (4 * width,)
            shapes[f"{name}.fc2.weight"] = (width, 4 * width)
            shapes[f"{name}.fc2.bias"] = (width,)
            shapes[f"{name}.final_layer_norm.weight"] = (width,)
            shapes[f"{name}.final_layer_norm.bias"] = (width,)
        shapes[f"model.{side}.layer_norm.weight"] = (width,)
        shapes[f"model.{side}.layer_norm.bias"] = (width,)
    weights = {name: random_weight(shape, dtype) for name, shape in shapes.items()}
    save_stored_weights(folder / "model.safetensors", weights, {})
    return sum(int(np.prod(shape)) for shape in shapes.values())


def write_exportable_run(folder: Path, dtype: str, layers: int, width: int) -> int:
    """Write a run that MarianMT holds; returns its number of parameters."""
    tokenizer = Tokenizer(sentencepiece_model())
    tokenizers = Tokenizers(tokenizer, tokenizer)
    config = TransformerConfig(
        norm="post", width=width, heads=16, feed_forward=4 * width,
        encoder_layers=layers, decoder_layers=layers,
    )  # fmt: skip
    shapes = weight_shapes(config, tokenizers.vocabulary)
    weights = {name: random_weight(shape, dtype) for name, shape in shapes.items()}
    origin = Origin(format="made-up")
    write_run(ForeignModel(config, tokenizers, weights, DataConfig(), origin), folder)
    return sum(int(np.prod(shape)) for shape in shapes.values())


def random_weight(shape: tuple[int, ...], dtype: str) -> StoredWeight:
    draw = np.random.default_rng(1)
    kind = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}[dtype]

    def rows(first: int, last: int) -> np.ndarray:
        numbers = draw.standard_normal((last - first, *shape[1:]), dtype=np.float32) * 0.02
        if kind == "BF16":
            return (numbers.view(np.uint32) >> 16).astype(np.uint16)
        return numbers.astype(NUMPY_TYPES[kind])

    return StoredWeight(shape, kind, lambda: rows(0, shape[0]), rows)


class Cost(NamedTuple):
    """The time and the memory that a command took."""

    seconds: float
    busy: float  # seconds of processors
    own: int  # most bytes of memory beside mapped files
    whole: int  # most bytes of memory

    def __str__(self) -> str:
        return (
            f"{self.seconds:.1f} s, busy for {self.busy:.1f} s of these; memory beside mapped "
            f"files {self.own / 1e9:.2f} GB at most, with them {self.whole / 1e9:.2f} GB"
        )


def measured(command: list[str], text: str = "") -> Cost:
    """Run a command that reads a text."""
    began = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stdin is not None
    process.stdin.write(text.encode())
    process.stdin.close()
    own = whole = 0
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            break
        found = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        if "RssAnon" in found:
            own = max(own, int(found["RssAnon"].split()[0]) * 1024)
            whole = max(whole, int(found["VmRSS"].split()[0]) * 1024)
        time.sleep(0.02)
    if process.wait():
        raise SystemExit(f"{' '.join(command)} failed")
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(seconds, busy, own, whole)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", choices=["float32", "float16", "bfloat16"], default="float32")
    parser.add_argument("--layers", type=int, default=12, help="on each side")
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary one")
    parser.add_argument("--export", action="store_true", help="measure an export instead")
    given = parser.parse_args()
    work = Path(tempfile.mkdtemp(dir=given.folder))
    try:
        model, run = work / "model", work / "run"
        if given.export:
            parameters = write_exportable_run(run, given.dtype, given.layers, given.width)
            command = ["export", str(run), str(model), "--format", "huggingface"]
            cost = measured([sys.executable, "-m", "seq2seq_cli", *command])
            size = (model / "model.safetensors").stat().st_size / 1e9
            print(f"{parameters:,} parameters in {given.dtype}: {size:.2f} GB exported in {cost}")
            return
        model.mkdir()
        write_tokenizer(model)
        parameters = write_model(model, given.dtype, given.layers, given.width)
        program = [sys.executable, "-m", "seq2seq_cli"]
        cost = measured([*program, "import", str(model), str(run)])
        print(f"{parameters:,} parameters in {given.dtype}: imported in {cost}")
        print(f"weights of the run: {(run / 'model.safetensors').stat().st_size / 1e9:.2f} GB")
        shutil.rmtree(model)
        shutil.rmtree(run / "packed", ignore_errors=True)
        translate = [*program, "translate", str(run), "--precision", "int8", "--beam", "1"]
        for start in ("first", "second"):
            print(f"{start} translation: {measured(translate, 'a b c d')}")
        if cost.seconds > LIMIT_SECONDS or cost.own > LIMIT_BYTES:
            raise SystemExit("too much: less than 60 s and 1 GB are asked for")
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
