// Linear layers for inference: weights packed for vectors and tiles, as float32 or as 8-bit
// numbers.

#pragma once

#include <functional>
#include <stdexcept>

#include "../simd/vectors.h"

namespace seq2seq {

// How the result of a product is stored: instead of y, added to y, or instead of y after ReLU.
enum class Epilogue { replace, add, relu };

// Weights (outputs, inputs) and bias (outputs,), packed into one block of memory: the bias, with 8
// bits the scales, and the weights. There LANES outputs are next to each other; with 8 bits, four
// inputs of each.
struct Linear {
    int inputs, outputs, blocks, depth;  // depth: inputs, with 8 bits rounded up to a multiple of 4
    bool eight_bits;
    float *bias, *scales = nullptr, *weights = nullptr;
    uint8_t *bytes = nullptr;  // 8-bit weights + 128, since `dot` takes them without a sign

    // `given_bias` may be null.
    Linear(const float *weight, const float *given_bias, int outputs, int inputs, bool eight_bits);

    // The outputs of another layer whose numbers are in `selected`, in that order.
    Linear(const Linear &whole, const int64_t *selected, int count);

    // A layer of this shape that was packed before, by this build; the caller keeps its block. It is
    // only read, and may lie in a mapped file.
    Linear(const void *packed, int outputs, int inputs, bool eight_bits);

    const void *block() const { return bias; }
    size_t block_size() const { return vector_bytes() * (eight_bits ? 2 : 1) + weight_bytes(); }

    size_t weight_index(int output, int input) const {
        return (static_cast<size_t>(output / LANES) * depth + input) * LANES + output % LANES;
    }

    size_t byte_index(int output, int input) const {
        return (static_cast<size_t>(output / LANES) * depth + input / 4 * 4) * LANES +
               output % LANES * 4 + input % 4;
    }

  private:
    AlignedBuffer<uint8_t> own;  // empty if the block is the caller's

    Linear(int outputs, int inputs, int depth, bool eight_bits)
        : inputs(inputs), outputs(outputs), blocks((outputs + LANES - 1) / LANES), depth(depth),
          eight_bits(eight_bits) {}

    static size_t rounded_up(size_t bytes) { return (bytes + 63) / 64 * 64; }
    size_t padded() const { return static_cast<size_t>(blocks) * LANES; }
    size_t vector_bytes() const { return rounded_up(padded() * sizeof(float)); }
    size_t weight_bytes() const {
        return rounded_up(padded() * depth * (eight_bits ? 1 : sizeof(float)));
    }

    void lay_out(uint8_t *block);
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
