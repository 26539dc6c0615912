// LayerNorm and RMSNorm with their gradients, and sums of columns.
//
// Dimensions: N rows.

#include "step.h"

namespace {

constexpr int NORM_ROWS = 64;  // rows in a task of a thread, and in each sum that a task returns

// LayerNorm, or RMSNorm if bias is null, of x (N, width). statistics (N, 2): mean and 1 / standard
// deviation of each row, for `norm_backward`.
template <typename T>
void norm(const T *x, const float *weight, const float *bias, float epsilon, T *out,
          float *statistics, int64_t rows, int width, int threads) {
    parallel_for((rows + NORM_ROWS - 1) / NORM_ROWS, threads, [&](int64_t block) {
        thread_local AlignedBuffer<float> room;
        const int padded_width = padded(width);
        float *values = room.reserve(padded_width);
        const int64_t end = std::min(rows, (block + 1) * NORM_ROWS);
        for (int64_t row = block * NORM_ROWS; row < end; row++) {
            load_row(x + row * width, width, padded_width, values);
            float mean = 0;
            if (bias) {
                Floats sum = broadcast(0);
                for (int i = 0; i < padded_width; i += LANES) sum = add(sum, load(values + i));
                mean = reduce_add(sum) / width;
                for (int i = 0; i < padded_width; i += LANES)
                    store(values + i, add(load(values + i), broadcast(-mean)));
                std::fill(values + width, values + padded_width, 0.0f);
            }
            Floats squares = broadcast(0);
            for (int i = 0; i < padded_width; i += LANES) {
                const Floats value = load(values + i);
                squares = multiply_add(value, value, squares);
            }
            const float inverse = 1 / std::sqrt(reduce_add(squares) / width + epsilon);
            statistics[2 * row] = mean;
            statistics[2 * row + 1] = inverse;
            T *result = out + row * width;
            int i = 0;
            for (; i + LANES <= width; i += LANES) {
                const Floats scaled =
                    multiply(multiply(load(values + i), broadcast(inverse)), load(weight + i));
                store(result + i, bias ? add(scaled, load(bias + i)) : scaled);
            }
            for (; i < width; i++)
                result[i] =
                    from_float<T>(values[i] * inverse * weight[i] + (bias ? bias[i] : 0.0f));
        }
    });
}

// Gradients of `norm`: out (N, width) is that of x, sums (blocks, 2, width) are those of weight and
// bias for each block of NORM_ROWS rows. `centred` is true for LayerNorm.
template <typename T>
void norm_backward(const T *grad_output, const T *x, const float *weight, const float *statistics,
                   bool centred, T *out, float *sums, int64_t rows, int width, int threads) {
    parallel_for((rows + NORM_ROWS - 1) / NORM_ROWS, threads, [&](int64_t block) {
        thread_local AlignedBuffer<float> room;
        const int padded_width = padded(width);
        float *normed = room.reserve(5 * static_cast<size_t>(padded_width)),
              *grad_normed = normed + padded_width;
        float *weights = grad_normed + padded_width, *grad_weight = weights + padded_width,
              *grad_bias = grad_weight + padded_width;
        load_row(weight, width, padded_width, weights);
        std::fill_n(grad_weight, 2 * padded_width, 0.0f);
        const int64_t end = std::min(rows, (block + 1) * NORM_ROWS);
        for (int64_t row = block * NORM_ROWS; row < end; row++) {
            load_row(x + row * width, width, padded_width, normed);
            load_row(grad_output + row * width, width, padded_width, grad_normed);
            const Floats mean = broadcast(-statistics[2 * row]),
                         inverse = broadcast(statistics[2 * row + 1]);
            Floats total = broadcast(0), projection = broadcast(0);
            for (int i = 0; i < padded_width; i += LANES) {
                const Floats z = multiply(add(load(normed + i), mean), inverse);
                const Floats g = load(grad_normed + i);
                store(grad_weight + i, multiply_add(g, z, load(grad_weight + i)));
                store(grad_bias + i, add(g, load(grad_bias + i)));
                const Floats weighted = multiply(g, load(weights + i));  // 0 beyond the width
                store(normed + i, z);
                store(grad_normed + i, weighted);
                total = add(total, weighted);
                projection = multiply_add(weighted, z, projection);
            }
            const Floats mean_grad = broadcast(centred ? -reduce_add(total) / width : 0.0f);
            const Floats mean_projection = broadcast(-reduce_add(projection) / width);
            for (int i = 0; i < padded_width; i += LANES) {
                const Floats orthogonal =
                    multiply_add(load(normed + i), mean_projection, load(grad_normed + i));
                store(grad_normed + i, multiply(add(orthogonal, mean_grad), inverse));
            }
            store_row(grad_normed, width, out + row * width);
        }
        std::copy_n(grad_weight, width, sums + block * 2 * width);
        std::copy_n(grad_bias, width, sums + (block * 2 + 1) * width);
    });
}

// Sums (blocks, width) of the columns of x (N, width), for each block of NORM_ROWS rows.
template <typename T>
void column_sums(const T *x, float *sums, int64_t rows, int width, int threads) {
    parallel_for((rows + NORM_ROWS - 1) / NORM_ROWS, threads, [&](int64_t block) {
        const int64_t end = std::min(rows, (block + 1) * NORM_ROWS);
        float *block_sums = sums + block * width;
        std::fill_n(block_sums, width, 0.0f);
        for (int64_t row = block * NORM_ROWS; row < end; row++) {
            const T *from = x + row * width;
            int i = 0;
            for (; i + LANES <= width; i += LANES)
                store(block_sums + i, add(load(block_sums + i), load(from + i)));
            for (; i < width; i++) block_sums[i] += to_float(from[i]);
        }
    });
}

}  // namespace

extern "C" {

void train_norm(int32_t is_bfloat16, const void *x, const float *weight, const float *bias,
                float epsilon, void *out, float *statistics, int64_t rows, int32_t width,
                int32_t threads) {
    guarded([&] {
        DISPATCH_TYPE(is_bfloat16, norm(static_cast<const T *>(x), weight, bias, epsilon,
                                        static_cast<T *>(out), statistics, rows, width, threads))
    });
}

void train_norm_backward(int32_t is_bfloat16, const void *grad_output, const void *x,
                         const float *weight, const float *statistics, int32_t centred, void *out,
                         float *sums, int64_t rows, int32_t width, int32_t threads) {
    guarded([&] {
        DISPATCH_TYPE(is_bfloat16,
                      norm_backward(static_cast<const T *>(grad_output), static_cast<const T *>(x),
                                    weight, statistics, centred != 0, static_cast<T *>(out), sums,
                                    rows, width, threads))
    });
}

void train_column_sums(int32_t is_bfloat16, const void *x, float *sums, int64_t rows, int32_t width,
                       int32_t threads) {
    guarded([&] {
        DISPATCH_TYPE(is_bfloat16,
                      column_sums(static_cast<const T *>(x), sums, rows, width, threads))
    });
}

}  // extern "C"
