"""T5, T5 1.1, mT5 and MADLAD-400 of Hugging Face: their settings and weights by our names.

Their queries are not scaled, and some have outputs that are: both factors become part of weights.
"""

import math
from collections.abc import Iterator, Mapping

import numpy as np

from seq2seq_cli.config.models import TransformerConfig, model_config
from seq2seq_cli.config.shapes import Shape
from seq2seq_cli.interop.foreign_model import StoredWeight, widened
from seq2seq_cli.interop.huggingface.config import HuggingFaceConfig
from seq2seq_cli.interop.huggingface.weights import check_shape, stacked, tensor_of
from seq2seq_cli.kernels.arrays import Array

SHARED, SOURCE_EMBEDDING = "shared.weight", "encoder.embed_tokens.weight"
TARGET_EMBEDDING, OUTPUT = "decoder.embed_tokens.weight", "lm_head.weight"
EMBEDDINGS = (SHARED, TARGET_EMBEDDING, SOURCE_EMBEDDING)
ACTIVATIONS = {  # by feed_forward_proj
    "relu": "relu",
    "gelu": "gelu",
    "gelu_new": "gelu-tanh",
    "gelu_pytorch_tanh": "gelu-tanh",
    "silu": "swish",
    "swish": "swish",
    "gated-gelu": "geglu",
    "gated-gelu_new": "geglu",
    "gated-silu": "swiglu",
    "gated-swish": "swiglu",
}
ALL = {
    "architecture": "transformer",
    "norm": "pre",
    "normalisation": "rms",
    "linear_bias": False,
    "output_bias": True,  # it keeps rows from being written that are not there
    "positions": "relative",
    "scale_embeddings": False,
    "tie_source": True,
}


def settings_of(
    foreign: HuggingFaceConfig, tensors: Mapping[str, StoredWeight]
) -> TransformerConfig:
    """The settings of the model. Raises InputError for what cannot be held."""
    width, heads = foreign.number("d_model"), foreign.number("num_heads")
    head_width = foreign.number("d_kv")
    layers = foreign.number("num_layers")
    dropout = foreign.probability("dropout_rate")
    config = model_config(
        {
            **ALL,
            "width": width,
            "heads": heads,
            "head_width": "auto" if heads * head_width == width else head_width,
            "encoder_layers": layers,
            "decoder_layers": foreign.number("num_decoder_layers", layers),
            "feed_forward": foreign.number("d_ff"),
            "activation": foreign.one_of("feed_forward_proj", ACTIVATIONS, "relu"),
            "norm_epsilon": foreign.values.get("layer_norm_epsilon", 1e-6),
            "position_buckets": foreign.number("relative_attention_num_buckets", 32),
            "position_distance": foreign.number("relative_attention_max_distance", 128),
            "tie_output": _is_tied(tensors),
            "dropout": dropout,
            "attention_dropout": dropout,
        }
    )
    assert isinstance(config, TransformerConfig)
    return config


def _is_tied(tensors: Mapping[str, StoredWeight]) -> bool:
    """Whether the output's matrix is the embedding: it is not stored, or is the same numbers.

    What config.json says of it is true only in folders of before transformers 5.
    """
    output = tensors.get(OUTPUT)
    if output is None:
        return True
    embedding = tensor_of(tensors, *EMBEDDINGS)
    return embedding.shape == output.shape and np.array_equal(embedding.read(), output.read())


def scales_output(foreign: HuggingFaceConfig) -> bool:
    """Whether hidden states are divided by the root of the width before the output."""
    said = foreign.values.get("scale_decoder_outputs")
    return foreign.is_tied if said is None else bool(said)


