// Norms with their gradients, and sums of columns.
//
// Dimensions: N rows.

#include "step.h"

namespace {

constexpr int NORM_ROWS = 64;  // worked on at a time

// LayerNorm, or without a bias RMSNorm, of rows (N, width). Statistics (N, 2): mean, 1 / deviation.
template <typename T>
void norm(const T *x, const float *weight, const float *bias, float epsilon, T *out,
          float *statistics, int64_t rows, int width, int threads) {
    parallel_for((rows + NORM_ROWS - 1) / NORM_ROWS, threads, [&](int64_t block) {
        thread_local AlignedBuffer<float> room;
        const int wide = padded(width);
        float *own = room.reserve(wide);
        const int64_t end = std::min(rows, (block + 1) * NORM_ROWS);
        for (int64_t row = block * NORM_ROWS; row < end; row++) {
            load_row(x + row * width, width, wide, own);
            float mean = 0;
            if (bias) {
                Floats sum = broadcast(0);
                for (int i = 0; i < wide; i += LANES) sum = add(sum, load(own + i));
                mean = reduce_add(sum) / width;
                for (int i = 0; i < wide; i += LANES) store(own + i, add(load(own + i), broadcast(-mean)));
                std::fill(own + width, own + wide, 0.0f);
            }
            Floats squares = broadcast(0);
            for (int i = 0; i < wide; i += LANES) {
                const Floats each = load(own + i);
                squares = multiply_add(each, each, squares);
            }
            const float inverse = 1 / std::sqrt(reduce_add(squares) / width + epsilon);
            statistics[2 * row] = mean;
            statistics[2 * row + 1] = inverse;
            T *result = out + row * width;
            int i = 0;
            for (; i + LANES <= width; i += LANES) {
                const Floats scaled = multiply(multiply(load(own + i), broadcast(inverse)), load(weight + i));
                store(result + i, bias ? add(scaled, load(bias + i)) : scaled);
            }
            for (; i < width; i++)
                result[i] = from_float<T>(own[i] * inverse * weight[i] + (bias ? bias[i] : 0.0f));
        }
    });
}

// Gradients of `norm`: of x (N, width), and of weight and bias as sums of each block of NORM_ROWS
// rows, (blocks, 2, width).
template <typename T>
void norm_backward(const T *gradient, const T *x, const float *weight, const float *statistics,
                   bool centred, T *out, float *sums, int64_t rows, int width, int threads) {
    parallel_for((rows + NORM_ROWS - 1) / NORM_ROWS, threads, [&](int64_t block) {
        thread_local AlignedBuffer<float> room;
        const int wide = padded(width);
        float *normed = room.reserve(5 * static_cast<size_t>(wide)), *slope = normed + wide;
        float *weights = slope + wide, *of_weight = weights + wide, *of_bias = of_weight + wide;
        load_row(weight, width, wide, weights);
        std::fill_n(of_weight, 2 * wide, 0.0f);
        const int64_t end = std::min(rows, (block + 1) * NORM_ROWS);
        for (int64_t row = block * NORM_ROWS; row < end; row++) {
            load_row(x + row * width, width, wide, normed);
            load_row(gradient + row * width, width, wide, slope);
            const Floats mean = broadcast(-statistics[2 * row]), inverse = broadcast(statistics[2 * row + 1]);
            Floats all = broadcast(0), along = broadcast(0);
            for (int i = 0; i < wide; i += LANES) {
                const Floats z = multiply(add(load(normed + i), mean), inverse);
                const Floats g = load(slope + i);
                store(of_weight + i, multiply_add(g, z, load(of_weight + i)));
                store(of_bias + i, add(g, load(of_bias + i)));
                const Floats weighted = multiply(g, load(weights + i));  // 0 beyond the width
                store(normed + i, z);
                store(slope + i, weighted);
                all = add(all, weighted);
                along = multiply_add(weighted, z, along);
            }
            const Floats mean_slope = broadcast(centred ? -reduce_add(all) / width : 0.0f);
            const Floats mean_along = broadcast(-reduce_add(along) / width);
            for (int i = 0; i < wide; i += LANES) {
                const Floats less = multiply_add(load(normed + i), mean_along, load(slope + i));
                store(slope + i, multiply(add(less, mean_slope), inverse));
            }
            store_row(slope, width, out + row * width);
        }
        std::copy_n(of_weight, width, sums + block * 2 * width);
        std::copy_n(of_bias, width, sums + (block * 2 + 1) * width);
    });
}

// Sums of the columns of each block of NORM_ROWS rows, (blocks, width), of x (N, width).
template <typename T>
void column_sums(const T *x, float *sums, int64_t rows, int width, int threads) {
    parallel_for((rows + NORM_ROWS - 1) / NORM_ROWS, threads, [&](int64_t block) {
        const int64_t end = std::min(rows, (block + 1) * NORM_ROWS);
        float *own = sums + block * width;
        std::fill_n(own, width, 0.0f);
        for (int64_t row = block * NORM_ROWS; row < end; row++) {
            const T *from = x + row * width;
            int i = 0;
            for (; i + LANES <= width; i += LANES) store(own + i, add(load(own + i), load(from + i)));
            for (; i < width; i++) own[i] += to_float(from[i]);
        }
    });
}

}  // namespace

extern "C" {

void train_norm(int32_t is_bfloat16, const void *x, const float *weight, const float *bias, float epsilon,
                void *out, float *statistics, int64_t rows, int32_t width, int32_t threads) {
    DISPATCH_TYPE(is_bfloat16, norm(static_cast<const T *>(x), weight, bias, epsilon,
                               static_cast<T *>(out), statistics, rows, width, threads))
}

void train_norm_backward(int32_t is_bfloat16, const void *gradient, const void *x, const float *weight,
                         const float *statistics, int32_t centred, void *out, float *sums,
                         int64_t rows, int32_t width, int32_t threads) {
    DISPATCH_TYPE(is_bfloat16, norm_backward(static_cast<const T *>(gradient), static_cast<const T *>(x),
                                        weight, statistics, centred != 0, static_cast<T *>(out),
                                        sums, rows, width, threads))
}

void train_column_sums(int32_t is_bfloat16, const void *x, float *sums, int64_t rows, int32_t width,
                       int32_t threads) {
    DISPATCH_TYPE(is_bfloat16, column_sums(static_cast<const T *>(x), sums, rows, width, threads))
}

}  // extern "C"
