// What the parts of a training step have in common: threads, and numbers of two types in memory.
//
// Matrix products are torch's own, or those of products.cpp where there are matrix tiles; in the other
// files is what stands between them, where PyTorch's operators would each read and write whole
// tensors. Numbers are float32 or bfloat16
// outside and float32 inside. Work is divided the same way for any number of threads, so that results
// do not depend on it, and runs in the threads that torch has already.

#pragma once

#include <atomic>

#include "../simd/vectors.h"

namespace seq2seq {

// GOMP_parallel of the OpenMP library that torch has loaded.
using Parallel = void (*)(void (*)(void *), void *, unsigned, unsigned);
extern Parallel in_parallel;

}  // namespace seq2seq

namespace {

// Call work(i) for i below `count`, each once, in any order and by any thread.
template <typename Work> void parallel_for(int64_t count, int threads, Work &&work) {
    if (threads <= 1 || count <= 1 || !in_parallel) {
        for (int64_t i = 0; i < count; i++) work(i);
        return;
    }
    struct Shared {
        std::atomic<int64_t> next{0};
        int64_t count;
        Work *work;
    } shared;
    shared.count = count;
    shared.work = &work;
    in_parallel(
        [](void *data) {
            auto *own = static_cast<Shared *>(data);
            for (int64_t i; (i = own->next.fetch_add(1, std::memory_order_relaxed)) < own->count;)
                (*own->work)(i);
        },
        &shared, static_cast<unsigned>(threads), 0);
}

template <typename T> void load_row(const T *x, int count, int padded, float *out) {
    int i = 0;
    for (; i + LANES <= count; i += LANES) store(out + i, load(x + i));
    for (; i < count; i++) out[i] = to_float(x[i]);
    std::fill(out + count, out + padded, 0.0f);
}

template <typename T> void store_row(const float *x, int count, T *out) {
    int i = 0;
    for (; i + LANES <= count; i += LANES) store(out + i, load(x + i));
    for (; i < count; i++) out[i] = from_float<T>(x[i]);
}

inline int padded(int count) { return (count + LANES - 1) / LANES * LANES; }

}  // namespace

// CALL stands for a call with numbers of type T.
#define DISPATCH_TYPE(is_bfloat16, CALL)                                                                \
    if (is_bfloat16) {                                                                                   \
        using T = bfloat16;                                                                           \
        CALL;                                                                                      \
    } else {                                                                                       \
        using T = float;                                                                           \
        CALL;                                                                                      \
    }
