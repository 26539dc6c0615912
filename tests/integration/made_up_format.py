"""A made-up format of models, which stands for all formats in tests of importing."""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.config.shapes import weight_shapes
from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop import formats
from seq2seq_cli.interop.foreign_model import ForeignModel, StoredWeight
from seq2seq_cli.interop.formats import Format
from seq2seq_cli.runs.origin import Origin
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.tokenization.learning import train_tokenizer
from seq2seq_cli.translation import Translator

CONFIG = TransformerConfig(
    width=16, heads=2, feed_forward=24, encoder_layers=1, decoder_layers=1, norm="post"
)


@cache
def made_up_model() -> ForeignModel:
    """A model of random weights in float16, with a tokenizer of few pieces."""
    lines = ["the committee approved the budget yesterday", "where is the nearest station"]
    tokenizer = train_tokenizer(lines * 5, TokenizerSettings(vocabulary_size=40)).tokenizer
    draw = np.random.default_rng(1)
    shapes = weight_shapes(CONFIG, Tokenizers(tokenizer, tokenizer).vocabulary)
    return ForeignModel(
        config=CONFIG,
        tokenizers=Tokenizers(tokenizer, tokenizer),
        weights={
            name: StoredWeight.of(draw.normal(0, 0.5, shape).astype(np.float16))
            for name, shape in shapes.items()
        },
        data=DataConfig(source_language="en"),
        origin=Origin(format="made-up", model="MadeUpModel", licence="cc-by-nc-4.0"),
        search={"beam": 3, "length_penalty": "power"},
        notes=("a note of the reader",),
    )


def with_weight(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Any:
    def changed(model: ForeignModel) -> ForeignModel:
        array = change(np.array(model.weights[name].read()))
        return replace(model, weights={**model.weights, name: StoredWeight.of(array)})

    return changed


def not_a_number(array: np.ndarray) -> np.ndarray:
    array[0, 0] = np.nan
    return array


EMBEDDING, INNER = "target_embedding.weight", "encoder.0.feed_forward.inner.weight"
MODELS: dict[str, Callable[[ForeignModel], ForeignModel]] = {
    "NaN": with_weight(INNER, not_a_number),
    "another shape": with_weight(INNER, lambda array: array[:-1]),
    "more tokens than rows": with_weight(EMBEDDING, lambda array: array[:-3]),
    "a weight too few": lambda model: replace(
        model, weights={name: each for name, each in model.weights.items() if name != INNER}
    ),
    "a weight too many": with_weight(INNER, lambda array: array),
}


def install_made_up_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be a format of folders with a file made-up.bin.

    Its content says which model the folder holds: "sound", "broken", or one of MODELS.
    """

    def recognises(path: Path) -> bool:
        return (path / "made-up.bin").is_file()

    def read(path: Path) -> ForeignModel:
        if (path / "made-up.bin").read_text() == "broken":
            raise InputError(f"{path / 'made-up.bin'} is damaged")
        return MODELS.get((path / "made-up.bin").read_text(), lambda each: each)(made_up_model())

    def translate_with_original(path: Path, lines: list[str], beam: int) -> list[str]:
        assert recognises(path)
        assert beam == 1
        return [f"{line}?" if line.startswith("where") else "?" for line in lines]

    module = SimpleNamespace(
        recognises=recognises, read=read, translate_with_original=translate_with_original
    )
    monkeypatch.setitem(sys.modules, "seq2seq_cli.interop.made_up", module)  # type: ignore[arg-type]
    rows = (Format("made-up", "a made-up format", "made_up", engine="numpy"), *formats.FORMATS)
    monkeypatch.setattr(formats, "FORMATS", rows)


def written(folder: Path, content: str = "sound") -> Path:
    folder.mkdir()
    (folder / "made-up.bin").write_text(content)
    return folder


def translations(run: Path) -> list[str]:
    found = Translator.load(run).translate(["the budget", "the nearest station"])
    return [each.as_jsonl(1) for each in found]


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
