// What searches need of the logits of a row, read part by part.
//
// Dimensions: K extensions of a row, V columns of logits.

#pragma once

#include "log_sums.h"

namespace {

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
    int end_column = 0;
    float end = -INFINITY;  // its logit

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

    // Takes other logits in place of what was read: those that may be the largest, equal ones in
    // their order; the end's; and their log-sum-exp.
    void replace(const std::vector<Extension> &candidates, float end_logit, float log_sum_exp) {
        end = end_logit;
        sum = LogSumExp::of(log_sum_exp);
        extensions.clear();
        for (const Extension &each : candidates)
            if (each.column > end_column && is_among_largest(each.logit)) insert(each);
    }

    float log_sum_exp() const { return sum.value(); }

    float logit_of(int64_t column) const {
        for (const Extension &each : extensions)
            if (each.column == column) return each.logit;
        return end;
    }

  private:
    int kept = 0;
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
