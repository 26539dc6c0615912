"""What a folder of T5 says, and leaves out, becomes settings and weights that compute the same."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seq2seq_cli.config.models import TransformerConfig, Vocabulary
from seq2seq_cli.config.shapes import weight_shapes
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.foreign_model import StoredWeight, widened
from seq2seq_cli.interop.huggingface import t5
from seq2seq_cli.interop.huggingface.config import HuggingFaceConfig
from seq2seq_cli.models.transformer_layers import ACTIVATIONS

SIZES = {"d_model": 16, "d_ff": 24, "num_layers": 2, "num_heads": 2, "d_kv": 4}
VOCABULARY = Vocabulary(9, 9, joint=True)


def config_of(**values: Any) -> HuggingFaceConfig:
    return HuggingFaceConfig(Path("config.json"), "t5", {**SIZES, **values})


def test_settings_that_config_json_leaves_out_are_those_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.T5Config(**SIZES)
    ours = t5.settings_of(config_of(), {})
    assert ours.position_buckets == theirs.relative_attention_num_buckets
    assert ours.position_distance == theirs.relative_attention_max_distance
    assert ours.norm_epsilon == theirs.layer_norm_epsilon
    assert ours.activation == theirs.feed_forward_proj
    assert (ours.encoder_layers, ours.decoder_layers) == (2, theirs.num_decoder_layers)
    assert ours.tie_output
    assert t5.scales_output(config_of()) == theirs.scale_decoder_outputs
    other = t5.settings_of(
        config_of(num_decoder_layers=3, layer_norm_epsilon=1e-5, dropout_rate=0.2), {}
    )
    assert (other.decoder_layers, other.norm_epsilon, other.dropout) == (3, 1e-5, 0.2)
    assert other.attention_dropout == 0.2


@pytest.mark.parametrize("name", t5.ACTIVATIONS)
def test_an_activation_is_the_one_of_its_name_there(name: str) -> None:
    transformers = pytest.importorskip("transformers")
    from transformers.activations import ACT2FN

    theirs = transformers.T5Config(feed_forward_proj=name)
    ours = t5.settings_of(config_of(feed_forward_proj=name), {})
    x = torch.linspace(-4, 4, 81)
    torch.testing.assert_close(ACTIVATIONS[ours.activation](x), ACT2FN[theirs.dense_act_fn](x))
    assert ours.is_gated == theirs.is_gated_act


@pytest.mark.parametrize(
    ("said", "is_scaled"),
    [
        ({"tie_word_embeddings": None}, True),
        ({"tie_word_embeddings": False}, False),
        ({"tie_word_embeddings": True}, True),
        ({"tie_word_embeddings": True, "scale_decoder_outputs": False}, False),
        ({"tie_word_embeddings": False, "scale_decoder_outputs": True}, True),
    ],
)
def test_outputs_are_scaled_where_the_folder_says_so(
    said: Mapping[str, bool], is_scaled: bool
) -> None:
    assert t5.scales_output(config_of(**said)) == is_scaled


def numbers(*shape: int) -> StoredWeight:
    return StoredWeight.of(np.random.default_rng(shape).standard_normal(shape, np.float32))


def test_the_output_is_the_embedding_only_if_it_has_the_same_numbers() -> None:
    one, same, other = numbers(9, 16), numbers(9, 16), StoredWeight.of(np.ones((9, 16), "f"))
    for output, is_tied in ((None, True), (same, True), (other, False), (numbers(8, 16), False)):
        tensors = {t5.SHARED: one} | ({} if output is None else {t5.OUTPUT: output})
        assert t5.settings_of(config_of(), tensors).tie_output == is_tied


def test_a_factor_leaves_16_bits_as_they_are_only_if_nothing_is_lost() -> None:
    bits = (numbers(5, 7).read().view(np.uint32) >> 16).astype(np.uint16)
    half = numbers(5, 7).read().astype(np.float16)
    for array, factor, kind in (
        (bits, 8.0, "BF16"),
        (bits, 2**-5, "BF16"),
        (bits, 12**0.5, "F32"),
        (bits, 1.0, "BF16"),
        (half, 8.0, "F32"),  # where a product may be too large, or too small
    ):
        product = t5.scaled(StoredWeight.of(array), factor)
        assert product.dtype == kind
        expected = widened(array) * np.float32(factor)
        assert np.array_equal(widened(product.read()), expected)


def tensors_of(config: TransformerConfig) -> dict[str, StoredWeight]:
    """The tensors of a folder, other than embeddings and the output."""
    shapes = weight_shapes(config, VOCABULARY)
    tensors = {}
    for ours, modules in t5.module_names(config).items():
        rows, *others = shapes[f"{ours}.weight"]
        for module in modules:
            tensors[f"{module}.weight"] = numbers(rows // len(modules), *others)
    return tensors


@pytest.mark.parametrize("is_tied", [True, False])
def test_queries_that_are_not_scaled_there_and_outputs_that_are_keep_their_size(
    is_tied: bool,
) -> None:
    """Of heads 4 wide queries count twice, and of 16 numbers the output a quarter."""
    foreign = config_of(tie_word_embeddings=is_tied)
    config = t5.settings_of(foreign, {})
    theirs = tensors_of(config)
    ours = t5.layer_weights(foreign, config, theirs, weight_shapes(config, VOCABULARY))
    changed = {"decoder.final_layer_norm.weight": 0.25} if is_tied else {}
    changed |= dict.fromkeys((name for name in theirs if name.endswith("Attention.q.weight")), 2)
    assert len(changed) == 6 + is_tied  # an attention for each layer of the encoder, two beyond
    for name, modules in t5.module_names(config).items():
        parts = [
            theirs[f"{module}.weight"].read() * np.float32(changed.get(f"{module}.weight", 1))
            for module in modules
        ]
        assert np.array_equal(ours[f"{name}.weight"].read(), np.concatenate(parts)), name


def test_a_tensor_of_another_shape_or_none_is_told() -> None:
    foreign = config_of()
    config = t5.settings_of(foreign, {})
    shapes, tensors = weight_shapes(config, VOCABULARY), tensors_of(config)
    weights = t5.layer_weights(foreign, config, tensors, shapes)
    assert {name: each.shape for name, each in weights.items()} == {
        name: shape for name, shape in shapes.items() if name in weights
    }
    wrong = "decoder.block.1.layer.1.EncDecAttention.v.weight"
    rows, columns = tensors[wrong].shape
    for other in ({wrong: numbers(rows, columns + 1)}, {wrong: numbers(columns, rows)}):
        with pytest.raises(InputError, match=wrong):
            t5.layer_weights(foreign, config, tensors | other, shapes)
    del tensors[wrong]
    with pytest.raises(InputError, match=wrong):
        t5.layer_weights(foreign, config, tensors, shapes)
