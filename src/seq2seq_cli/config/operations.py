"""Floating-point operations of matrix products, from the settings of a model and its shapes.

A multiplication and an addition are two operations.
"""

import math
from collections.abc import Mapping

from seq2seq_cli.config.models import (
    AttentionRnnConfig,
    ConvConfig,
    ModelConfig,
    TransformerConfig,
    Vocabulary,
)
from seq2seq_cli.config.shapes import Shape, weight_shapes
from seq2seq_cli.deferred import dataclass

# Weights by the end or the beginning of their name
ONCE = ("decoder.bridge.weight", "context_input.weight", "context_features.weight")
OF_SOURCE = ("encoder.", "attention.key_weight", "attention.value_weight")
LOOKED_UP = ("source_embedding.weight", "positions.embedding.weight")


@dataclass(frozen=True)
class Cost:
    """Floating-point operations of a model."""

    length: int  # tokens on each side of the sentences that the costs are averaged over
    source_token: float  # encoding one token of a sentence
    target_token: float  # predicting one token; a beam of k hypotheses costs k times as much

    @property
    def training(self) -> float:
        """Cost of one source and one target token: the backward pass is twice the forward pass."""
        return 3 * (self.source_token + self.target_token)


def cost(config: ModelConfig, vocabulary: Vocabulary, length: int = 20) -> Cost:
    """Compute the operations on sentences of `length` tokens."""
    shapes = weight_shapes(config, vocabulary)
    source: float
    source, target = _attention(config, length)
    for name, shape in _matrices(shapes).items():
        count = math.prod(shape)
        if name in ONCE:
            source += count / length
        elif _reads_source(config, name):
            source += count
        elif name == "attention.score.weight":  # of each pair of a target and a source token
            target += count * length
        else:
            target += count
    return Cost(length, 2 * source, 2 * target)


def _matrices(shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """The weights that something is multiplied by.

    The target embedding is one if it is the projection to the vocabulary too.
    """
    looked_up: tuple[str, ...] = LOOKED_UP
    if "output.weight" in shapes:
        looked_up = *looked_up, "target_embedding.weight"
    return {
        name: shape
        for name, shape in shapes.items()
        if len(shape) == 2 and not name.endswith(looked_up) and "bias" not in name
    }


def _reads_source(config: ModelConfig, name: str) -> bool:
    """Whether the model multiplies source tokens, not target tokens, by a weight."""
    if name == "attention.weight.weight":
        return isinstance(config, AttentionRnnConfig) and config.score == "general"
    return name.startswith(OF_SOURCE) or name.endswith("cross_attention.key_value.weight")


def _attention(config: ModelConfig, length: int) -> tuple[int, int]:
    """Multiplications of scores and weighted sums, for a source and for a target token."""
    if isinstance(config, TransformerConfig):
        both = 2 * length * config.attention_width
        attentions = 2 if config.decoder_attention == "self" else 1
        return both * config.encoder_layers, both * config.decoder_layers * attentions
    if isinstance(config, ConvConfig):
        return 0, 2 * length * config.width * config.decoder_layers
    if isinstance(config, AttentionRnnConfig):
        # The score of additive attention is a weight, and location-base scores need no product.
        products = 1 if config.score in ("additive", "location-base") else 2
        return 0, products * length * config.units
    return 0, 0
