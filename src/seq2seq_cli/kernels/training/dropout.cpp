// Dropout, alone, before a sum, and after ReLU.

#include "random.h"

namespace {

// Elements that are worked on at a time; each such block has a stream of random bytes of its own,
// which depends on the seed and its place alone, and so is the same in the backward pass.
constexpr int64_t STREAM = 8192;

constexpr int GROUPS = sizeof(Words) / LANES;  // vectors of floats for the bytes of one of random

// Give work(place, kept, group) vectors of a block and which of their elements are kept, and
// rest(place, kept) what is left at the end.
template <typename Work, typename Rest>
void dropping(int64_t count, int threshold, int64_t seed, int threads, Work &&work, Rest &&rest) {
    parallel_for((count + STREAM - 1) / STREAM, threads, [&](int64_t block) {
        Random random(seed, block);
        int64_t at = block * STREAM;
        const int64_t end = std::min(count, at + STREAM);
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
void dropped(const T *x, T *out, int64_t count, int threshold, int64_t seed, int threads) {
    const float scale = scale_of(threshold);
    dropping(
        count, threshold, seed, threads,
        [&](int64_t i, Mask kept, int group) {
            store(out + i, zero_unset(kept, group, multiply(load(x + i), broadcast(scale))));
        },
        [&](int64_t i, bool kept) { out[i] = from_float<T>(kept ? to_float(x[i]) * scale : 0.0f); });
}

template <typename T>
void dropped_sum(const T *residual, const T *x, T *out, int64_t count, int threshold, int64_t seed,
                 int threads) {
    const float scale = scale_of(threshold);
    dropping(
        count, threshold, seed, threads,
        [&](int64_t i, Mask kept, int group) {
            const Floats some = zero_unset(kept, group, multiply(load(x + i), broadcast(scale)));
            store(out + i, add(load(residual + i), some));
        },
        [&](int64_t i, bool kept) {
            out[i] = from_float<T>(to_float(residual[i]) + (kept ? to_float(x[i]) * scale : 0.0f));
        });
}

// Of x plus a bias of `width` numbers, if there is one. x and out may be the same.
template <typename T>
void dropped_relu(const T *x, const float *bias, int width, T *out, int64_t count, int threshold,
                  int64_t seed, int threads) {
    const float scale = scale_of(threshold);
    if (!bias) width = LANES;
    dropping(
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

// What a slope becomes on its way back through `dropped_relu`, whose result says what passed. It may be
// written where it is read.
template <typename T>
void passed(const T *gradient, const T *result, T *out, int64_t count, float scale, int threads) {
    parallel_for((count + STREAM - 1) / STREAM, threads, [&](int64_t block) {
        int64_t i = block * STREAM;
        const int64_t end = std::min(count, i + STREAM);
        for (; i + LANES <= end; i += LANES) {
            const Floats slope = multiply(load(gradient + i), broadcast(scale));
            store(out + i, zero_unless_positive(load(result + i), slope));
        }
        for (; i < end; i++)
            out[i] = from_float<T>(to_float(result[i]) > 0 ? to_float(gradient[i]) * scale : 0.0f);
    });
}

}  // namespace

extern "C" {

void train_dropped(int32_t is_bfloat16, const void *x, void *out, int64_t count, int32_t threshold,
                   int64_t seed, int32_t threads) {
    DISPATCH_TYPE(is_bfloat16, dropped(static_cast<const T *>(x), static_cast<T *>(out), count,
                                  threshold, seed, threads))
}

void train_dropped_sum(int32_t is_bfloat16, const void *residual, const void *x, void *out, int64_t count,
                       int32_t threshold, int64_t seed, int32_t threads) {
    DISPATCH_TYPE(is_bfloat16, dropped_sum(static_cast<const T *>(residual), static_cast<const T *>(x),
                                      static_cast<T *>(out), count, threshold, seed, threads))
}

void train_dropped_relu(int32_t is_bfloat16, const void *x, const float *bias, int32_t width, void *out,
                        int64_t count, int32_t threshold, int64_t seed, int32_t threads) {
    DISPATCH_TYPE(is_bfloat16, dropped_relu(static_cast<const T *>(x), bias, width, static_cast<T *>(out),
                                       count, threshold, seed, threads))
}

void train_passed(int32_t is_bfloat16, const void *gradient, const void *result, void *out, int64_t count,
                  float scale, int32_t threads) {
    DISPATCH_TYPE(is_bfloat16, passed(static_cast<const T *>(gradient), static_cast<const T *>(result),
                                 static_cast<T *>(out), count, scale, threads))
}

}  // extern "C"
