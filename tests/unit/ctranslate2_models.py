"""CTranslate2 models with random weights, also as converters of other toolkits make them."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece

from seq2seq_cli.config.models import model_config
from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.config.shapes import weight_shapes
from seq2seq_cli.inference.plain_model import PlainModel
from seq2seq_cli.inference.positions import sinusoids
from seq2seq_cli.interop.ctranslate2.model_file import (
    Variable,
    read_model_file,
    write_model_file,
)
from seq2seq_cli.interop.foreign_model import ForeignModel, widened
from seq2seq_cli.kernels.arrays import Array
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.translation.settings import TranslationSettings
from seq2seq_cli.translation.translator import Translator

WORDS = [*("ab", "abc", "bca", "cab", "dabc", "ddd", "fa", "ga", "ha", "hi", "ho", "hu")]
WORDS += [*"abcdefg"]
SIZES = {"architecture": "transformer", "width": 32, "heads": 4, "feed_forward": 48}
SIZES |= {"encoder_layers": 2, "decoder_layers": 2}


def random_lines(count: int, seed: int) -> list[str]:
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(WORDS, size=generator.integers(1, 9))) for _ in range(count)]


def sentencepiece_model(size: int, seed: int) -> bytes:
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(random_lines(300, seed)),
        model_writer=written,
        vocab_size=size,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return written.getvalue()


def plain_model(options: Mapping[str, object], tokenizers: Tokenizers) -> PlainModel:
    config = model_config(SIZES | dict(options))
    generator = np.random.default_rng(1)
    arrays = {
        name: generator.normal(size=shape).astype(np.float32)
        for name, shape in weight_shapes(config, tokenizers.vocabulary).items()
    }
    if "output.bias" in arrays:
        arrays["output.bias"][:3] = 0  # of symbols that are never written
    return PlainModel(config, tokenizers.vocabulary, arrays)


def weights_of(model: ForeignModel) -> dict[str, Array]:
    read = {name: weight.read() for name, weight in model.weights.items()}
    assert all(array.shape == model.weights[name].shape for name, array in read.items())
    return {name: widened(array) for name, array in read.items()}


def fill(spec: Any, sizes: tuple[int, int], tied: bool, eos: int) -> None:
    """Give all weights of a specification random numbers."""
    generator = np.random.default_rng(3)
    width, inner = SIZES["width"], SIZES["feed_forward"]

    def numbers(*shape: int, scale: float = 0.1) -> Array:
        return (generator.normal(size=shape) * scale).astype(np.float32)

    def linear(layer: Any, outputs: int, inputs: int) -> None:
        layer.weight = numbers(outputs, inputs, scale=2 * inputs**-0.5)  # so that input matters
        layer.bias = numbers(outputs)

    def norm(layer: Any) -> None:
        layer.gamma = 1 + numbers(width)
        if hasattr(layer, "beta"):
            layer.beta = numbers(width)

    def attention(layer: Any, *outputs: int) -> None:
        norm(layer.layer_norm)
        for part, size in zip(layer.linear, outputs, strict=True):
            linear(part, size, width)

    embeddings = [numbers(size, width, scale=width**-0.5) for size in sizes]
    spec.encoder.embeddings[0].weight = embeddings[0]
    spec.decoder.embeddings.weight = embeddings[0] if tied else embeddings[1]
    spec.decoder.projection.weight = spec.decoder.embeddings.weight if tied else embeddings[1] * 2
    spec.decoder.projection.bias = numbers(sizes[1])
    spec.decoder.projection.bias[eos] = -4 if tied else 0  # a tied one would follow a start of EOS
    for side in (spec.encoder, spec.decoder):
        for layer in side.layer:
            attention(layer.self_attention, 3 * width, width)
            if side is spec.decoder:
                attention(layer.attention, width, 2 * width, width)
            norm(layer.ffn.layer_norm)
            linear(layer.ffn.linear_0, inner, width)
            linear(layer.ffn.linear_1, width, inner)
            if hasattr(layer.ffn, "linear_0_noact"):
                linear(layer.ffn.linear_0_noact, inner, width)
        for name in ("layer_norm", "layernorm_embedding"):
            if hasattr(side, name):
                norm(getattr(side, name))


def pieces_of(model: bytes) -> list[str]:
    loaded = sentencepiece.SentencePieceProcessor(model_proto=model)
    ids = range(len(loaded))
    return [loaded.IdToPiece(i) for i in ids if not loaded.IsControl(i) and not loaded.IsUnknown(i)]


def foreign_model(
    kind: str, folder: Path, models: tuple[bytes, bytes], quantization: str | None = None
) -> None:
    """Write a model as the converter from a toolkit does, with its SentencePiece models."""
    package = pytest.importorskip("ctranslate2", reason="the extra bench is not installed")
    specs = package.specs
    activation = specs.Activation
    options: dict[str, Any] = {
        "marian": {"pre_norm": False, "activation": activation.SWISH},
        "opennmt-py": {"activation": activation.RELU},
        "opennmt-tf": {"activation": activation.GELUTanh, "alignment_heads": 0},
        "m2m": {"activation": activation.RELU},
        "nllb": {"activation": activation.RELU},
        "mbart": {"activation": activation.GELU, "layernorm_embedding": True},
        "eole": {"activation": activation.SWISH, "ffn_glu": True, "rms_norm": True},
    }[kind]
    spec = specs.TransformerSpec.from_config((2, 2), SIZES["heads"], **options)
    source, target = map(pieces_of, models)
    files = {"source.spm": models[0], "target.spm": models[1]}
    if kind == "marian":
        lists = [["</s>", "<unk>", *sorted({*source, *target})]] * 2
    elif kind == "opennmt-py":
        front = ["<unk>", "<blank>", "<s>", "</s>"]
        lists = [[*front, *source], [*front, *reversed(source)]]
        files = {"sentencepiece.model": models[0]}
    elif kind == "opennmt-tf":
        front = ["<blank>", "<s>", "</s>"]
        lists = [[*front, *source, "<unk>"], [*front, *target, "<unk>"]]
    else:
        last = ["eng_Latn", "fra_Latn", "<mask>"] if kind == "nllb" else ["madeupword0"]
        lists = [["<s>", "<pad>", "</s>", "<unk>", *source, *last]] * 2
        files = {"sentencepiece.bpe.model": models[0]}
    sizes = len(lists[0]), len(lists[1])
    fill(spec, sizes, lists[0] == lists[1], lists[1].index("</s>"))
    width = int(SIZES["width"])
    tables: dict[str, Array] = {
        "marian": sinusoids(300, width, "halves"),
        "opennmt-py": sinusoids(300, width, "interleaved"),
        "m2m": sinusoids(300, width, "tensor2tensor")[2:],
        "nllb": sinusoids(300, width, "tensor2tensor")[2:],
        "mbart": np.random.default_rng(9).normal(size=(200, width)).astype(np.float32),
    }
    for side in (spec.encoder, spec.decoder):
        if kind in tables:
            side.position_encodings.encodings = tables[kind].copy()
        side.scale_embeddings = {"mbart": 1.0, "m2m": width**0.5}.get(kind, True)
    spec.decoder.start_from_zero_embedding = kind == "marian"
    starts_from_eos = kind in ("marian", "m2m", "nllb", "mbart")
    spec.config.decoder_start_token = "</s>" if starts_from_eos else "<s>"
    spec.config.add_source_eos = kind in ("marian", "opennmt-tf")
    spec.register_source_vocabulary(lists[0])
    spec.register_target_vocabulary(lists[1])
    spec.validate()
    spec.optimize(quantization)
    folder.mkdir(exist_ok=True)
    spec.save(str(folder))
    for name, model in files.items():
        (folder / name).write_bytes(model)


def translate(run: Path, lines: list[str], beam: int, **more: Any) -> list[str]:
    settings = TranslationSettings(
        search=SearchOptions(beam=beam, length_penalty="power"),
        device="cpu",
        precision="float32",
        split_sentences="off",
        unknown="keep",
        **more,
    )
    return [each.text for each in Translator.load(run, settings).translate(lines)]


def change_variables(folder: Path, change: Callable[[dict[str, Variable]], object]) -> None:
    file = read_model_file(folder / "model.bin")
    variables = {name: Variable.of(each.numbers().copy()) for name, each in file.variables.items()}
    change(variables)
    write_model_file(folder / "model.bin", variables, {})
