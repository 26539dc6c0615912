// Tensors and shapes of attention, as Python passes them.
//
// Dimensions: N rows, H heads, S keys, D width of a head.

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
