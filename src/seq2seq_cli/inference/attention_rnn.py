"""The RNN with attention, for search in kernels."""

from dataclasses import replace
from typing import cast

from seq2seq_cli.config.models import AttentionRnnConfig, ModelConfig
from seq2seq_cli.inference.recurrent import (
    RecurrentInference,
    decoder_cells,
    encoder_cells,
    settings_of,
    target_embedding,
)
from seq2seq_cli.inference.weights import ModelWeights
from seq2seq_cli.kernels.inference import recurrent as kernels
from seq2seq_cli.kernels.inference.linear import Linear


class AttentionRnnInference(RecurrentInference):
    """An RNN with attention, of any score and scope."""

    Config = AttentionRnnConfig

    def __init__(self, config: ModelConfig, weights: ModelWeights) -> None:
        self.config = config = cast(AttentionRnnConfig, config)
        self.output = weights.output()
        self.source_embedding = weights.source_embedding()
        settings = settings_of(config, weights, input_feeding=config.input_feeding)
        attention = _attention(config, weights)
        self.encoder = kernels.Encoder(
            settings,
            encoder_cells(config, weights),
            weights.linear("decoder.bridge"),
            attention,
            context=None,
        )
        self.decoder = kernels.decoder(
            settings,
            target_embedding(weights),
            decoder_cells(config, weights),
            attention,
            weights.linear("features"),
        )


def _attention(config: AttentionRnnConfig, weights: ModelWeights) -> kernels.Attention:
    """The settings and weights of attention, as `models.attention` computes it."""
    attention = _score(config, weights)
    if config.scope == "global":
        return attention
    attention = replace(attention, window=config.window)
    if config.scope == "local-m":
        return attention
    return replace(
        attention,
        centre=weights.linear("attention.window.inner"),
        centre_weight=weights["attention.window.outer.weight"][0],
    )


def _score(config: AttentionRnnConfig, weights: ModelWeights) -> kernels.Attention:
    """Attention that sees the whole source."""

    def linear(name: str) -> Linear:
        return weights.linear(f"attention.{name}")

    if config.score == "additive":
        return kernels.Attention(
            score="additive",
            query=linear("query_weight"),
            key=linear("key_weight"),
            score_weight=weights["attention.score.weight"][0],
        )
    if config.score == "general":  # W is applied to the keys
        return kernels.Attention(score="dot", key=linear("weight"))
    if config.score == "scaled-dot":
        return kernels.Attention(score="dot", scale=config.units**-0.5)
    if config.score == "location-base":
        return kernels.Attention(score="location-base", query=linear("weight"))
    if config.score == "content-base":
        return kernels.Attention(
            score="content-base",
            score_weight=weights["attention.strength.weight"][0],
            strength=float(weights["attention.strength.bias"][0]),
        )
    if config.score == "multi-head":
        return kernels.Attention(
            score="multi-head",
            scale=(config.units // config.heads) ** -0.5,
            heads=config.heads,
            query=linear("query_weight"),
            key=linear("key_weight"),
            value=linear("value_weight"),
            output=linear("output"),
        )
    return kernels.Attention(score="dot")
