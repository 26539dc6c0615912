// Cross-entropy and R-Drop: logits are replaced by the gradient of the loss.
//
// Dimensions: V columns of logits.

#include "step.h"

namespace {

// The exponentials of logits, and sums that make a softmax and a loss of them.
struct Softmax {
    float log_sum_exp;  // of the logits
    float factor;       // exponentials times this are probabilities
    float logit_sum;
};

// Writes e to the power of each logit minus the largest one to `out`.
template <typename T> Softmax exponentials(const T *logits, int columns, float *out) {
    Floats most = broadcast(-INFINITY), all = broadcast(0);
    int i = 0;
    for (; i + LANES <= columns; i += LANES) {
        const Floats x = load(logits + i);
        store(out + i, x);
        most = max(most, x);
        all = add(all, x);
    }
    float largest = reduce_max(most), logit_sum = reduce_add(all);
    for (; i < columns; i++) {
        out[i] = to_float(logits[i]);
        largest = std::max(largest, out[i]);
        logit_sum += out[i];
    }
    Floats total = broadcast(0);
    for (i = 0; i + LANES <= columns; i += LANES) {
        const Floats e = fast_exponential(add(load(out + i), broadcast(-largest)));
        store(out + i, e);
        total = add(total, e);
    }
    float sum = reduce_add(total);
    for (; i < columns; i++) sum += out[i] = std::exp(out[i] - largest);
    return {largest + std::log(sum), 1 / sum, logit_sum};
}

// Replaces logits (rows, V) by the gradient of the loss with label smoothing. losses (2, rows): the
// loss of the gold columns, and the one against a uniform distribution.
template <typename T>
void cross_entropy(T *logits, int rows, int columns, const int64_t *gold, float smoothing,
                   float *losses, int threads) {
    parallel_for(rows, threads, [&](int64_t row) {
        thread_local AlignedBuffer<float> room;
        float *e = room.reserve(columns);
        T *row_logits = logits + row * columns;
        const float gold_logit = to_float(row_logits[gold[row]]);
        const Softmax softmax = exponentials(row_logits, columns, e);
        losses[row] = softmax.log_sum_exp - gold_logit;
        losses[rows + row] = softmax.log_sum_exp - softmax.logit_sum / columns;
        const float uniform_share = smoothing / columns;
        const float gold_grad = e[gold[row]] * softmax.factor - uniform_share + smoothing - 1;
        int i = 0;
        for (; i + LANES <= columns; i += LANES)
            store(row_logits + i,
                  multiply_add(load(e + i), broadcast(softmax.factor), broadcast(-uniform_share)));
        for (; i < columns; i++)
            row_logits[i] = from_float<T>(e[i] * softmax.factor - uniform_share);
        row_logits[gold[row]] = from_float<T>(gold_grad);
    });
}

// Replaces logits (2, rows, V) of two passes by the gradient of the loss of R-Drop (Liang 2021),
// half of the paper's. losses (3, rows): as above, and the divergence of the two passes in both
// directions.
template <typename T>
void r_drop(T *logits, int rows, int columns, const int64_t *gold, float smoothing, float alpha,
            float *losses, int threads) {
    parallel_for(rows, threads, [&](int64_t row) {
        thread_local AlignedBuffer<float> room;
        float *e[2] = {room.reserve(2 * static_cast<size_t>(padded(columns))),
                       room.data + padded(columns)};
        T *row_logits[2];
        Softmax softmax[2];
        float gold_logit = 0;
        for (int pass = 0; pass < 2; pass++) {
            row_logits[pass] = logits + (static_cast<int64_t>(pass) * rows + row) * columns;
            gold_logit += to_float(row_logits[pass][gold[row]]);
            softmax[pass] = exponentials(row_logits[pass], columns, e[pass]);
        }
        const float logit_sum = softmax[0].logit_sum + softmax[1].logit_sum;
        const float log_sum_exp = softmax[0].log_sum_exp + softmax[1].log_sum_exp;
        losses[row] = 0.5f * (log_sum_exp - gold_logit);
        losses[rows + row] = 0.5f * (log_sum_exp - logit_sum / columns);
        // The gradient of p log p/q + q log q/p in the logits of p is p (log p/q - KL(p, q)) + p -
        // q, and that in the logits of q is the same with p and q exchanged.
        const float shift = softmax[1].log_sum_exp - softmax[0].log_sum_exp;
        Floats sums[2] = {broadcast(0), broadcast(0)};
        float tail_sums[2] = {0, 0};
        int i = 0;
        for (; i + LANES <= columns; i += LANES) {
            const Floats gap =
                add(multiply_add(load(row_logits[1] + i), broadcast(-1), load(row_logits[0] + i)),
                    broadcast(shift));
            for (int pass = 0; pass < 2; pass++)
                sums[pass] = multiply_add(gap, load(e[pass] + i), sums[pass]);
        }
        for (; i < columns; i++)
            for (int pass = 0; pass < 2; pass++)
                tail_sums[pass] +=
                    (to_float(row_logits[0][i]) - to_float(row_logits[1][i]) + shift) * e[pass][i];
        const float forward_kl = (reduce_add(sums[0]) + tail_sums[0]) * softmax[0].factor;
        const float backward_kl = -(reduce_add(sums[1]) + tail_sums[1]) * softmax[1].factor;
        losses[2 * rows + row] = forward_kl + backward_kl;
        const float share = 0.25f * alpha, uniform_share = 0.5f * smoothing / columns;
        const float forward_factor = 0.5f + share * (1 - forward_kl),
                    backward_factor = 0.5f + share * (1 - backward_kl);
        float gold_grad[2];
        const auto gradients_of = [&](int column, float &first, float &second) {
            const float p = e[0][column] * softmax[0].factor, q = e[1][column] * softmax[1].factor;
            const float gap =
                to_float(row_logits[0][column]) - to_float(row_logits[1][column]) + shift;
            first = p * (forward_factor + share * gap) - share * q - uniform_share;
            second = q * (backward_factor - share * gap) - share * p - uniform_share;
        };
        gradients_of(static_cast<int>(gold[row]), gold_grad[0], gold_grad[1]);
        for (i = 0; i + LANES <= columns; i += LANES) {
            const Floats p = multiply(load(e[0] + i), broadcast(softmax[0].factor));
            const Floats q = multiply(load(e[1] + i), broadcast(softmax[1].factor));
            const Floats gap =
                add(multiply_add(load(row_logits[1] + i), broadcast(-1), load(row_logits[0] + i)),
                    broadcast(shift));
            const Floats scaled_gap = multiply(broadcast(share), gap),
                         negative_gap = multiply(broadcast(-share), gap);
            const Floats from_q = multiply_add(q, broadcast(-share), broadcast(-uniform_share));
            const Floats from_p = multiply_add(p, broadcast(-share), broadcast(-uniform_share));
            store(row_logits[0] + i,
                  multiply_add(p, add(broadcast(forward_factor), scaled_gap), from_q));
            store(row_logits[1] + i,
                  multiply_add(q, add(broadcast(backward_factor), negative_gap), from_p));
        }
        for (; i < columns; i++) {
            float first, second;
            gradients_of(i, first, second);
            row_logits[0][i] = from_float<T>(first);
            row_logits[1][i] = from_float<T>(second);
        }
        for (int pass = 0; pass < 2; pass++)
            row_logits[pass][gold[row]] = from_float<T>(gold_grad[pass] + 0.5f * (smoothing - 1));
    });
}

}  // namespace

extern "C" {

void train_cross_entropy(int32_t is_bfloat16, void *logits, int32_t rows, int32_t columns,
                         const int64_t *gold, float smoothing, float *losses, int32_t threads) {
    guarded([&] {
        DISPATCH_TYPE(is_bfloat16, cross_entropy(static_cast<T *>(logits), rows, columns, gold,
                                                 smoothing, losses, threads))
    });
}

void train_r_drop(int32_t is_bfloat16, void *logits, int32_t rows, int32_t columns,
                  const int64_t *gold, float smoothing, float alpha, float *losses,
                  int32_t threads) {
    guarded([&] {
        DISPATCH_TYPE(is_bfloat16, r_drop(static_cast<T *>(logits), rows, columns, gold, smoothing,
                                          alpha, losses, threads))
    });
}

}  // extern "C"
