// Tensors and shapes of attention, as Python passes them.
//
// Dimensions: N rows, H heads, Q queries, S keys, D width of a head, O offsets.

#pragma once

#include "step.h"

// A tensor (N, H, tokens, D) whose D numbers are contiguous. Or, without padding, (H, tokens of all
// rows, D), in which row n has the tokens from starts[n] to starts[n + 1].
struct Heads {
    void *data;
    int64_t row, head, token;  // strides, in numbers
    int32_t tokens;
    const int32_t *starts;  // (N + 1,), or null: the tensor is padded

    template <typename T> T *at(int64_t n, int64_t h) const {
        return static_cast<T *>(data) + (starts ? starts[n] * token : n * row) + h * head;
    }

    int count(int64_t n) const { return starts ? starts[n + 1] - starts[n] : tokens; }
};

struct AttentionShape {
    int32_t rows, heads, width, causal;
    float scale;          // that scores are multiplied with
    const uint8_t *mask;  // (N, S), not 0 for keys that queries attend to; null: all
    // What is added to the scaled score of query i and key k: number middle + k - i of its head.
    const float *bias;  // (H, O); null: nothing
    float *grad_bias;   // (N, H, O): the gradient from each row; null: forward, or no bias
    int32_t offsets, middle;
};

// The bias of a head by offset for one row, and the sums of its gradient, with room for vectors
// beyond the last key. Query i has the part from queries - 1 - i on, one number for each key.
struct OffsetBias {
    int queries = 0, count = 0;  // count: numbers, whole vectors beyond the last key included
    AlignedBuffer<float> added, sums;

    // `wide` is the number of keys as whole vectors.
    void read(const AttentionShape &shape, int64_t h, int rows, int keys, int wide) {
        queries = rows, count = rows - 1 + wide;
        float *out = added.reserve(count);
        const float *from = shape.bias + h * shape.offsets + shape.middle - (rows - 1);
        std::copy_n(from, rows - 1 + keys, out);
        std::fill(out + rows - 1 + keys, out + count, 0.0f);
    }

    const float *of_query(int i) const { return added.data + queries - 1 - i; }

    void begin_sums() { std::fill_n(sums.reserve(count), count, 0.0f); }

    float *sums_of_query(int i) const { return sums.data + queries - 1 - i; }

    // Writes the sums as the gradient from row n.
    void write(const AttentionShape &shape, int64_t n, int64_t h, int keys) const {
        float *out = shape.grad_bias + (n * shape.heads + h) * shape.offsets;
        float *own = out + shape.middle - (queries - 1);
        std::fill(out, own, 0.0f);
        std::copy_n(sums.data, queries - 1 + keys, own);
        std::fill(own + queries - 1 + keys, out + shape.offsets, 0.0f);
    }
};

namespace seq2seq {

// Attention of bfloat16 numbers in matrix tiles. They return false, and do nothing, if there are no
// tiles or they do not fit the shape.
bool attend_in_tiles(const AttentionShape &shape, const Heads &query, const Heads &key,
                     const Heads &value, const Heads &out, int threads);

bool attend_in_tiles_backward(const AttentionShape &shape, const Heads &query, const Heads &key,
                              const Heads &value, const Heads &grad_out, const Heads &grad_query,
                              const Heads &grad_key, const Heads &grad_value, int threads);

}  // namespace seq2seq
