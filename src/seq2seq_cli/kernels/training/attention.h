// What attention reads and writes.
//
// Dimensions: N rows, H heads, S keys, D width of a head.

#pragma once

#include "step.h"

// A tensor (N, H, tokens, D), whose D numbers stand side by side; steps are in numbers. Or the same packed:
// one row (H, tokens of all rows, D), in which row n has the tokens from starts[n] to starts[n + 1].
struct Heads {
    void *data;
    int64_t row, head, token;
    int32_t tokens;
    const int32_t *starts;

    template <typename T> T *at(int64_t n, int64_t h) const {
        return static_cast<T *>(data) + (starts ? starts[n] * token : n * row) + h * head;
    }

    int count(int64_t n) const { return starts ? starts[n + 1] - starts[n] : tokens; }
};

struct AttentionShape {
    int32_t rows, heads, width, causal;
    float scale;          // of scores
    const uint8_t *seen;  // (N, S), which keys may be looked at; null: all
};

namespace seq2seq {

// Attention of bfloat16 numbers in matrix tiles, where there are tiles and they fit the shape; returns
// whether it was done.
bool attend_in_tiles(const AttentionShape &shape, const Heads &query, const Heads &key,
                     const Heads &value, const Heads &out, int threads);

bool attend_in_tiles_backward(const AttentionShape &shape, const Heads &query, const Heads &key,
                              const Heads &value, const Heads &gradient, const Heads &of_query,
                              const Heads &of_key, const Heads &of_value, int threads);

}  // namespace seq2seq
