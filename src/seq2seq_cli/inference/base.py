"""The interface of models in kernels: an encoder, and a decoder that reads token by token.

Dimensions: B sentences; see `models.base`.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from seq2seq_cli.config.models import ModelConfig
from seq2seq_cli.inference.weights import ModelWeights
from seq2seq_cli.kernels.arrays import Counts, Floats, Tokens
from seq2seq_cli.kernels.inference.decoding import Decoder, KVCache
from seq2seq_cli.kernels.inference.encoder_memory import EncoderMemory
from seq2seq_cli.kernels.inference.linear import Linear


class InferenceModel(ABC):
    """A model in kernels, made of its settings and its weights."""

    Config: ClassVar[type[ModelConfig]]
    config: ModelConfig
    source_embedding: Floats  # (source vocabulary, D)
    decoder: Decoder
    output: Linear
    copy_gate: Floats | None = None  # (D + 1,), weights and bias, of a model that copies

    @abstractmethod
    def __init__(self, config: ModelConfig, weights: ModelWeights) -> None:
        """Pack the weights of a model with these settings."""

    @abstractmethod
    def encode(self, tokens: Tokens, lengths: Counts) -> tuple[EncoderMemory, KVCache]:
        """Read the tokens of sentences, one after the other, of these lengths (B,).

        Returns what the decoder attends to, and its state before the first token.
        """
