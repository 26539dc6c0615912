// Cross-entropy, and R-Drop: from logits to slopes, in place.
//
// Dimensions: V columns of logits.

#include "step.h"

namespace {

// e to the power of each number less the greatest, into `out`; returns log-sum-exp, and the sum of
// the numbers through `plain`. After it, out times the returned factor is a softmax.
struct Softmax {
    float normaliser, factor, plain;
};

template <typename T> Softmax exponentials(const T *logits, int columns, float *out) {
    Floats most = broadcast(-INFINITY), all = broadcast(0);
    int i = 0;
    for (; i + LANES <= columns; i += LANES) {
        const Floats x = load(logits + i);
        store(out + i, x);
        most = max(most, x);
        all = add(all, x);
    }
    float greatest = reduce_max(most), plain = reduce_add(all);
    for (; i < columns; i++) {
        out[i] = to_float(logits[i]);
        greatest = std::max(greatest, out[i]);
        plain += out[i];
    }
    Floats total = broadcast(0);
    for (i = 0; i + LANES <= columns; i += LANES) {
        const Floats e = fast_exponential(add(load(out + i), broadcast(-greatest)));
        store(out + i, e);
        total = add(total, e);
    }
    float sum = reduce_add(total);
    for (; i < columns; i++) sum += out[i] = std::exp(out[i] - greatest);
    return {greatest + std::log(sum), 1 / sum, plain};
}

// Logits (rows, V) become the slopes of the smoothed loss; losses (2, rows) are the plain loss and
// the one against a uniform distribution.
template <typename T>
void cross_entropy(T *logits, int rows, int columns, const int64_t *gold, float smoothing,
                   float *losses, int threads) {
    parallel_for(rows, threads, [&](int64_t row) {
        thread_local AlignedBuffer<float> room;
        float *e = room.reserve(columns);
        T *own = logits + row * columns;
        const float right = to_float(own[gold[row]]);
        const Softmax softmax = exponentials(own, columns, e);
        losses[row] = softmax.normaliser - right;
        losses[rows + row] = softmax.normaliser - softmax.plain / columns;
        const float off = smoothing / columns;
        const float at_gold = e[gold[row]] * softmax.factor - off + smoothing - 1;
        int i = 0;
        for (; i + LANES <= columns; i += LANES)
            store(own + i, multiply_add(load(e + i), broadcast(softmax.factor), broadcast(-off)));
        for (; i < columns; i++) own[i] = from_float<T>(e[i] * softmax.factor - off);
        own[gold[row]] = from_float<T>(at_gold);
    });
}

// Two passes of logits (2, rows, V) become the slopes of R-Drop's loss, half of the paper's; losses
// (3, rows) are the plain loss, the one against a uniform distribution, and the divergence.
template <typename T>
void r_drop(T *logits, int rows, int columns, const int64_t *gold, float smoothing, float alpha,
            float *losses, int threads) {
    parallel_for(rows, threads, [&](int64_t row) {
        thread_local AlignedBuffer<float> room;
        float *e[2] = {room.reserve(2 * static_cast<size_t>(padded(columns))),
                       room.data + padded(columns)};
        T *own[2];
        Softmax softmax[2];
        float right = 0;
        for (int pass = 0; pass < 2; pass++) {
            own[pass] = logits + (static_cast<int64_t>(pass) * rows + row) * columns;
            right += to_float(own[pass][gold[row]]);
            softmax[pass] = exponentials(own[pass], columns, e[pass]);
        }
        const float plain = softmax[0].plain + softmax[1].plain;
        const float normaliser = softmax[0].normaliser + softmax[1].normaliser;
        losses[row] = 0.5f * (normaliser - right);
        losses[rows + row] = 0.5f * (normaliser - plain / columns);
        // Of p log p/q + q log q/p, whose slopes in the logits of p are
        // p (log p/q - KL(p, q)) + p - q, and the same of q.
        const float shift = softmax[1].normaliser - softmax[0].normaliser;
        Floats sums[2] = {broadcast(0), broadcast(0)};
        float rest[2] = {0, 0};
        int i = 0;
        for (; i + LANES <= columns; i += LANES) {
            const Floats gap = add(multiply_add(load(own[1] + i), broadcast(-1), load(own[0] + i)),
                                   broadcast(shift));
            for (int pass = 0; pass < 2; pass++)
                sums[pass] = multiply_add(gap, load(e[pass] + i), sums[pass]);
        }
        for (; i < columns; i++)
            for (int pass = 0; pass < 2; pass++)
                rest[pass] += (to_float(own[0][i]) - to_float(own[1][i]) + shift) * e[pass][i];
        const float to = (reduce_add(sums[0]) + rest[0]) * softmax[0].factor;
        const float back = -(reduce_add(sums[1]) + rest[1]) * softmax[1].factor;
        losses[2 * rows + row] = to + back;
        const float share = 0.25f * alpha, off = 0.5f * smoothing / columns;
        const float own_to = 0.5f + share * (1 - to), own_back = 0.5f + share * (1 - back);
        float at_gold[2];
        const auto narrow = [&](int column, float &first, float &second) {
            const float p = e[0][column] * softmax[0].factor, q = e[1][column] * softmax[1].factor;
            const float gap = to_float(own[0][column]) - to_float(own[1][column]) + shift;
            first = p * (own_to + share * gap) - share * q - off;
            second = q * (own_back - share * gap) - share * p - off;
        };
        narrow(static_cast<int>(gold[row]), at_gold[0], at_gold[1]);
        for (i = 0; i + LANES <= columns; i += LANES) {
            const Floats p = multiply(load(e[0] + i), broadcast(softmax[0].factor));
            const Floats q = multiply(load(e[1] + i), broadcast(softmax[1].factor));
            const Floats gap = add(multiply_add(load(own[1] + i), broadcast(-1), load(own[0] + i)),
                                   broadcast(shift));
            const Floats far = multiply(broadcast(share), gap), less = multiply(broadcast(-share), gap);
            const Floats from_q = multiply_add(q, broadcast(-share), broadcast(-off));
            const Floats from_p = multiply_add(p, broadcast(-share), broadcast(-off));
            store(own[0] + i, multiply_add(p, add(broadcast(own_to), far), from_q));
            store(own[1] + i, multiply_add(q, add(broadcast(own_back), less), from_p));
        }
        for (; i < columns; i++) {
            float first, second;
            narrow(i, first, second);
            own[0][i] = from_float<T>(first);
            own[1][i] = from_float<T>(second);
        }
        for (int pass = 0; pass < 2; pass++)
            own[pass][gold[row]] = from_float<T>(at_gold[pass] + 0.5f * (smoothing - 1));
    });
}

}  // namespace

extern "C" {

void train_cross_entropy(int32_t is_bfloat16, void *logits, int32_t rows, int32_t columns,
                         const int64_t *gold, float smoothing, float *losses, int32_t threads) {
    DISPATCH_TYPE(is_bfloat16, cross_entropy(static_cast<T *>(logits), rows, columns, gold, smoothing,
                                        losses, threads))
}

void train_r_drop(int32_t is_bfloat16, void *logits, int32_t rows, int32_t columns, const int64_t *gold,
                  float smoothing, float alpha, float *losses, int32_t threads) {
    DISPATCH_TYPE(is_bfloat16, r_drop(static_cast<T *>(logits), rows, columns, gold, smoothing, alpha,
                                 losses, threads))
}

}  // extern "C"
