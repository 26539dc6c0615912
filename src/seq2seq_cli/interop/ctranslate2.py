"""Exports runs as CTranslate2 models (Klein et al. 2020)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn

from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.config.settings import require
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.ctranslate2_readme import readme
from seq2seq_cli.models import TranslationModel
from seq2seq_cli.models.layers import LearnedPositions, sinusoids
from seq2seq_cli.models.transformer import Transformer
from seq2seq_cli.models.transformer_layers import (
    CausalAttention,
    CrossAttention,
    DecoderLayer,
    EncoderLayer,
    FeedForward,
    SelfAttention,
    Sublayer,
)
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.symbols import BOS, EOS, PAD, PIECES, UNK
from seq2seq_cli.text import replace_file

Layer: TypeAlias = EncoderLayer | DecoderLayer

POSITIONS = 1024  # how many sinusoidal positions are written: the longest sentence it can read

# Logit that is added to control symbols: they are never written, since exp(-10,000) is 0 in every
# type, and float16 still has the number.
FORBIDDEN = -1e4
LAST_LAYER = -1  # of `alignment_layer`
ALL_HEADS = 0  # of `alignment_heads`


def check_ctranslate2(model: TranslationModel) -> TransformerConfig:
    """Raise InputError, with the setting, for a model that CTranslate2 does not support."""
    config = model.config
    if not isinstance(config, TransformerConfig):
        raise InputError(
            f'model.architecture = "{config.architecture}" cannot be exported: CTranslate2 serves '
            "only the transformer"
        )
    for name, value, supported in (
        ("norm", config.norm, ("pre", "post")),
        ("decoder_attention", config.decoder_attention, ("self",)),
    ):
        require(
            value in supported,
            f'model.{name} = "{value}" cannot be exported: CTranslate2 supports '
            f"{' and '.join(supported)}",
        )
    require(
        config.alignment_head in ("all", 0),
        f"model.alignment_head = {config.alignment_head} cannot be exported: CTranslate2 aligns by "
        "all heads of a layer or by head 0",
    )
    return config


def export_ctranslate2(run: Path, output: Path, quantization: str = "") -> None:
    """Write a run as a CTranslate2 model, with its tokenizers.

    `quantization` is one of CTranslate2's types, such as int8; empty: float32. Raises InputError
    for a model that CTranslate2 does not support, and if the package is not installed.
    """
    folder = RunFolder(run)
    model = folder.load_model()
    config = check_ctranslate2(model)
    tokenizers = folder.load_tokenizers()
    try:
        import ctranslate2  # type: ignore[import-untyped]
    except ImportError:
        raise InputError(
            "the package ctranslate2 is not installed; pip install 'seq2seq-cli[bench]' installs it"
        ) from None
    assert isinstance(model, Transformer)
    with torch.inference_mode():
        written = specification(ctranslate2.specs, model, config, tokenizers)
        written.validate()
        try:
            written.optimize(quantization=quantization or None)
        except ValueError as error:
            raise InputError(f"--quantization {quantization}: {error}") from None
    output.mkdir(parents=True, exist_ok=True)
    written.save(str(output))
    for name, tokenizer in tokenizers.files().items():
        replace_file(output / name, tokenizer.model)
    replace_file(
        output / "README.md",
        readme(config, tokenizers, folder.load_config().data.max_length).encode(),
    )


def specification(
    specs: Any, model: Transformer, config: TransformerConfig, tokenizers: Tokenizers
) -> Any:
    """The model as a CTranslate2 specification, which can be validated and saved.

    `specs` is the module `ctranslate2.specs`.
    """
    result = _empty_specification(specs, config)
    for side, embedding, layers, norm in (
        (result.encoder, model.source_embedding, model.encoder, model.encoder_norm),
        (result.decoder, model.target_embedding, model.decoder, model.decoder_norm),
    ):
        embeddings = side.embeddings[0] if isinstance(side.embeddings, list) else side.embeddings
        embeddings.weight = embedding.weight.numpy()
        side.scale_embeddings = config.scale_embeddings
        if config.positions != "rotary":
            name = "source_positions" if side is result.encoder else "target_positions"
            side.position_encodings.encodings = _positions(model, name).numpy()
        if config.embedding_norm:
            source = side is result.encoder
            own = model.source_embedding_norm if source else model.target_embedding_norm
            _norm(side.layernorm_embedding, own)
        if config.norm == "pre":
            _norm(side.layer_norm, norm)
        for written, layer in zip(side.layer, cast(Sequence[Layer], layers), strict=True):
            _layer(written, layer)
    result.decoder.projection.weight = model.output.weight.numpy()
    bias = _forbid_control_symbols(len(tokenizers.target))
    if model.output.bias is not None:
        bias += model.output.bias.clamp_min(FORBIDDEN)
    result.decoder.projection.bias = bias.numpy()
    result.config.layer_norm_epsilon = _epsilon(model)
    result.config.unk_token, result.config.bos_token = PIECES[UNK], PIECES[BOS]
    result.config.eos_token, result.config.decoder_start_token = PIECES[EOS], PIECES[BOS]
    result.config.add_source_eos = True
    result.register_source_vocabulary(list(tokenizers.source.vocabulary))
    result.register_target_vocabulary(list(tokenizers.target.vocabulary))
    return result


def _empty_specification(specs: Any, config: TransformerConfig) -> Any:
    """A specification of the same layers, without weights."""
    activation = {
        "relu": specs.Activation.RELU,
        "gelu": specs.Activation.GELU,
        "gelu-tanh": specs.Activation.GELUTanh,
        "gelu-sigmoid": specs.Activation.GELUSigmoid,
        "swish": specs.Activation.SWISH,
        "swiglu": specs.Activation.SWISH,
    }[config.activation]
    rotary = {"rotary_dim": 0, "rotary_interleave": False} if config.positions == "rotary" else {}
    common = {
        "pre_norm": config.norm == "pre",
        "activation": activation,
        "ffn_glu": config.activation == "swiglu",
        "rms_norm": config.normalisation == "rms",
        "layernorm_embedding": config.embedding_norm,
        **rotary,
    }
    transformer = specs.transformer_spec
    layer, head = config.alignment
    alignment = {
        "alignment_layer": LAST_LAYER if layer is None else layer,
        "alignment_heads": ALL_HEADS if head is None else 1,
    }
    return specs.TransformerSpec(
        transformer.TransformerEncoderSpec(config.encoder_layers, config.heads, **common),
        transformer.TransformerDecoderSpec(
            config.decoder_layers, config.heads, **alignment, **common
        ),
    )


def _forbid_control_symbols(vocabulary_size: int) -> Tensor:
    """A bias of the logits (V,) that keeps PAD, UNK and BOS out of translations."""
    bias = torch.zeros(vocabulary_size)
    bias[PAD : BOS + 1] = FORBIDDEN
    return bias


def _epsilon(model: Transformer) -> float:
    """The epsilon of all norms, which is written since CTranslate2 has another for RMSNorm."""
    norms = (nn.LayerNorm, nn.RMSNorm)
    (epsilon,) = {module.eps for module in model.modules() if isinstance(module, norms)}
    assert epsilon is not None
    return epsilon


def _layer(written: Any, layer: Layer) -> None:
    """Write the weights of a layer; `written` is the layer of the specification, here and below."""
    if isinstance(layer, EncoderLayer):
        _self_attention(written.self_attention, layer.attention, layer.attention_sublayer)
    else:
        causal = cast(CausalAttention, layer.self_attention)
        _self_attention(written.self_attention, causal, layer.self_sublayer)
        _cross_attention(written.attention, layer.cross_attention, layer.cross_sublayer)
    _feed_forward(written.ffn, layer.feed_forward, layer.feed_forward_sublayer)


def _positions(model: Transformer, name: str) -> Tensor:
    if model.positions == "learned":
        learned = cast(LearnedPositions, getattr(model, name))
        most = max(POSITIONS, learned.embedding.num_embeddings)
        return cast(Tensor, learned(0, most)).detach()
    config, first = model.config, model.config.first_position
    return sinusoids(first, POSITIONS, config.width, torch.device("cpu"), config.sinusoids)


def _norm(written: Any, norm: Any) -> None:
    written.gamma = norm.weight.numpy()
    if getattr(norm, "bias", None) is not None:
        written.beta = norm.bias.numpy()


def _linear(written: Any, weight: Tensor, bias: Tensor | None) -> None:
    written.weight = weight.numpy()
    if bias is not None:
        written.bias = bias.numpy()


def _self_attention(written: Any, attention: SelfAttention, sublayer: Sublayer) -> None:
    _norm(written.layer_norm, sublayer.norm)
    products = attention.query_key_value
    _linear(written.linear[0], products.weight, products.bias)
    _linear(written.linear[1], attention.output.weight, attention.output.bias)


def _cross_attention(written: Any, attention: CrossAttention, sublayer: Sublayer) -> None:
    _norm(written.layer_norm, sublayer.norm)
    for index, linear in enumerate((attention.query, attention.key_value, attention.output)):
        _linear(written.linear[index], linear.weight, linear.bias)


def _feed_forward(written: Any, layer: FeedForward, sublayer: Sublayer) -> None:
    _norm(written.layer_norm, sublayer.norm)
    weight, bias = layer.inner.weight, layer.inner.bias
    if layer.gated:  # the first half is the gate, which CTranslate2 applies the activation to
        (gate, other), (gate_bias, other_bias) = weight.chunk(2), bias.chunk(2)
        _linear(written.linear_0, gate, gate_bias)
        _linear(written.linear_0_noact, other, other_bias)
    else:
        _linear(written.linear_0, weight, bias)
    _linear(written.linear_1, layer.outer.weight, layer.outer.bias)
