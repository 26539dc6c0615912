// Layers that encoders and decoders share, other than linear ones: norms, activations, attention of
// one query, rotary positions and embeddings.
//
// Every function works in the thread that calls it; several cores are kept busy by several batches
// at a time. Dimensions: N rows, D width, H heads, S source tokens, T target tokens.

#pragma once

#include "boundary.h"
#include "linear.h"

namespace {

// Intermediate results, kept between calls so that memory is not allocated again.
struct Workspace {
    AlignedBuffer<float> states, normed, wide, attended, weights;
    AlignedBuffer<const void *> tokens;
};

thread_local Workspace workspace;

// Copies keys and values to memory that later steps read, as float32 or as float16, whose largest
// number replaces all that are larger; NaN replaces infinite ones, so that none is hidden.
void copy_to_cache(const float *x, size_t count, float *out) { std::copy_n(x, count, out); }

void copy_to_cache(const float *x, size_t count, float16 *out) {
    constexpr float LARGEST = 65504;
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        const Floats own = load(x + i);
        const Floats bounded = max(min(own, broadcast(LARGEST)), broadcast(-LARGEST));
        store(out + i, multiply_add(own, broadcast(0), bounded));
    }
    for (; i < count; i++)
        out[i] = from_float<float16>(std::clamp(x[i], -LARGEST, LARGEST) + x[i] * 0);
}

// ---------------------------------------------------------------------------------------------
// Norms and activations

struct Norm {
    const float *weight = nullptr,
                *bias = nullptr;  // without weight there is no norm; without bias it is RMSNorm
    float epsilon = 1e-5f;        // added to the variance
};

// LayerNorm or RMSNorm: x (rows, width) -> y, which may be x.
void normalise(const Norm &norm, const float *x, int rows, int width, float *y) {
    const int whole = width / LANES * LANES;
    for (int r = 0; r < rows; r++, x += width, y += width) {
        float mean = 0;
        if (norm.bias) {
            Floats total = broadcast(0);
            for (int i = 0; i < whole; i += LANES) total = add(total, load(x + i));
            mean = reduce_add(total);
            for (int i = whole; i < width; i++) mean += x[i];
            mean /= width;
        }
        const Floats negative_mean = broadcast(-mean);
        Floats squares = broadcast(0);
        for (int i = 0; i < whole; i += LANES) {
            const Floats centred = add(load(x + i), negative_mean);
            squares = multiply_add(centred, centred, squares);
        }
        float square = reduce_add(squares);
        for (int i = whole; i < width; i++) square += (x[i] - mean) * (x[i] - mean);
        const float scale = 1 / std::sqrt(square / width + norm.epsilon);
        for (int i = 0; i < whole; i += LANES) {
            const Floats centred = multiply(add(load(x + i), negative_mean), broadcast(scale));
            const Floats shift = norm.bias ? load(norm.bias + i) : broadcast(0);
            store(y + i, multiply_add(centred, load(norm.weight + i), shift));
        }
        for (int i = whole; i < width; i++)
            y[i] = (x[i] - mean) * scale * norm.weight[i] + (norm.bias ? norm.bias[i] : 0);
    }
}

// In the order of ACTIVATIONS in transformer.py
enum Activation { RELU, GELU, GELU_TANH, GELU_SIGMOID, SWISH, SWIGLU, GEGLU };

// Whether the first half of what an activation reads is the gate of the second one.
inline bool is_gated(int activation) { return activation == SWIGLU || activation == GEGLU; }

inline Floats swish(Floats x) {
    const Floats divisor =
        add(broadcast(1), exponential(multiply(max(x, broadcast(-80)), broadcast(-1))));
    return multiply(x, reciprocal(divisor));
}

inline float swish(float x) { return x / (1 + std::exp(-x)); }

// The approximations of GELU are x times the sigmoid of this: (1 + tanh(u)) / 2 is sigmoid(2 u).
inline float gelu_argument(Activation activation, float x) {
    return activation == GELU_SIGMOID ? 1.702f * x : 1.59576912f * x * (1 + 0.044715f * x * x);
}