def layer_weights(
    foreign: HuggingFaceConfig,
    config: TransformerConfig,
    tensors: Mapping[str, StoredWeight],
    shapes: Mapping[str, Shape],
) -> dict[str, StoredWeight]:
    """Our weights of all layers, norms and positions.

    `shapes` are those of our weights. Raises InputError for a tensor that is missing or does not
    have the shape that config.json tells.
    """
    weights = {}
    for ours, modules in module_names(config).items():
        parts = [tensor_of(tensors, f"{module}.weight") for module in modules]
        rows, *others = shapes[f"{ours}.weight"]
        for index, module in enumerate(modules):
            check_shape(f"{module}.weight", parts[index], (rows // len(parts), *others))
            parts[index] = scaled(parts[index], query_factor(config, module))
        weights[f"{ours}.weight"] = stacked(parts)
    if scales_output(foreign):
        name = "decoder_norm.weight"
        weights[name] = scaled(weights[name], config.width**-0.5)
    return weights


def query_factor(config: TransformerConfig, module: str) -> float:
    """What a module's weights are multiplied by, since scores are scaled here and not there."""
    return config.key_width**0.5 if module.endswith("Attention.q") else 1.0


def scaled(weight: StoredWeight, factor: float) -> StoredWeight:
    """A weight times a factor: of the same type if that is a power of two, otherwise in float32."""
    if factor == 1.0:
        return weight
    keeps_bits = weight.dtype == "BF16" and math.frexp(factor)[0] == 0.5

    def read() -> Array:
        product = widened(weight.read()) * np.float32(factor)
        return (product.view(np.uint32) >> 16).astype(np.uint16) if keeps_bits else product

    return StoredWeight(weight.shape, "BF16" if keeps_bits else "F32", read)


def module_names(config: TransformerConfig) -> dict[str, tuple[str, ...]]:
    """Our modules -> the modules of T5, other than embeddings and the output."""
    return dict(_modules(config))


def _modules(config: TransformerConfig) -> Iterator[tuple[str, tuple[str, ...]]]:
    for side, layers in (("encoder", config.encoder_layers), ("decoder", config.decoder_layers)):
        first = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias"
        ours = "source" if side == "encoder" else "target"
        yield f"{ours}_positions.embedding", (first,)
        for number in range(layers):
            block = f"{side}.block.{number}.layer"
            if side == "encoder":
                yield from _self_attention(f"encoder.{number}", "attention", "attention", block)
            else:
                yield from _self_attention(f"decoder.{number}", "self_attention", "self", block)
                yield from _cross_attention(f"decoder.{number}", f"{block}.1")
            last = 1 if side == "encoder" else 2
            yield from _feed_forward(config, f"{side}.{number}", f"{block}.{last}")
        yield f"{side}_norm", (f"{side}.final_layer_norm",)


def _self_attention(
    layer: str, name: str, sublayer: str, block: str
) -> Iterator[tuple[str, tuple[str, ...]]]:
    theirs = f"{block}.0.SelfAttention"
    yield f"{layer}.{name}.query_key_value", (f"{theirs}.q", f"{theirs}.k", f"{theirs}.v")
    yield f"{layer}.{name}.output", (f"{theirs}.o",)
    yield f"{layer}.{sublayer}_sublayer.norm", (f"{block}.0.layer_norm",)


def _cross_attention(layer: str, block: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    theirs = f"{block}.EncDecAttention"
    yield f"{layer}.cross_attention.query", (f"{theirs}.q",)
    yield f"{layer}.cross_attention.key_value", (f"{theirs}.k", f"{theirs}.v")
    yield f"{layer}.cross_attention.output", (f"{theirs}.o",)
    yield f"{layer}.cross_sublayer.norm", (f"{block}.layer_norm",)


def _feed_forward(
    config: TransformerConfig, layer: str, block: str
) -> Iterator[tuple[str, tuple[str, ...]]]:
    theirs = f"{block}.DenseReluDense"
    inner = ("wi_0", "wi_1") if config.is_gated else ("wi",)
    yield f"{layer}.feed_forward.inner", tuple(f"{theirs}.{name}" for name in inner)
    yield f"{layer}.feed_forward.outer", (f"{theirs}.wo",)
    yield f"{layer}.feed_forward_sublayer.norm", (f"{block}.layer_norm",)
