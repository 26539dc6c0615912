"""What of a CTranslate2 model cannot be imported is refused by its name."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.ctranslate2 import reader as ctranslate2
from seq2seq_cli.interop.ctranslate2.model_file import (
    Variable,
    as_int8,
)
from seq2seq_cli.interop.ctranslate2.writer import write_model
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.tokenization.tokenizer import Tokenizer
from tests.unit.ctranslate2_models import (
    change_variables,
    plain_model,
    sentencepiece_model,
    weights_of,
)


@pytest.fixture(scope="module")
def models() -> tuple[bytes, bytes]:
    """The SentencePiece models of two sides."""
    return sentencepiece_model(40, 1), sentencepiece_model(36, 2)


@pytest.fixture
def exported(models: tuple[bytes, bytes], tmp_path: Path) -> Path:
    """The folder of a sound model."""
    tokenizers = Tokenizers(*map(Tokenizer.from_bytes, models))
    folder = tmp_path / "model"
    folder.mkdir()
    write_model(plain_model({}, tokenizers), tokenizers, DataConfig(), folder, "")
    return folder


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("encoder/layer_0/self_attention/relative_position_keys", np.ones((9, 8)), "relative pos"),
        ("decoder/layer_1/self_attention/relative_attention_bias", np.ones((32, 4)), "T5"),
        ("decoder/layer_0/self_attention/num_heads_kv", 1, "multi-query attention"),
        ("decoder/layer_0/self_attention/head_dim", 16, "heads of other width"),
        ("decoder/layer_0/self_attention/queries_scale", 1.0, "another scale of queries"),
        ("decoder/layer_0/self_attention/rotary_scaling_type", 0, "scaled rotary positions"),
        ("decoder/layer_0/self_attention/sliding_window", 64, "sliding window"),
        ("decoder/layer_0/self_attention/q_norm/gamma", np.ones(8), "norms of queries"),
        ("decoder/alibi", 1, "ALiBi"),
        ("decoder/project_in/weight", np.ones((32, 16)), "a projection of the embedding"),
        ("decoder/scale_outputs", 0.5, "a scale of the output"),
        ("decoder/final_logit_softcapping", 30.0, "capped logits"),
        ("decoder/layer_0/ffn/experts_0/linear_0/weight", np.ones((4, 4)), "mixture of experts"),
        ("encoder/embeddings_1/weight", np.ones((9, 32)), "several features of a word"),
        ("encoder/layernorm_embedding/gamma", np.ones(32), "only one side"),
        ("encoder/pre_norm", 0, "pre_norm is 0 in the encoder and 1 in the decoder"),
        ("encoder/scale_embeddings", 3.0, "multiplies embeddings by 3"),
        ("encoder/activation", 5, "activation is 5 in the encoder and 0"),
        ("decoder/layer_7/ffn/layer_norm/gamma", np.ones(32), "layers of its decoder are incomple"),
        ("decoder/something/new", np.ones(3), "has decoder/something/new"),
        ("decoder/embeddings/weight", np.ones((5, 32)), "matrix 5 rows; the files belong to diff"),
        ("decoder/layer_0/ffn/linear_1/weight", np.ones((32, 9)), "by the other weights"),
    ],
)
def test_what_a_transformer_here_lacks_is_refused_by_its_name(
    name: str, value: object, message: str, exported: Path
) -> None:
    kind = np.int8 if isinstance(value, int) else np.float32
    array = np.array(value, kind)
    change_variables(exported, lambda variables: variables.update({name: Variable.of(array)}))
    with pytest.raises(InputError, match=message):
        ctranslate2.read(exported)


def test_a_missing_weight_is_named(exported: Path) -> None:
    name = "encoder/layer_1/self_attention/linear_1/weight"
    change_variables(exported, lambda variables: variables.pop(name))
    with pytest.raises(InputError, match=f"lacks the variable {name}"):
        ctranslate2.read(exported)


def test_missing_biases_are_zero(exported: Path) -> None:
    name = "encoder/layer_1/self_attention/linear_1/bias"
    change_variables(exported, lambda variables: variables.pop(name))
    weights = weights_of(ctranslate2.read(exported))
    assert not weights["encoder.1.attention.output.bias"].any()


def test_integers_without_a_scale_are_damage(exported: Path) -> None:
    name = "encoder/layer_1/ffn/linear_1/weight"

    def change(variables: dict[str, Variable]) -> None:
        variables[name] = Variable.of(as_int8(variables[name].floats()))

    change_variables(exported, change)
    with pytest.raises(InputError, match=f"lacks {name}_scale"):
        weights_of(ctranslate2.read(exported))


def _without(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def _with_config(**changes: object) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without("target_vocabulary.json"), "lacks target_vocabulary.json or .txt"),
        (_without("config.json"), "config.json is missing"),
        (lambda folder: (folder / "config.json").write_text("[1, 2"), "config.json is damaged"),
        (lambda folder: (folder / "config.json").write_text("[1, 2]"), "it is not a table"),
        (
            lambda folder: (folder / "source_vocabulary.json").write_text('["a", 1]'),
            "source_vocabulary.json is damaged: it is not a list of pieces",
        ),
        (
            lambda folder: (folder / "source.model").write_bytes(b"merges 0.2"),
            "source.model is not a SentencePiece model",
        ),
        (
            lambda folder: [(folder / f"{side}.model").unlink() for side in ("source", "target")],
            "lists of pieces but no SentencePiece model, which cuts text",
        ),
        (
            lambda folder: [
                (folder / f"{old}.model").rename(folder / f"{new}.model")
                for old, new in (("source", "en"), ("target", "de"))
            ],
            "which of de.model, en.model cuts the source is not clear",
        ),
        (_with_config(decoder_start_token=None), "decoder_start_token is null"),
        (_with_config(decoder_start_token="<go>"), "lacks decoder_start_token <go>"),
        (_with_config(add_source_bos=True), "sources begin with <s> .add_source_bos."),
        (_with_config(eos_token=3), "eos_token = 3 is not a token"),
        (_with_config(layer_norm_epsilon="x"), "layer_norm_epsilon = 'x' in config.json"),
        (_with_config(quantization_type=1), "weights of AWQ"),
    ],
)
def test_what_is_wrong_beside_the_weights_is_named(
    change: Callable[[Path], object], message: str, exported: Path
) -> None:
    change(exported)
    with pytest.raises(InputError, match=message):
        ctranslate2.read(exported)


def test_another_kind_of_model_is_refused_as_such(exported: Path) -> None:
    path = exported / "model.bin"
    path.write_bytes(path.read_bytes().replace(b"\x10\0TransformerSpec\0", b"\x0c\0WhisperSpec\0"))
    assert ctranslate2.recognises(exported)
    with pytest.raises(InputError, match=r"it is speech recognition \(WhisperSpec\)"):
        ctranslate2.read(exported)
