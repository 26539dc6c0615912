"""The convolutional encoder-decoder, with attention in every decoder layer.

Dimensions: B sentences, N decoder rows, S source, T target, D width, C channels, K kernel; see
`base`.
"""

import math
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq_cli.config.models import ConvConfig, Vocabulary
from seq2seq_cli.kernels import autograd
from seq2seq_cli.models.base import LayerStates, State, TranslationModel, name_layers
from seq2seq_cli.models.layers import (
    Dropout,
    LearnedPositions,
    Linear,
    SourceAttention,
    count_more,
    last_of,
    no_tokens_read,
    source_mask,
)

HALF = math.sqrt(0.5)  # keeps the variance of a sum of two vectors


class Convolution(nn.Module):
    """K tokens in, one out, through a gated linear unit (Dauphin 2017).

    The weights are one matrix (2 C, K x C), so that a token costs one product.
    """

    def __init__(self, config: ConvConfig) -> None:
        super().__init__()
        self.kernel = config.kernel
        self.weight = Linear(config.kernel * config.channels, 2 * config.channels)
        self.dropout = Dropout(config.dropout)
        # Dropout lets through a share of the variance, the gate a quarter of it (appendix A).
        _initialise(self.weight, 4 * (1 - config.dropout))

    def forward(self, x: Tensor) -> Tensor:
        """(N, T + K - 1, C) -> (N, T, C)."""
        length = x.size(1) - self.kernel + 1
        if length == 1:
            return F.glu(self.weight(x.flatten(1)[:, None]), dim=2)
        windows = torch.cat([x[:, i : i + length] for i in range(self.kernel)], dim=2)
        return F.glu(self.weight(windows), dim=2)


