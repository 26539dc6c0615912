"""What models whose decoder is in kernels have in common.

Dimensions: N decoder rows, D width; see `models.base`.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, cast

from torch import Tensor

from seq2seq_cli.kernels.inference.decoding import Decoder, KVCache
from seq2seq_cli.kernels.inference.encoder_memory import EncoderMemory
from seq2seq_cli.kernels.inference.linear import Linear
from seq2seq_cli.models.base import State, TranslationModel


class InferenceModel(ABC):
    """A model whose decoder reads a token of each row in one call of a kernel.

    Its memory is an `EncoderMemory`, its state a `KVCache`, both of `kernels.inference`. With 8-bit
    weights keys and values are float16: as exact as the weights, and half as much to read.
    """

    model_class: ClassVar[type[TranslationModel]]  # the models that it is made of
    decoder: Decoder
    output: Linear

    @classmethod
    def supports(cls, model: TranslationModel) -> bool:
        """Whether the kernels do everything that this model does; a subclass may exclude more."""
        return isinstance(model, cls.model_class)

    @abstractmethod
    def __init__(self, model: TranslationModel) -> None:
        """Pack the weights of a model that is supported."""

    @abstractmethod
    def encode(self, source: Tensor) -> tuple[State, State]:
        """Read (B, S) ids; return memory, and the state before the first token, B rows each."""

    def decode(self, target: Tensor, state: State, memory: State) -> tuple[Tensor, State]:
        """Read (N, 1) ids; return hidden states (N, 1, D) and the state after them."""
        tokens = target[:, 0].contiguous()
        hidden, cache = self.decoder.step(tokens, cast(KVCache, state), cast(EncoderMemory, memory))
        return hidden[:, None], cache
