"""The weights of a model by name, checked and packed for kernels."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from seq2seq_cli.errors import NoNumbersError
from seq2seq_cli.kernels.arrays import Floats
from seq2seq_cli.kernels.inference.linear import Linear
from seq2seq_cli.kernels.inference.transformer import NormWeights


def check_weights(arrays: Mapping[str, Floats]) -> None:
    """Raise NoNumbersError with the name of the first weights that hold NaN or infinity.

    Weights are checked before they are packed, since what is packed can hide that a number is NaN.
    """
    for name, array in arrays.items():
        # A sum is finite only if all numbers are, and takes a fraction of the time.
        with np.errstate(over="ignore", invalid="ignore"):
            is_finite = np.isfinite(array.sum())
        if not is_finite and not np.isfinite(array).all():
            raise NoNumbersError(name)


@dataclass(frozen=True)
class ModelWeights:
    """The weights of a model, named as in model.safetensors, and how linear layers are packed."""

    arrays: Mapping[str, Floats]
    eight_bits: bool  # linear layers multiply 8-bit integers

    @property
    def keys_values_type(self) -> type[np.floating]:
        """With 8-bit weights keys and values are float16: as exact, and half as much to read."""
        return np.float16 if self.eight_bits else np.float32

    def linear(self, name: str) -> Linear:
        """Pack the linear layer whose weights are `name`.weight and, if there is one, .bias."""
        return self.packed(f"{name}.weight", f"{name}.bias")

    def packed(self, weight: str, bias: str) -> Linear:
        """Pack the linear layer with these weights, and this bias if there is one."""
        return Linear.pack(self[weight], self.arrays.get(bias), eight_bits=self.eight_bits)

    def norm(self, name: str) -> NormWeights:
        """The weights of a norm."""
        return NormWeights(self[f"{name}.weight"], self.arrays.get(f"{name}.bias"))

    def source_embedding(self) -> Floats:
        """The embeddings of source tokens, which may be those of target tokens too."""
        name = "source_embedding.weight"
        return self[name if name in self.arrays else "target_embedding.weight"]

    def __getitem__(self, name: str) -> Floats:
        return np.ascontiguousarray(self.arrays[name], dtype=np.float32)