class ConvAttention(SourceAttention):
    """Attention by dot products with one head; each layer of the decoder has its own."""

    def weights(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        """Queries (B, Q, D), keys (B, S, D), mask (B, S) -> (B, 1, Q, S)."""
        scores = torch.matmul(query, key.transpose(1, 2))
        return scores.masked_fill(~mask[:, None, :], -torch.inf).softmax(dim=2)[:, None]

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        """As `weights`, and values (B, S, D) -> (B, Q, D)."""
        return autograd.attention(
            query[:, None], key[:, None], value[:, None], mask[:, None, None, :], scale=1.0
        )[:, 0]


class Embed(nn.Module):
    """Tokens and their positions as vectors (N, T, D)."""

    def __init__(self, config: ConvConfig) -> None:
        super().__init__()
        self.positions = LearnedPositions(config.max_positions, config.width)
        self.dropout = Dropout(config.dropout)

    def forward(self, tokens: Tensor, start: int) -> Tensor:
        """Embedded tokens (N, T, D) at positions start, start + 1, …"""
        return cast(Tensor, self.dropout(tokens + self.positions(start, tokens.size(1))))


class Encoder(nn.Module):
    """Blocks of convolutions over the source."""

    def __init__(self, config: ConvConfig) -> None:
        super().__init__()
        self.embed = Embed(config)
        self.input = _linear(config.width, config.channels, 1 - config.dropout)
        self.layers = nn.ModuleList(Convolution(config) for _ in range(config.encoder_layers))
        self.output = _linear(config.channels, config.width, 1.0)
        self.side = config.kernel // 2
        self.gradient_scale = 1 / (2 * config.decoder_layers)

    def forward(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Embedded tokens (B, S, D), mask (B, S) -> keys and values, each (B, S, D).

        A mean of m vectors has 1 / m of their variance; values are scaled to make up for it.
        """
        embedded = self.embed(tokens, 0)
        keys = self.output(last_of(self.layer_outputs(embedded, mask)))
        if keys.requires_grad:
            # Every attention of the decoder sends its gradient here (section 3.5).
            keys.register_hook(lambda gradient: gradient * self.gradient_scale)
        scale = mask.sum(dim=1).sqrt()[:, None, None] * HALF
        return keys, (keys + embedded) * scale.to(keys)

    def layer_outputs(self, embedded: Tensor, mask: Tensor) -> Iterator[Tensor]:
        """The outputs (B, S, C) of each layer, for embedded tokens (B, S, D) with positions."""
        padding = ~mask[..., None]
        x = self.input(embedded)
        for layer in self.layers:
            read = cast(Convolution, layer).dropout(
                x.masked_fill(padding, 0.0)
            )  # PAD counts as zero, like positions outside
            x = (layer(F.pad(read, (0, 0, self.side, self.side))) + x) * HALF
            yield x


class DecoderLayer(nn.Module):
    """A causal convolution, then attention to the source."""

    def __init__(self, config: ConvConfig) -> None:
        super().__init__()
        self.convolution = Convolution(config)
        self.query = _linear(config.channels, config.width, 1.0)
        self.attention = ConvAttention()
        self.context = _linear(config.width, config.channels, 1.0)

    def forward(
        self, x: Tensor, embedded: Tensor, history: Tensor, memory: State
    ) -> tuple[Tensor, Tensor]:
        """(N, T, C), embedded tokens (N, T, D) -> (N, T, C), and the history after them."""
        keys, values, mask = cast(tuple[Tensor, Tensor, Tensor], memory)
        read = torch.cat((history, self.convolution.dropout(x)), dim=1)
        h = self.convolution(read)
        query = (self.query(h) + embedded) * HALF
        context = self.attention(query.view(keys.size(0), -1, keys.size(2)), keys, values, mask)
        h = (h + self.context(context.view_as(query))) * HALF
        return (h + x) * HALF, read[:, read.size(1) - history.size(1) :]


class Conv(TranslationModel):
    """Gehring et al. 2017, "Convolutional sequence to sequence learning".

    Without weight normalisation: the optimizer scales each weight by itself.
    Memory: keys (B, S, D), values (B, S, D), mask (B, S).
    State: the count of tokens read, then the last K - 1 inputs (N, K - 1, C) of each layer.
    """

    Config = ConvConfig
    attends_to_source = ConvConfig.attends_to_source

    def __init__(self, config: ConvConfig, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        self.encoder = Encoder(config)
        self.embed = Embed(config)
        self.input = _linear(config.width, config.channels, 1 - config.dropout)
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.features = _linear(config.channels, config.width, 1.0)
        self.dropout = Dropout(config.dropout)
        self.history = (config.kernel - 1, config.channels)
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.1)
        self.initialise_output()

    def encode(self, source: Tensor) -> tuple[State, State]:
        mask = source_mask(source)
        keys, values = self.encoder(self.source_embedding(source), mask)
        empty = keys.new_zeros(keys.size(0), *self.history)
        return (keys, values, mask), (no_tokens_read(keys), *(empty for _ in self.decoder))

    def decode(self, target: Tensor, state: State, memory: State) -> tuple[Tensor, State]:
        read, *histories = cast(tuple[Tensor, ...], state)
        embedded = self.embed(self.target_embedding(target), read.size(1))
        x = self.input(embedded)
        after = [count_more(read, target.size(1))]
        for layer, history in zip(self.decoder, histories, strict=True):
            x, history = layer(x, embedded, history, memory)
            after.append(history)
        return self.features(self.dropout(x)), tuple(after)

    def layer_states(self, source: Tensor, target: Tensor) -> LayerStates:
        """As the base class says."""
        mask = source_mask(source)
        read = self.encoder.embed(self.source_embedding(source), 0)
        layers = list(self.encoder.layer_outputs(read, mask))
        memory, state = self.encode(source)
        embedded = self.embed(self.target_embedding(target), 0)
        outputs, x = [], self.input(embedded)
        for layer, history in zip(self.decoder, cast(tuple[Tensor, ...], state)[1:], strict=True):
            x, _ = layer(x, embedded, history, memory)
            outputs.append(x)
        keys = cast(tuple[Tensor, ...], memory)[0]
        return LayerStates(
            name_layers(read, layers, keys),
            name_layers(embedded, outputs, self.features(self.dropout(x))),
        )


def _linear(inputs: int, outputs: int, variance: float) -> nn.Linear:
    layer = Linear(inputs, outputs)
    _initialise(layer, variance)
    return layer


def _initialise(layer: nn.Linear, variance: float) -> None:
    """Weights whose outputs have `variance` times the variance of their inputs (section 3.5)."""
    nn.init.normal_(layer.weight, std=math.sqrt(variance / layer.in_features))
    nn.init.zeros_(layer.bias)
