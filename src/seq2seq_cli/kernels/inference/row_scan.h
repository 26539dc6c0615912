// What searches need of the logits of a row, read part by part.
//
// Dimensions: K extensions of a row, V columns of logits.

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

// Reads the logits of a row part by part, and keeps their log-sum-exp, one of them, and the K
// largest of the columns beyond that one.
class RowScan {
  public:
    struct Extension {
        int column;
        float logit;
    };

    // The largest, largest first; equal ones in the order of columns. None is -inf.
    std::vector<Extension> extensions;
    float end = -INFINITY;  // the logit of `end_column`

    void begin(int count, int end_column_) {
        kept = count;
        end_column = end_column_;
        end = -INFINITY;
        sum = LogSumExp();
        extensions.clear();
    }

    // Reads the logits of the columns from `first` on.
    void read(const float *logits, int first, int count) {
        if (first <= end_column && end_column < first + count) end = logits[end_column - first];
        sum.add_part(logits, count, [&](int i, int size, float largest) {
            if (!is_among_largest(largest)) return;
            for (int j = std::max(i, end_column + 1 - first); j < i + size; j++)
                if (is_among_largest(logits[j])) insert({first + j, logits[j]});
        });
    }

    float log_sum_exp() const { return sum.value(); }

    float logit_of(int64_t column) const {
        for (const Extension &each : extensions)
            if (each.column == column) return each.logit;
        return end;
    }

  private:
    int kept = 0, end_column = 0;
    LogSumExp sum;

    bool is_among_largest(float logit) const {
        if (static_cast<int>(extensions.size()) < kept) return logit > -INFINITY;
        return logit > extensions.back().logit;
    }

    void insert(Extension extension) {
        if (static_cast<int>(extensions.size()) == kept) extensions.pop_back();
        const auto more = [](const Extension &a, const Extension &b) { return a.logit > b.logit; };
        extensions.insert(
            std::upper_bound(extensions.begin(), extensions.end(), extension, more), extension);
    }
};

}  // namespace
