"""How the Transformer in kernels encodes the positions of one side.

Dimensions: D width, H heads.
"""

from typing import Literal

import numpy as np

from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.config.relative_positions import source_buckets, target_buckets
from seq2seq_cli.inference import positions
from seq2seq_cli.inference.weights import ModelWeights
from seq2seq_cli.kernels.arrays import Floats
from seq2seq_cli.kernels.inference.decoding import PositionTables

Side = Literal["source", "target"]


class TransformerPositions:
    """Computes the tables that `model.positions` asks for.

    It is apart from the model so that a decoder can ask for tables without holding the model that
    holds it: a cycle would keep the packed weights in memory until Python looks for cycles.
    """

    def __init__(self, config: TransformerConfig, weights: ModelWeights, side: Side) -> None:
        self.config = config
        self.side = side
        self.learned: Floats | None = None  # vectors (count, D), or relative biases (buckets, H)
        if config.positions in ("learned", "relative"):
            self.learned = weights[f"{side}_positions.embedding.weight"]

    def tables(self, count: int) -> PositionTables:
        """Tables for the positions from 0 to `count` - 1, at least."""
        return PositionTables(self._vectors(count), self._rotations(count), self._biases(count))

    def _vectors(self, count: int) -> Floats | None:
        if self.config.positions == "learned" and self.learned is not None:
            return positions.learned(self.learned, count)
        if self.config.positions == "sinusoidal":
            first = self.config.first_position
            size = positions.table_size(first + count)
            return positions.sinusoids(size, self.config.width, self.config.sinusoids)[first:]
        return None

    def _rotations(self, count: int) -> Floats | None:
        if self.config.positions != "rotary":
            return None
        size = positions.table_size(count)
        return positions.rotations(size, self.config.key_width)

    def _biases(self, count: int) -> Floats | None:
        if self.config.positions != "relative" or self.learned is None:
            return None
        buckets = source_buckets if self.side == "source" else target_buckets
        reach = positions.table_size(count)
        sizes = self.config.position_buckets, self.config.position_distance
        scaled = self.learned[list(buckets(reach, *sizes))]
        unscaled: Floats = np.ascontiguousarray(scaled.T * np.float32(self.config.key_width**0.5))
        return unscaled
