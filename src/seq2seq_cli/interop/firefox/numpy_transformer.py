"""A Transformer in plain numpy, a sentence at a time: to measure what its linear layers read.

Formats with 8-bit products store the scale of the input of every product, which is known only from
text. Dimensions: S source tokens, T target tokens, D width.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.inference.positions import sinusoids
from seq2seq_cli.kernels.arrays import Array
from seq2seq_cli.symbols import BOS

SIGMOID_GELU = 1.702

Layer: TypeAlias = Callable[[Array], Array]


class NumpyTransformer:
    """Encodes and decodes one sentence of a model that Marian can hold.

    A subclass may compute `linear`, through which all products with weights go, in another way.
    """

    def __init__(self, config: TransformerConfig, weights: Mapping[str, Array]) -> None:
        self.config = config
        self.weights = weights

    def linear(self, name: str, x: Array) -> Array:
        """The linear layer of a name: (…, inputs) -> (…, outputs)."""
        result: Array = x @ self.weights[f"{name}.weight"].T
        bias = self.weights.get(f"{name}.bias")
        return result if bias is None else result + bias

    def logits(self, hidden: Array) -> Array:
        """Decoder hidden states (T, D) -> logits (T, V)."""
        name = "target_embedding" if self.config.tie_output else "output"
        result = self.linear(name, hidden)
        bias = self.weights.get("output.bias") if self.config.tie_output else None
        return result if bias is None else result + bias

    def encode(self, source: Sequence[int]) -> Array:
        """Ids (S,) -> the encoder's outputs (S, D)."""
        x = self._embedded("source", source)
        for i in range(self.config.encoder_layers):
            name = f"encoder.{i}"

            def attend(x: Array, name: str = name) -> Array:
                return self._self_attention(f"{name}.attention", x, causal=False)

            x = self._sublayer(f"{name}.attention_sublayer", x, attend)
            x = self._feed_forward(name, x)
        return self._norm("encoder_norm", x) if self.config.norm == "pre" else x

    def decode(self, target: Sequence[int], encoded: Array) -> Array:
        """Ids (T,), from BOS on, and the encoder's outputs -> hidden states (T, D)."""
        x = self._embedded("target", target)
        for i in range(self.config.decoder_layers):
            name = f"decoder.{i}"

            def look_back(x: Array, name: str = name) -> Array:
                if self.config.decoder_attention == "ssru":
                    return self._simple_recurrence(f"{name}.self_attention", x)
                return self._self_attention(f"{name}.self_attention", x, causal=True)

            def look_across(x: Array, name: str = name) -> Array:
                query = self.linear(f"{name}.cross_attention.query", x)
                both = self.linear(f"{name}.cross_attention.key_value", encoded)
                key, value = np.split(both, 2, axis=-1)
                return self._attention(f"{name}.cross_attention", query, key, value)

            x = self._sublayer(f"{name}.self_sublayer", x, look_back)
            x = self._sublayer(f"{name}.cross_sublayer", x, look_across)
            x = self._feed_forward(name, x)
        return self._norm("decoder_norm", x) if self.config.norm == "pre" else x

    def _embedded(self, side: str, ids: Sequence[int]) -> Array:
        name = "target" if "source_embedding.weight" not in self.weights else side
        x = self.weights[f"{name}_embedding.weight"][np.asarray(ids)]
        x = x * np.float32(math.sqrt(self.config.width))
        x = x + sinusoids(len(ids), self.config.width, self.config.sinusoids)
        return self._norm(f"{side}_embedding_norm", x) if self.config.embedding_norm else x

    def _sublayer(self, name: str, x: Array, layer: Layer) -> Array:
        if self.config.norm == "pre":
            return x + layer(self._norm(f"{name}.norm", x))
        return self._norm(f"{name}.norm", x + layer(x))

    def _norm(self, name: str, x: Array) -> Array:
        if self.config.normalisation == "layer":
            x = x - x.mean(axis=-1, keepdims=True)
        variance = np.square(x).mean(axis=-1, keepdims=True)
        x = x / np.sqrt(variance + np.float32(self.config.norm_epsilon))
        x = x * self.weights[f"{name}.weight"]
        bias = self.weights.get(f"{name}.bias")
        return x if bias is None else x + bias

    def _feed_forward(self, name: str, x: Array) -> Array:
        def feed(x: Array) -> Array:
            inner = self._activation(self.linear(f"{name}.feed_forward.inner", x))
            return self.linear(f"{name}.feed_forward.outer", inner)

        return self._sublayer(f"{name}.feed_forward_sublayer", x, feed)

    def _activation(self, x: Array) -> Array:
        if self.config.activation == "relu":
            return np.maximum(x, 0)
        factor = SIGMOID_GELU if self.config.activation == "gelu-sigmoid" else 1.0
        return x * _sigmoid(np.float32(factor) * x)

    def _self_attention(self, name: str, x: Array, *, causal: bool) -> Array:
        query, key, value = np.split(self.linear(f"{name}.query_key_value", x), 3, axis=-1)
        return self._attention(name, query, key, value, causal=causal)

    def _attention(
        self, name: str, query: Array, key: Array, value: Array, *, causal: bool = False
    ) -> Array:
        heads = self.config.heads
        query, key, value = (
            each.reshape(len(each), heads, -1).transpose(1, 0, 2) for each in (query, key, value)
        )
        scores = query @ key.transpose(0, 2, 1) * np.float32(query.shape[2] ** -0.5)
        if causal:
            scores[:, np.triu(np.ones(scores.shape[1:], dtype=np.bool_), 1)] = -np.inf
        scores = np.exp(scores - scores.max(axis=2, keepdims=True))
        scores /= scores.sum(axis=2, keepdims=True)
        joined = (scores @ value).transpose(1, 0, 2).reshape(query.shape[1], -1)
        return self.linear(f"{name}.output", joined)

    def _simple_recurrence(self, name: str, x: Array) -> Array:
        keep = _sigmoid(self.linear(f"{name}.forget", x))
        new = (1 - keep) * self.linear(f"{name}.input", x)
        cell, cells = np.zeros_like(x[0]), []
        for kept, added in zip(keep, new, strict=True):
            cell = kept * cell + added
            cells.append(cell)
        hidden: Array = np.maximum(np.stack(cells), 0)
        return hidden


class InputMagnitudes(NumpyTransformer):
    """Notes the greatest magnitude that each linear layer reads in each sentence."""

    def __init__(self, config: TransformerConfig, weights: Mapping[str, Array]) -> None:
        super().__init__(config, weights)
        self.greatest: dict[str, list[float]] = {}

    def linear(self, name: str, x: Array) -> Array:
        self.greatest.setdefault(name, []).append(float(np.abs(x).max()))
        return super().linear(name, x)

    def read(self, source: Sequence[int], target: Sequence[int]) -> None:
        """Read a sentence pair, both sides with EOS at their end."""
        self.logits(self.decode([BOS, *target[:-1]], self.encode(source)))


def _sigmoid(x: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-x))
    return result
