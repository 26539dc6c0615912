// What the kernels of a training step share: threads, and numbers of two types in memory.
//
// Matrix products are torch's, or those of products.cpp on processors with matrix tiles. The other
// kernels do the work between products, for which PyTorch's operators would each read and write
// whole tensors. Numbers in memory are float32 or bfloat16; all arithmetic is float32. Work is
// divided in the same way for any number of threads, so that results do not depend on it, and runs
// in the threads that torch already has.

#pragma once

#include <atomic>
#include <exception>

#include "../simd/vectors.h"

namespace seq2seq {

// GOMP_parallel of the OpenMP library that torch has loaded, or null: then there is one thread.
using Parallel = void (*)(void (*)(void *), void *, unsigned, unsigned);
extern Parallel run_in_threads;

}  // namespace seq2seq

namespace {

// Calls work(i) once for each i below `count`, in any order and in any thread. If a call throws,
// the first exception is thrown again in this thread, and work that was not begun is left out.
template <typename Work> void parallel_for(int64_t count, int threads, Work &&work) {
    if (threads <= 1 || count <= 1 || !run_in_threads) {
        for (int64_t i = 0; i < count; i++) work(i);
        return;
    }
    struct Shared {
        std::atomic<int64_t> next{0};
        std::atomic<bool> failed{false};
        std::exception_ptr error;
        int64_t count;
        Work *work;
    } shared;
    shared.count = count;
    shared.work = &work;
    run_in_threads(
        [](void *data) {
            auto *shared = static_cast<Shared *>(data);
            try {
                for (int64_t i;
                     (i = shared->next.fetch_add(1, std::memory_order_relaxed)) < shared->count;)
                    (*shared->work)(i);
            } catch (...) {
                if (!shared->failed.exchange(true)) shared->error = std::current_exception();
                shared->next.store(shared->count);
            }
        },
        &shared, static_cast<unsigned>(threads), 0);
    if (shared.failed) std::rethrow_exception(shared.error);
}

// x (count,) -> float32 (padded,), with zeros beyond `count`.
template <typename T> void load_row(const T *x, int count, int padded, float *out) {
    int i = 0;
    for (; i + LANES <= count; i += LANES) store(out + i, load(x + i));
    for (; i < count; i++) out[i] = to_float(x[i]);
    std::fill(out + count, out + padded, 0.0f);
}

// x (count,) -> numbers of another type.
template <typename T> void store_row(const float *x, int count, T *out) {
    int i = 0;
    for (; i + LANES <= count; i += LANES) store(out + i, load(x + i));
    for (; i < count; i++) out[i] = from_float<T>(x[i]);
}

// Rounded up to whole vectors.
inline int padded(int count) { return (count + LANES - 1) / LANES * LANES; }

}  // namespace

// Makes CALL with T as the type of numbers in memory.
#define DISPATCH_TYPE(is_bfloat16, CALL) \
    if (is_bfloat16) {                   \
        using T = bfloat16;              \
        CALL;                            \
    } else {                             \
        using T = float;                 \
        CALL;                            \
    }
