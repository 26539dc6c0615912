"""The weights of a model by name, checked and packed for kernels."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from seq2seq_cli.config.shapes import Shape, weight_shapes
from seq2seq_cli.errors import NoNumbersError
from seq2seq_cli.inference.plain_model import PlainModel
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


class ModelWeights:
    """The weights of a model, named as in model.safetensors, and how linear layers are packed."""

    def __init__(self, model: PlainModel, *, eight_bits: bool) -> None:
        """With `eight_bits` linear layers multiply 8-bit integers."""
        self.model, self.arrays = model, model.arrays
        self.eight_bits = eight_bits
        self.layers: dict[str, Linear] = {}  # asked for, by their weights' names
        self.has_packed = False  # a layer that was not packed before

    @property
    def keys_values_type(self) -> type[np.floating]:
        """With 8-bit weights keys and values are float16: as exact, and half as much to read."""
        return np.float16 if self.eight_bits else np.float32

    def linear(self, name: str) -> Linear:
        """Pack the linear layer whose weights are `name`.weight and, if there is one, .bias."""
        return self.packed(f"{name}.weight", f"{name}.bias")

    def packed(self, weight: str, bias: str) -> Linear:
        """Pack the linear layer with these weights, and this bias if there is one."""
        return self.joined([weight], [bias] if bias in self.arrays else [])

    def joined(self, weights: Sequence[str], biases: Sequence[str] = ()) -> Linear:
        """Pack layers with the same inputs as one, which has the outputs of all.

        If there are fewer biases than weights, the last layers have none.
        """
        name = "+".join((*weights, *biases))
        self.layers[name] = self._packed_before(name, weights) or self._pack(weights, biases)
        return self.layers[name]

    def _packed_before(self, name: str, weights: Sequence[str]) -> Linear | None:
        """The layer as a start before this one has packed it, or None if none has."""
        block = self.model.packed.get(name)
        if block is None:
            return None
        shapes = [self.shapes[each] for each in weights]
        outputs, inputs = sum(shape[0] for shape in shapes), shapes[0][1]
        try:
            return Linear.of_block(block, outputs, inputs, eight_bits=self.eight_bits)
        except ValueError:  # it is another layer's
            return None

    def _pack(self, weights: Sequence[str], biases: Sequence[str]) -> Linear:
        self.has_packed = True
        parts = [self._stored(each) for each in weights]
        if len({part.dtype for part in parts}) > 1:
            parts = [self._checked(each) for each in weights]
        weight = parts[0] if len(parts) == 1 else np.concatenate(parts)
        bias = None
        if biases:
            bias = np.zeros(len(weight), dtype=np.float32)
            given = np.concatenate([self._checked(each) for each in biases])
            bias[: len(given)] = given
        layer = Linear.pack(weight, bias, eight_bits=self.eight_bits)
        del parts, weight
        self.model.release()
        return layer

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """The shapes of all weights, which is faster than reading those that have 16 bits."""
        return weight_shapes(self.model.config, self.model.vocabulary)

    def norm(self, name: str) -> NormWeights:
        """The weights of a norm."""
        bias = f"{name}.bias"
        return NormWeights(self[f"{name}.weight"], self[bias] if bias in self.arrays else None)

    def output(self) -> Linear:
        """Pack the projection to the vocabulary, whose weights may be the target embedding."""
        own = "output.weight"
        return self.packed(own if own in self.arrays else "target_embedding.weight", "output.bias")

    def copy_gate(self) -> Floats | None:
        """The gate of a model that copies, its weights and its bias (D + 1,), in float32."""
        if not self.model.config.copy_attention:
            return None
        return np.concatenate((self["copy_gate.weight"][0], self["copy_gate.bias"]))

    def source_embedding(self) -> Array:
        """The embeddings of source tokens, which may be those of target tokens too."""
        name = "source_embedding.weight"
        return self.embedding(name if name in self.arrays else "target_embedding.weight")

    def target_embedding(self) -> Array:
        """The embeddings of target tokens."""
        return self.embedding("target_embedding.weight")

    def embedding(self, name: str) -> Array:
        """An embedding as it is stored."""
        return self._stored(name, known=bool(self.model.packed))

    def _stored(self, name: str, *, known: bool = False) -> Array:
        """Weights as they are stored: kernels widen numbers of 16 bits some rows at a time.

        Raises NoNumbersError unless they are finite or `known` to be so.
        """
        stored = self.model.stored
        array = (self.arrays if stored is None else stored)[name]
        if array.dtype.type not in EMBEDDING_TYPES:
            array = np.asarray(array, dtype=np.float32)
        if not known:
            check_finite(name, array)
        return np.ascontiguousarray(array)

    def __getitem__(self, name: str) -> Floats:
        """The weights of a name. Raises NoNumbersError unless they are finite."""
        if self.model.packed:  # a start before this one has checked them
            return np.ascontiguousarray(self.arrays[name], dtype=np.float32)
        return self._checked(name)

    def _checked(self, name: str) -> Floats:
        array = self.arrays[name]
        check_finite(name, array)
        return np.ascontiguousarray(array, dtype=np.float32)
