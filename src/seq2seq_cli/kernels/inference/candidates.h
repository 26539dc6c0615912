// The best extensions of hypotheses, without sorting a vocabulary for each.

#pragma once

#include "row_scan.h"

namespace {

// The `count` largest sums of a logit and the offset of its row, largest first; equal ones in the
// order of rows and columns. If there are fewer, the other sums are -inf.
struct Best {
    int count;
    float *sums;
    int64_t *rows, *columns;

    void clear() const {
        std::fill_n(sums, count, -INFINITY);
        std::fill_n(rows, count, 0);
        std::fill_n(columns, count, 0);
    }

    void offer(float sum, int row, int column) const {
        if (!(sum > sums[count - 1])) return;
        int j = count - 1;
        for (; j > 0 && sum > sums[j - 1]; j--) {
            sums[j] = sums[j - 1];
            rows[j] = rows[j - 1];
            columns[j] = columns[j - 1];
        }
        sums[j] = sum;
        rows[j] = row;
        columns[j] = column;
    }

    void offer_all(const float *logits, int size, float offset, int row) const {
        constexpr int GROUP = 64;
        if (!(offset > -INFINITY)) return;
        for (int start = 0; start < size; start += GROUP) {
            const int end = std::min(size, start + GROUP);
            if (!(reduce_max(logits + start, end - start) + offset > sums[count - 1])) continue;
            for (int i = start; i < end; i++) offer(logits[i] + offset, row, i);
        }
    }
};

}  // namespace
