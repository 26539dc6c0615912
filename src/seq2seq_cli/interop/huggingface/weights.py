"""The weights of MarianMT, M2M-100, NLLB and mBART in Hugging Face by our names.

All of them have the modules of BART. Some of our weights are several of theirs, one below the
other: queries, keys and values come from one product.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.config.shapes import Shape
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.foreign_model import StoredWeight, widened

SHARED = "model.shared.weight"
SOURCE_EMBEDDING = "model.encoder.embed_tokens.weight"
TARGET_EMBEDDING = "model.decoder.embed_tokens.weight"
OUTPUT, OUTPUT_BIAS = "lm_head.weight", "final_logits_bias"
SOURCE_POSITIONS = "model.encoder.embed_positions.weight"
TARGET_POSITIONS = "model.decoder.embed_positions.weight"

# Our modules -> theirs, within a layer; several are stacked.
ATTENTION = {
    "query_key_value": ("q_proj", "k_proj", "v_proj"),
    "key_value": ("k_proj", "v_proj"),
    "query": ("q_proj",),
    "output": ("out_proj",),
}
# Our attention and what it is a sublayer of, their attention, our modules of it
ATTENTIONS: dict[str, tuple[tuple[str, str, str, tuple[str, ...]], ...]] = {
    "encoder": (("attention", "attention_sublayer", "self_attn", ("query_key_value", "output")),),
    "decoder": (
        ("self_attention", "self_sublayer", "self_attn", ("query_key_value", "output")),
        ("cross_attention", "cross_sublayer", "encoder_attn", ("query", "key_value", "output")),
    ),
}
FEED_FORWARD = {
    "feed_forward.inner": ("fc1",),
    "feed_forward.outer": ("fc2",),
    "feed_forward_sublayer.norm": ("final_layer_norm",),
}


def module_names(config: TransformerConfig) -> dict[str, tuple[str, ...]]:
    """Our modules -> the modules in Hugging Face, other than embeddings, positions and output."""
    return dict(_modules(config))


def _modules(config: TransformerConfig) -> Iterator[tuple[str, tuple[str, ...]]]:
    for side, layers in (("encoder", config.encoder_layers), ("decoder", config.decoder_layers)):
        for number in range(layers):
            yield from _layer(side, f"{side}.{number}", f"model.{side}.layers.{number}")
        if config.norm == "pre":
            yield f"{side}_norm", (f"model.{side}.layer_norm",)
        if config.embedding_norm:
            ours = "source" if side == "encoder" else "target"
            yield f"{ours}_embedding_norm", (f"model.{side}.layernorm_embedding",)


def _layer(side: str, ours: str, theirs: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for name, sublayer, module, parts in ATTENTIONS[side]:
        for part in parts:
            yield f"{ours}.{name}.{part}", tuple(f"{theirs}.{module}.{x}" for x in ATTENTION[part])
        yield f"{ours}.{sublayer}.norm", (f"{theirs}.{module}_layer_norm",)
    for part, modules in FEED_FORWARD.items():
        yield f"{ours}.{part}", tuple(f"{theirs}.{module}" for module in modules)


def layer_weights(
    config: TransformerConfig, tensors: Mapping[str, StoredWeight], shapes: Mapping[str, Shape]
) -> dict[str, StoredWeight]:
    """Our weights of all layers and norms, of the tensors of a folder.

    `shapes` are those of our weights. Raises InputError for a tensor that is missing or does not
    have the shape that config.json tells.
    """
    weights = {}
    for ours, modules in module_names(config).items():
        for kind in ("weight", "bias"):
            parts = [tensor_of(tensors, f"{module}.{kind}") for module in modules]
            rows, *others = shapes[f"{ours}.{kind}"]
            for module, part in zip(modules, parts, strict=True):
                check_shape(f"{module}.{kind}", part, (rows // len(parts), *others))
            weights[f"{ours}.{kind}"] = stacked(parts)
    return weights


def tensor_of(tensors: Mapping[str, StoredWeight], *names: str) -> StoredWeight:
    """The tensor with the first of these names that is there. Raises InputError if none is."""
    for name in names:
        if name in tensors:
            return tensors[name]
    raise InputError(
        f"the weights lack the tensor {' or '.join(names)} (of type F32, F16 or BF16), which "
        "config.json needs; copy the whole folder"
    )


def check_shape(name: str, tensor: StoredWeight, expected: Shape) -> None:
    """Raise InputError if a tensor does not have the shape that config.json tells."""
    if tensor.shape != expected:
        raise InputError(
            f"the tensor {name} is {list(tensor.shape)}, {list(expected)} by config.json; the "
            "files are not of one model: copy the whole folder"
        )


def stacked(parts: list[StoredWeight]) -> StoredWeight:
    """Weights one below the other; of several types, they are widened."""
    if len(parts) == 1:
        return parts[0]
    rows = sum(part.shape[0] for part in parts)
    types = {part.dtype for part in parts}
    shape = (rows, *parts[0].shape[1:])
    if len(types) > 1:
        return StoredWeight(
            shape, "F32", lambda: np.concatenate([widened(part.read()) for part in parts])
        )
    return StoredWeight(shape, types.pop(), lambda: np.concatenate([p.read() for p in parts]))