inline Floats gelu_argument(Activation activation, Floats x) {
    if (activation == GELU_SIGMOID) return multiply(x, broadcast(1.702f));
    const Floats factor = multiply_add(multiply(x, x), broadcast(0.044715f), broadcast(1));
    return multiply(multiply(x, factor), broadcast(1.59576912f));
}

// x (rows, width), or with a gate (rows, 2 x width) -> (rows, width), in place.
void activate(Activation activation, float *x, int rows, int width) {
    if (activation == RELU) return;  // the epilogue of the product before has applied it
    const bool gated = is_gated(activation);
    for (int r = 0; r < rows; r++) {
        const float *in = x + static_cast<size_t>(r) * width * (gated ? 2 : 1);
        float *out = x + static_cast<size_t>(r) * width;
        if (activation == GELU) {
            for (int i = 0; i < width; i++)
                out[i] = 0.5f * in[i] * (1 + std::erf(in[i] * 0.707106781f));
            continue;
        }
        int i = 0;
        if (activation == GELU_TANH || activation == GELU_SIGMOID || activation == GEGLU) {
            for (; i + LANES <= width; i += LANES) {
                const Floats own = load(in + i);
                const Floats made = multiply(own, sigmoid(gelu_argument(activation, own)));
                store(out + i, gated ? multiply(made, load(in + width + i)) : made);
            }
            for (; i < width; i++)
                out[i] = in[i] * sigmoid(gelu_argument(activation, in[i])) *
                         (gated ? in[width + i] : 1);
            continue;
        }
        for (; i + LANES <= width; i += LANES) {
            const Floats swished = swish(load(in + i));
            store(out + i, gated ? multiply(swished, load(in + width + i)) : swished);
        }
        for (; i < width; i++) out[i] = swish(in[i]) * (gated ? in[width + i] : 1);
    }
}

// ---------------------------------------------------------------------------------------------
// Attention of one query to keys and values that are scattered in memory

template <typename Cached> float dot_product(const float *a, const Cached *b, int count) {
    Floats sum = broadcast(0);
    int i = 0;
    for (; i + LANES <= count; i += LANES) sum = multiply_add(load(a + i), load(b + i), sum);
    float result = reduce_add(sum);
    for (; i < count; i++) result += a[i] * to_float(b[i]);
    return result;
}

// Four dot products at a time, since adding up the lanes of a vector takes as long as its products.
template <typename Cached>
void four_dot_products(const float *a, const Cached *const *b, int first, int count, float *out) {
    Floats sums[4] = {broadcast(0), broadcast(0), broadcast(0), broadcast(0)};
    int i = 0;
    for (; i + LANES <= count; i += LANES) {
        const Floats own = load(a + i);
        for (int k = 0; k < 4; k++) sums[k] = multiply_add(own, load(b[k] + first + i), sums[k]);
    }
    reduce_add_four(sums[0], sums[1], sums[2], sums[3], out);
    for (; i < count; i++)
        for (int k = 0; k < 4; k++) out[k] += a[i] * to_float(b[k][first + i]);
}

// Softmax of x times a positive scale, in place. x has room for a multiple of LANES.
void softmax(float *x, int count, float scale) {
    const float largest = reduce_max(x, count);
    const int padded = (count + LANES - 1) / LANES * LANES;
    std::fill(x + count, x + padded, -INFINITY);
    Floats total = broadcast(0);
    for (int i = 0; i < padded; i += LANES) {
        const Floats shifted = add(load(x + i), broadcast(-largest));
        const Floats e = exponential(multiply(shifted, broadcast(scale)));
        store(x + i, e);
        total = add(total, e);
    }
    const Floats share = broadcast(1 / reduce_add(total));
    for (int i = 0; i < padded; i += LANES) store(x + i, multiply(load(x + i), share));
}

// Weighted sum of C vectors of each token, from the index `first` on. C is more than one because
// each sum waits for its last product.
template <int C, typename Cached>
void weighted_sum(const float *weights, const Cached *const *tokens, int count, int first,
                  float *out) {
    Floats sums[C];
    for (int c = 0; c < C; c++) sums[c] = broadcast(0);
    for (int s = 0; s < count; s++) {
        const Floats weight = broadcast(weights[s]);
        const Cached *token = tokens[s] + first;
        for (int c = 0; c < C; c++)
            sums[c] = multiply_add(weight, load(token + c * LANES), sums[c]);
    }
    for (int c = 0; c < C; c++) store(out + c * LANES, sums[c]);
}

