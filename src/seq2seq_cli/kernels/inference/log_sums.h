// Sums of probabilities by their logarithms.
//
// Dimensions: V columns of logits.

#pragma once

#include <cfloat>

#include "layers.h"

namespace {

// The logarithm of a sum of exponentials, to which logits are added part by part. They are added in
// the order of columns, in groups of the same size whatever the parts, so that the result for a row
// does not depend on the other rows.
class LogSumExp {
  public:
    static constexpr int GROUP = 64;  // parts begin at multiples of it

    // Adds a group of logits, which may be -inf; returns the largest of them.
    float add_group(const float *logits) {
        Floats most = load(logits);
        for (int i = LANES; i < GROUP; i += LANES) most = max(most, load(logits + i));
        const float here = reduce_max(most);
        if (here > largest) {
            total = multiply(total, broadcast(std::exp(finite(largest) - here)));
            largest = here;
        }
        const Floats shift = broadcast(-finite(largest));
        for (int i = 0; i < GROUP; i += LANES)
            total = add(total, exponential(add(load(logits + i), shift)));
        return here;
    }

    // Calls use(first, count, largest) after each group of `count` logits.
    template <typename Use> void add_part(const float *logits, int count, const Use &use) {
        int i = 0;
        for (; i + GROUP <= count; i += GROUP) use(i, GROUP, add_group(logits + i));
        if (i == count) return;
        alignas(64) float rest[GROUP];
        std::fill(std::copy(logits + i, logits + count, rest), rest + GROUP, -INFINITY);
        use(i, count - i, add_group(rest));
    }

    // As if one logit of this value had been added.
    static LogSumExp of(float value) {
        LogSumExp sum;
        sum.largest = value;
        sum.total = broadcast(1.0f / LANES);
        return sum;
    }

    // Not finite if logits are not finite, or none is more than -inf.
    float value() const { return largest + std::log(reduce_add(total)); }

  private:
    float largest = -INFINITY;
    Floats total = broadcast(0);  // of e to the power of logit - largest, in each lane

    static float finite(float x) { return std::max(x, -FLT_MAX); }  // so that -inf - x is no NaN
};

inline float log_sum_exp_of(const float *logits, int columns) {
    LogSumExp sum;
    sum.add_part(logits, columns, [](int, int, float) {});
    return sum.value();
}

// The logarithm of e^a + e^b. Both are finite or -inf.
inline Floats add_log(Floats a, Floats b) {
    const Floats larger = max(a, b), finite = max(larger, broadcast(-1e30f));
    const Floats ratio = exponential(multiply_add(finite, broadcast(-1), min(a, b)));
    // log(1 + r) = 2 artanh(z) with z = r / (2 + r), which is 1/3 at most
    const Floats z = multiply(ratio, reciprocal(add(ratio, broadcast(2))));
    const Floats square = multiply(z, z);
    Floats sum = broadcast(1.0f / 13);
    for (float factor : {1.0f / 11, 1.0f / 9, 1.0f / 7, 1.0f / 5, 1.0f / 3, 1.0f})
        sum = multiply_add(sum, square, broadcast(factor));
    return multiply_add(add(z, z), sum, larger);
}

inline float add_log(float a, float b) {
    const float larger = std::max(b, a), smaller = std::min(b, a);
    return smaller == -INFINITY ? larger : larger + std::log1p(std::exp(smaller - larger));
}

// The same of each number: replaces those of a.
inline void add_log(float *a, const float *b, int count) {
    int i = 0;
    for (; i + LANES <= count; i += LANES) store(a + i, add_log(load(a + i), load(b + i)));
    for (; i < count; i++) a[i] = add_log(a[i], b[i]);
}

}  // namespace
