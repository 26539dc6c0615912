"""Linear layers for inference, whose weights are packed once (linear.cpp)."""

import ctypes
import weakref

import numpy as np

from seq2seq_cli.kernels.arrays import Array, Floats, Tokens, address, widened
from seq2seq_cli.kernels.library import Functions

_kernels = Functions("""
    void *linear_new(const float *weight, const float *bias, int32_t outputs, int32_t inputs,
                     int32_t eight_bits);
    void *linear_select_outputs(const void *layer, const int64_t *selected, int32_t count);
    int64_t linear_block_size(int32_t outputs, int32_t inputs, int32_t eight_bits);
    const void *linear_block(const void *layer);
    void *linear_map(const void *block, int32_t outputs, int32_t inputs, int32_t eight_bits);
    void linear_free(void *layer);
    void linear_apply(const void *layer, const float *x, int32_t rows, float *y);
""")


BLOCK_ALIGNMENT = 64  # bytes
ROWS = 4096  # of 16 bits that are widened at a time; a multiple of the lanes of all builds


class Linear:
    """A linear layer for inference with packed weights, float32 or 8-bit integers.

    With 8 bits each output and each row of inputs has its own scale, so that the result for a row
    does not depend on the other rows.
    """

    def __init__(self, handle: int, inputs: int, outputs: int, eight_bits: bool) -> None:
        self.in_features, self.out_features = inputs, outputs
        self.eight_bits = eight_bits
        self.handle = handle
        self._block: Array | None = None
        weakref.finalize(self, _kernels().linear_free, handle)

    @classmethod
    def pack(cls, weight: Array, bias: Floats | None, *, eight_bits: bool) -> "Linear":
        """Copy weights (outputs, inputs) and bias (outputs,) in the order that kernels read.

        Weights of 16 bits are packed as the same numbers in 32 bits, some rows at a time.
        """
        outputs, inputs = weight.shape
        if weight.dtype != np.float32 and outputs > ROWS:
            return cls._pack_by_rows(weight, bias, eight_bits=eight_bits)
        weight = np.ascontiguousarray(widened(weight), dtype=np.float32)
        bias = None if bias is None else np.ascontiguousarray(bias, dtype=np.float32)
        handle = _kernels().linear_new(address(weight), address(bias), outputs, inputs, eight_bits)
        return cls(handle, inputs, outputs, eight_bits)

    @classmethod
    def _pack_by_rows(cls, weight: Array, bias: Floats | None, *, eight_bits: bool) -> "Linear":
        """As `pack`, for a matrix that is too large to be widened as a whole.

        A block holds the bias, with 8 bits the scales, and the weights (linear.h), and each of
        these the numbers of its outputs in order: so what some rows were packed to are pieces of
        it.
        """
        outputs, inputs = weight.shape
        block = _aligned(_kernels().linear_block_size(outputs, inputs, eight_bits))
        vectors = 2 if eight_bits else 1  # bias and scales
        begins = [number * _vector_size(outputs) for number in range(vectors + 1)]
        for first in range(0, outputs, ROWS):
            rows = slice(first, first + ROWS)
            part = cls.pack(
                weight[rows], None if bias is None else bias[rows], eight_bits=eight_bits
            )
            size = _vector_size(part.out_features)
            pieces = np.split(
                np.frombuffer(part.block, np.uint8), [size * (i + 1) for i in range(vectors)]
            )
            for number, piece in enumerate(pieces):
                block[begins[number] : begins[number] + len(piece)] = piece
                begins[number] += len(piece)
        return cls.of_block(block, outputs, inputs, eight_bits=eight_bits)

    @classmethod
    def of_block(cls, block: Array, outputs: int, inputs: int, *, eight_bits: bool) -> "Linear":
        """A layer of this shape that was packed before: its `block` (bytes,), which is not copied.

        Raises ValueError unless the block is as large as this build makes it, and aligned.
        """
        if block.nbytes != _kernels().linear_block_size(outputs, inputs, eight_bits):
            raise ValueError(f"{block.nbytes:,} bytes are not a packed layer")
        if block.ctypes.data % BLOCK_ALIGNMENT:
            raise ValueError("a packed layer is not aligned")
        handle = _kernels().linear_map(address(block), outputs, inputs, eight_bits)
        layer = cls(handle, inputs, outputs, eight_bits)
        layer._block = block  # which C++ reads
        return layer

    @property
    def block(self) -> memoryview:
        """The packed weights, as `of_block` takes them; only valid while the layer exists."""
        size = _kernels().linear_block_size(self.out_features, self.in_features, self.eight_bits)
        start = _kernels().linear_block(self.handle)
        return memoryview((ctypes.c_char * size).from_address(start)).cast("B")

    def select_outputs(self, selected: Tokens) -> "Linear":
        """Make a layer of some of the outputs, in the order of `selected` (any,)."""
        handle = _kernels().linear_select_outputs(self.handle, address(selected), len(selected))
        return Linear(handle, self.in_features, len(selected), self.eight_bits)

    def __call__(self, x: Floats) -> Floats:
        """Multiply (…, inputs) by the weights and add the bias: (…, outputs)."""
        y = np.empty((*x.shape[:-1], self.out_features), dtype=np.float32)
        _kernels().linear_apply(self.handle, address(x), x.size // self.in_features, address(y))
        return y


def _vector_size(outputs: int) -> int:
    """The bytes of a bias, or of scales, in a block."""
    size: int = _kernels().linear_block_size(outputs, 0, False)
    return size


def _aligned(size: int) -> Array:
    """Room for a block (bytes,)."""
    room = np.empty(size + BLOCK_ALIGNMENT, np.uint8)
    first = -room.ctypes.data % BLOCK_ALIGNMENT
    return room[first : first + size]