// What is added to the scores of a query before they are scaled: (heads, tokens), with a stride
// from head to head; or null.
struct Biases {
    const float *values = nullptr;
    int64_t stride = 0;
};

// Attention of one query (D,) -> out (D,). Each token has the D numbers of its key, all heads, then
// those of its value. `weights` has room for `count` numbers and a vector more. `attention`, unless
// null, is where the weights of the first head are written; those of each next one are
// `head_stride` further on.
template <typename Cached>
void attend(const float *query, const Cached *const *tokens, int count, int heads, int head_width,
            float scale, float *weights, float *out, float *attention = nullptr,
            size_t head_stride = 0, Biases biases = {}) {
    const int width = heads * head_width;
    for (int h = 0; h < heads; h++) {
        const int first = h * head_width;
        int s = 0;
        for (; s + 4 <= count; s += 4)
            four_dot_products(query + first, tokens + s, first, head_width, weights + s);
        for (; s < count; s++)
            weights[s] = dot_product(query + first, tokens[s] + first, head_width);
        if (biases.values)
            for (s = 0; s < count; s++) weights[s] += biases.values[h * biases.stride + s];
        softmax(weights, count, scale);
        if (attention) std::copy_n(weights, count, attention + h * head_stride);
        int i = 0;
        for (; i + 4 * LANES <= head_width; i += 4 * LANES)
            weighted_sum<4>(weights, tokens, count, width + first + i, out + first + i);
        for (; i + LANES <= head_width; i += LANES)
            weighted_sum<1>(weights, tokens, count, width + first + i, out + first + i);
        for (; i < head_width; i++) {
            float sum = 0;
            for (s = 0; s < count; s++) sum += weights[s] * to_float(tokens[s][width + first + i]);
            out[first + i] = sum;
        }
    }
}

// Rotary positions (Su 2021): rotates the pairs of dimensions i and i + half of each head by their
// angles.
void rotate(float *x, int heads, int head_width, const float *cosines, const float *sines) {
    const int half = head_width / 2;
    for (int h = 0; h < heads; h++, x += head_width)
        for (int i = 0; i < half; i++) {
            const float first = x[i], second = x[half + i];
            x[i] = first * cosines[i] - second * sines[i];
            x[half + i] = first * sines[i] + second * cosines[i];
        }
}

// ---------------------------------------------------------------------------------------------
// Source tokens

template <typename T>
void scale_row(const void *embedding, int64_t token, float scale, size_t width, float *x) {
    const T *row = static_cast<const T *>(embedding) + static_cast<size_t>(token) * width;
    for (size_t i = 0; i < width; i++) x[i] = to_float(row[i]) * scale;
}

// The embedding of a token that is read, times `scale`, plus that of its position unless null -> x
// (width,). `input` is a SourceTokens or a StepInput.
template <typename Input>
void embed(const Input &input, int64_t token, float scale, const float *position, size_t width,
           float *x) {
    if (input.embedding_type == FLOAT16)
        scale_row<float16>(input.embedding, token, scale, width, x);
    else if (input.embedding_type == BFLOAT16)
        scale_row<bfloat16>(input.embedding, token, scale, width, x);
    else
        scale_row<float>(input.embedding, token, scale, width, x);
    if (position)
        for (size_t i = 0; i < width; i++) x[i] += position[i];
}

// Calls read(first, end, start, rows) for segments of whole sentences that are small enough for
// caches: the sentences from `first` to before `end`, which are `rows` tokens from index `start`
// on.
template <int TOKENS = 256, typename Read>
void for_segments(const SourceTokens &source, const Read &read) {
    size_t start = 0;
    for (int first = 0; first < source.sentences;) {
        int end = first, rows = 0;
        while (end < source.sentences && (!rows || rows + source.lengths[end] <= TOKENS))
            rows += source.lengths[end++];
        read(first, end, start, rows);
        start += rows;
        first = end;
    }
}

}  // namespace
