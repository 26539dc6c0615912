// Dropout: alone, before a residual sum, and after ReLU.

#include "random.h"

namespace {

// Elements in a block. Each block has its own stream of random bytes, which depends on the seed and
// the number of the block alone, and so is the same in the backward pass.
constexpr int64_t BLOCK = 8192;

constexpr int GROUPS = sizeof(Words) / LANES;  // vectors of floats for one vector of random bytes

// Calls work(i, kept, group) for each vector, from index i on, with the mask of elements that
// remain, of which the vector's are those of `group`. Calls rest(i, kept) for each element of the
// last, partial group of vectors.
template <typename Work, typename Rest>
void for_dropout(int64_t count, int threshold, int64_t seed, int threads, Work &&work,
                 Rest &&rest) {
    parallel_for((count + BLOCK - 1) / BLOCK, threads, [&](int64_t block) {
        Random random(seed, block);
        int64_t at = block * BLOCK;
        const int64_t end = std::min(count, at + BLOCK);
        for (; at < end; at += GROUPS * LANES) {
            const Mask kept = bytes_at_least(random.next(), threshold);
            if (at + GROUPS * LANES <= end)
                for (int group = 0; group < GROUPS; group++) work(at + group * LANES, kept, group);
            else
                for (int64_t i = at; i < end; i++) rest(i, is_set(kept, static_cast<int>(i - at)));
        }
    });
}

template <typename T>
void dropout(const T *x, T *out, int64_t count, int threshold, int64_t seed, int threads) {
    const float scale = scale_of(threshold);
    for_dropout(
        count, threshold, seed, threads,
        [&](int64_t i, Mask kept, int group) {
            store(out + i, zero_unset(kept, group, multiply(load(x + i), broadcast(scale))));
        },
        [&](int64_t i, bool kept) {
            out[i] = from_float<T>(kept ? to_float(x[i]) * scale : 0.0f);
        });
}

template <typename T>
void dropout_add(const T *residual, const T *x, T *out, int64_t count, int threshold, int64_t seed,
                 int threads) {
    const float scale = scale_of(threshold);
    for_dropout(
        count, threshold, seed, threads,
        [&](int64_t i, Mask kept, int group) {
            const Floats dropped = zero_unset(kept, group, multiply(load(x + i), broadcast(scale)));
            store(out + i, add(load(residual + i), dropped));
        },
        [&](int64_t i, bool kept) {
            out[i] = from_float<T>(to_float(residual[i]) + (kept ? to_float(x[i]) * scale : 0.0f));
        });
}

// Dropout of ReLU of x plus a bias (width,), unless that is null. x and out may be the same.
template <typename T>
void relu_dropout(const T *x, const float *bias, int width, T *out, int64_t count, int threshold,
                  int64_t seed, int threads) {
    const float scale = scale_of(threshold);
    if (!bias) width = LANES;
    for_dropout(
        count, threshold, seed, threads,
        [&](int64_t i, Mask kept, int group) {
            Floats sum = load(x + i);
            if (bias) sum = add(sum, load(bias + i % width));
            const Floats positive = max(broadcast(0), sum);
            store(out + i, zero_unset(kept, group, multiply(positive, broadcast(scale))));
        },
        [&](int64_t i, bool kept) {
            const float sum = to_float(x[i]) + (bias ? bias[i % width] : 0.0f);
            out[i] = from_float<T>(kept ? (sum < 0 ? 0.0f : sum) * scale : 0.0f);
        });
}

// The gradient of the input of `relu_dropout`, from that of its output: scaled where the result is
// positive, 0 elsewhere. grad_output and out may be the same.
template <typename T>
void relu_dropout_backward(const T *grad_output, const T *result, T *out, int64_t count,
                           float scale, int threads) {
    parallel_for((count + BLOCK - 1) / BLOCK, threads, [&](int64_t block) {
        int64_t i = block * BLOCK;
        const int64_t end = std::min(count, i + BLOCK);
        for (; i + LANES <= end; i += LANES) {
            const Floats scaled = multiply(load(grad_output + i), broadcast(scale));
            store(out + i, zero_unless_positive(load(result + i), scaled));
        }
        for (; i < end; i++)
            out[i] =
                from_float<T>(to_float(result[i]) > 0 ? to_float(grad_output[i]) * scale : 0.0f);
    });
}

}  // namespace

extern "C" {

void train_dropout(int32_t is_bfloat16, const void *x, void *out, int64_t count, int32_t threshold,
                   int64_t seed, int32_t threads) {
    guarded([&] {
        DISPATCH_TYPE(is_bfloat16, dropout(static_cast<const T *>(x), static_cast<T *>(out), count,
                                           threshold, seed, threads))
    });
}

void train_dropout_add(int32_t is_bfloat16, const void *residual, const void *x, void *out,
                       int64_t count, int32_t threshold, int64_t seed, int32_t threads) {
    guarded([&] {
        DISPATCH_TYPE(is_bfloat16,
                      dropout_add(static_cast<const T *>(residual), static_cast<const T *>(x),
                                  static_cast<T *>(out), count, threshold, seed, threads))
    });
}

void train_relu_dropout(int32_t is_bfloat16, const void *x, const float *bias, int32_t width,
                        void *out, int64_t count, int32_t threshold, int64_t seed,
                        int32_t threads) {
    guarded([&] {
        DISPATCH_TYPE(is_bfloat16,
                      relu_dropout(static_cast<const T *>(x), bias, width, static_cast<T *>(out),
                                   count, threshold, seed, threads))
    });
}

void train_relu_dropout_backward(int32_t is_bfloat16, const void *grad_output, const void *result,
                                 void *out, int64_t count, float scale, int32_t threads) {
    guarded([&] {
        DISPATCH_TYPE(is_bfloat16,
                      relu_dropout_backward(static_cast<const T *>(grad_output),
                                            static_cast<const T *>(result), static_cast<T *>(out),
                                            count, scale, threads))
    });
}

}  // extern "C"
