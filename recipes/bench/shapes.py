"""Writes a run of a well-known model's shape with random weights, and text to translate with it.

    python recipes/bench/shapes.py opus-mt RUN --text FILE --lines 500

The settings are those that Marian and Firefox's engines have too, but for NLLB's. Every word of the
text is one piece, all lines have as many, and the run never writes EOS: translations are as long as
their limit in every engine, with `bench/decode.py --most-tokens`. Only speed and memory can be told
from such a run; its weights keep the size of hidden states.
"""

import argparse
import itertools
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import TransformerConfig, Vocabulary
from seq2seq_cli.config.shapes import weight_shapes
from seq2seq_cli.interop.foreign_model import ForeignModel, StoredWeight
from seq2seq_cli.interop.run_writer import write_run
from seq2seq_cli.runs.origin import Origin
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.symbols import BOS, EOS, NEVER, PAD
from seq2seq_cli.tokenization.protobuf import length_delimited
from seq2seq_cli.tokenization.tokenizer import Tokenizer

# What Marian has: `seq2seq export --format marian`
MARIAN: dict[str, Any] = {
    "norm": "post",
    "norm_epsilon": 1e-6,
    "sinusoids": "tensor2tensor",
    "zero_start": True,
    "output_bias": True,
}
OPUS_MT = {"width": 512, "heads": 8, "feed_forward": 2048, "activation": "swish"}
OPUS_MT |= {"encoder_layers": 6, "decoder_layers": 6}
STUDENT = {"width": 256, "heads": 8, "feed_forward": 1536}
STUDENT |= {"encoder_layers": 6, "decoder_layers": 2}
NLLB = {"width": 1024, "heads": 16, "feed_forward": 4096, "norm": "pre", "norm_epsilon": 1e-5}
NLLB |= {"encoder_layers": 12, "decoder_layers": 12, "sinusoids": "halves", "zero_start": False}
SHAPES: dict[str, tuple[int, dict[str, Any]]] = {  # pieces, settings
    "transformer-small": (8000, {"width": 256, "heads": 4, "feed_forward": 1024}),
    "opus-mt": (58000, OPUS_MT),
    "tc-big": (58000, OPUS_MT | {"width": 1024, "heads": 16, "feed_forward": 4096}),
    "nllb-600m": (256206, NLLB),
    "student": (32000, STUDENT | {"decoder_attention": "ssru"}),
    "student-self": (32000, STUDENT),
}
TRANSLATIONS, COMMON = 50, 100  # of a source piece, and of all: as in Firefox's shortlists


def made_up_words() -> Iterator[str]:
    """Different words of three or four syllables."""
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    for count in (3, 4):
        yield from map("".join, itertools.product(syllables, repeat=count))


def made_up_tokenizer(pieces: int) -> tuple[Tokenizer, list[str]]:
    """A tokenizer of so many pieces, and its words, which are a piece each."""
    rows = [("<pad>", 0.0, 3), ("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]
    rows += [(letter, -100.0, 1) for letter in ("\u2581", *"abdefgiklmnoprstu")]
    words = list(itertools.islice(made_up_words(), pieces - len(rows)))
    rows += [(f"\u2581{word}", -1.0, 1) for word in words]
    model = b"".join(length_delimited(1, piece(*row)) for row in rows)
    ids = b"".join(number(40 + index, (1, 2, 3, 0)[index]) for index in range(4))
    model += length_delimited(2, number(3, 1) + ids)
    model += length_delimited(3, length_delimited(1, b"identity"))
    return Tokenizer.from_bytes(model), words


def piece(text: str, score: float, kind: int) -> bytes:
    """A piece of a SentencePiece model."""
    return length_delimited(1, text.encode()) + b"\x15" + struct.pack("<f", score) + number(3, kind)


def number(field: int, value: int) -> bytes:
    """A field with a small number."""
    tag = field << 3
    return bytes([tag] if tag < 128 else [tag & 127 | 128, tag >> 7]) + bytes([value])


def random_weights(config: TransformerConfig, vocabulary: Vocabulary) -> dict[str, StoredWeight]:
    """Weights that keep the size of hidden states; EOS is never written."""
    shapes = weight_shapes(config, vocabulary)
    return {
        name: StoredWeight(shape, "F32", partial(random_weight, name, shape, seed))
        for seed, (name, shape) in enumerate(shapes.items())
    }


def random_weight(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    array = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    if "norm" in name:
        array = np.full(shape, name.endswith("weight"), dtype=np.float32)
    elif len(shape) > 1:
        array /= np.float32(shape[-1] ** 0.5)
    else:
        array *= np.float32(0.1)
    if name == "target_embedding.weight":
        array[BOS] = 0
    if name == "output.bias":
        array[[PAD, BOS, EOS]] = NEVER
    return array


def random_shortlist(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Translations of each piece, and common ones, drawn at random."""
    draw = np.random.default_rng(3)
    translations = draw.integers(4, size, (size, TRANSLATIONS), dtype=np.int64)
    return translations, np.arange(4 + COMMON, dtype=np.int64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("run", type=Path)
    parser.add_argument("--text", type=Path, help="also write text of its words to this file")
    parser.add_argument("--lines", type=int, default=500)
    parser.add_argument("--words", type=int, default=24, help="words of each line")
    given = parser.parse_args()
    pieces, settings = SHAPES[given.shape]
    tokenizer, words = made_up_tokenizer(pieces)
    tokenizers = Tokenizers(tokenizer, tokenizer)
    config = TransformerConfig(**MARIAN | settings)
    weights = random_weights(config, tokenizers.vocabulary)
    model = ForeignModel(
        config,
        tokenizers,
        weights,
        DataConfig(),
        Origin(),
        shortlist=random_shortlist(len(tokenizer)) if "student" in given.shape else None,
    )
    write_run(model, given.run)
    if given.text:
        draw = np.random.default_rng(2)
        lines = (" ".join(draw.choice(words, given.words)) for _ in range(given.lines))
        given.text.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
