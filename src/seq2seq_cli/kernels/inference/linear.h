// Linear layers for inference: weights packed for vectors and tiles, as float32 or as 8-bit
// numbers.

#pragma once

#include <functional>
#include <stdexcept>

#include "../simd/vectors.h"

namespace seq2seq {

// How the result of a product is stored: instead of y, added to y, or instead of y after ReLU.
enum class Epilogue { replace, add, relu };

// Weights (outputs, inputs) and bias (outputs,). In memory LANES outputs are next to each other;
// with 8 bits, four inputs of each.
struct Linear {
    int inputs, outputs, blocks, depth;  // depth: inputs, with 8 bits rounded up to a multiple of 4
    bool eight_bits;
    AlignedBuffer<float> weights, bias, scales;
    AlignedBuffer<uint8_t> bytes;  // 8-bit weights + 128, since `dot` takes them without a sign

    // `given_bias` may be null.
    Linear(const float *weight, const float *given_bias, int outputs, int inputs, bool eight_bits);

    // The outputs of another layer whose numbers are in `selected`, in that order.
    Linear(const Linear &whole, const int64_t *selected, int count);

    size_t weight_index(int output, int input) const {
        return (static_cast<size_t>(output / LANES) * depth + input) * LANES + output % LANES;
    }

    size_t byte_index(int output, int input) const {
        return (static_cast<size_t>(output / LANES) * depth + input / 4 * 4) * LANES +
               output % LANES * 4 + input % 4;
    }

  private:
    void reserve();  // zero weights and bias
};

// x (rows, inputs) -> y (rows, outputs). The result of a row does not depend on the other rows: its
// sums are computed in the same order whatever their number, and 8-bit inputs have a scale for each
// row.
void apply(const Linear &layer, const float *x, int rows, float *y,
           Epilogue epilogue = Epilogue::replace);

// Takes outputs `first` to before `first` + `count` of all rows, (rows, count).
using UsePart = std::function<void(int first, int count, float *part)>;

// As `apply`, but hands over the outputs in parts that are small enough for caches, in order and
// in memory that is used again. Each part but the last is a multiple of 64 outputs.
void apply_in_parts(const Linear &layer, const float *x, int rows, const UsePart &use);

inline const Linear *linear(const void *layer) { return static_cast<const Linear *>(layer); }

// A linear layer as Python hands it over. Throws if it does not have the shape that the code around
// it computes with, since that would read beyond a buffer.
inline const Linear *linear_of_shape(const void *layer, int inputs, int outputs) {
    const Linear *found = linear(layer);
    if (!found || found->inputs != inputs || found->outputs != outputs)
        throw std::invalid_argument("a linear layer does not fit the settings");
    return found;
}

}  // namespace seq2seq
