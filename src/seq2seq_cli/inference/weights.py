"""The weights of a model by name, checked and packed for kernels."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from seq2seq_cli.errors import NoNumbersError
from seq2seq_cli.kernels.arrays import Array, Floats, is_finite
from seq2seq_cli.kernels.inference.encoder_memory import EMBEDDING_TYPES
from seq2seq_cli.kernels.inference.linear import Linear
from seq2seq_cli.kernels.inference.transformer import NormWeights


def check_finite(name: str, array: Array) -> None:
    """Raise NoNumbersError with the name of weights that hold NaN or infinity.

    Weights are checked when they are packed, since what is packed can hide that a number is NaN.
    """
    if not is_finite(array):
        raise NoNumbersError(name)


@dataclass(frozen=True)
class ModelWeights:
    """The weights of a model, named as in model.safetensors, and how linear layers are packed."""

    arrays: Mapping[str, Floats]
    release: Callable[[], None]  # gives back the memory of arrays that were read
    eight_bits: bool  # linear layers multiply 8-bit integers
    stored: Mapping[str, Array] | None = None  # as in the file, if `arrays` widens it

    @property
    def keys_values_type(self) -> type[np.floating]:
        """With 8-bit weights keys and values are float16: as exact, and half as much to read."""
        return np.float16 if self.eight_bits else np.float32

    def linear(self, name: str) -> Linear:
        """Pack the linear layer whose weights are `name`.weight and, if there is one, .bias."""
        return self.packed(f"{name}.weight", f"{name}.bias")

    def packed(self, weight: str, bias: str) -> Linear:
        """Pack the linear layer with these weights, and this bias if there is one."""
        layer = Linear.pack(
            self[weight],
            self[bias] if bias in self.arrays else None,
            eight_bits=self.eight_bits,
        )
        self.release()
        return layer

    def norm(self, name: str) -> NormWeights:
        """The weights of a norm."""
        bias = f"{name}.bias"
        return NormWeights(self[f"{name}.weight"], self[bias] if bias in self.arrays else None)

    def output(self) -> Linear:
        """Pack the projection to the vocabulary, whose weights may be the target embedding."""
        own = "output.weight"
        return self.packed(own if own in self.arrays else "target_embedding.weight", "output.bias")

    def source_embedding(self) -> Array:
        """The embeddings of source tokens, which may be those of target tokens too."""
        name = "source_embedding.weight"
        return self.embedding(name if name in self.arrays else "target_embedding.weight")

    def target_embedding(self) -> Array:
        """The embeddings of target tokens."""
        return self.embedding("target_embedding.weight")

    def embedding(self, name: str) -> Array:
        """An embedding as it is stored, since kernels widen numbers of 16 bits row by row."""
        array = (self.arrays if self.stored is None else self.stored)[name]
        if array.dtype.type not in EMBEDDING_TYPES:
            return self[name]
        check_finite(name, array)
        return np.ascontiguousarray(array)

    def __getitem__(self, name: str) -> Floats:
        """The weights of a name. Raises NoNumbersError unless they are finite."""
        check_finite(name, self.arrays[name])
        return np.ascontiguousarray(self.arrays[name], dtype=np.float32)
