// Linear layers for inference: weights packed for vectors and tiles, as float32 or as 8-bit numbers.

#pragma once

#include "../simd/vectors.h"

namespace seq2seq {

enum class Into { replace, add, relu };  // what becomes of a product

// Weights (outputs, inputs), packed for tiles: LANES outputs stand side by side, and with 8 bits
// four inputs of each.
struct Linear {
    int inputs, outputs, blocks, depth;  // depth: inputs, with 8 bits rounded up to a multiple of 4
    bool eight_bits;
    Aligned<float> weights, bias, scales;
    Aligned<uint8_t> bytes;  // 8-bit weights + 128: dot products take unsigned ones

    Linear(const float *weight, const float *given_bias, int outputs, int inputs, bool eight_bits);

    // Some outputs of another layer, in the order of `chosen`.
    Linear(const Linear &whole, const int64_t *chosen, int count);

    size_t float_place(int output, int input) const {
        return (static_cast<size_t>(output / LANES) * depth + input) * LANES + output % LANES;
    }

    size_t place(int output, int input) const {
        return (static_cast<size_t>(output / LANES) * depth + input / 4 * 4) * LANES +
               output % LANES * 4 + input % 4;
    }
};

// x (rows, inputs) -> y (rows, outputs). What becomes of a row does not depend on the others: sums run
// in one order for each, and 8-bit inputs have a scale a row.
void apply(const Linear &layer, const float *x, int rows, float *y, Into into = Into::replace);

inline const Linear *linear(const void *layer) { return static_cast<const Linear *>(layer); }

}  // namespace seq2seq
