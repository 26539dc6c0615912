// What encoders and decoders have in common beside linear layers: norms, activations, attention of
// one query, and embeddings.
//
// Every function works in the thread that calls it: several batches at a time keep several cores
// busy. Dimensions: N rows, D width, H heads, S source tokens, T target tokens.

#pragma once

#include "linear.h"

namespace {

struct Workspace {
    Aligned<float> states, normed, wide, attended, weights;
    Aligned<const void *> tokens;
};

thread_local Workspace workspace;

// Numbers to be kept, as they are or as float16, whose greatest stands for all that are greater.
void keep(const float *x, size_t count, float *out) { std::copy_n(x, count, out); }

void keep(const float *x, size_t count, Half *out) {
    constexpr float MOST = 65504;
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        store(out + i, greater(lesser(load(x + i), spread(MOST)), spread(-MOST)));
    for (; i < count; i++) out[i] = _cvtss_sh(std::clamp(x[i], -MOST, MOST), NEAREST);
}

// ---------------------------------------------------------------------------------------------
// Norms and activations

struct Norm {
    const float *weight = nullptr, *bias = nullptr;  // no weight: no norm; no bias: RMSNorm
};

constexpr float EPSILON = 1e-5f;

void normalise(const Norm &norm, const float *x, int rows, int width, float *y) {
    const int whole = width / LANES * LANES;
    for (int r = 0; r < rows; r++, x += width, y += width) {
        float mean = 0;
        if (norm.bias) {
            Floats total = spread(0);
            for (int i = 0; i < whole; i += LANES) total = add(total, load(x + i));
            mean = sum_of(total);
            for (int i = whole; i < width; i++) mean += x[i];
            mean /= width;
        }
        const Floats less_mean = spread(-mean);
        Floats squares = spread(0);
        for (int i = 0; i < whole; i += LANES) {
            const Floats centred = add(load(x + i), less_mean);
            squares = multiply_add(centred, centred, squares);
        }
        float square = sum_of(squares);
        for (int i = whole; i < width; i++) square += (x[i] - mean) * (x[i] - mean);
        const float scale = 1 / std::sqrt(square / width + EPSILON);
        for (int i = 0; i < whole; i += LANES) {
            const Floats centred = multiply(add(load(x + i), less_mean), spread(scale));
            const Floats shift = norm.bias ? load(norm.bias + i) : spread(0);
            store(y + i, multiply_add(centred, load(norm.weight + i), shift));
        }
        for (int i = whole; i < width; i++)
            y[i] = (x[i] - mean) * scale * norm.weight[i] + (norm.bias ? norm.bias[i] : 0);
    }
}

enum Activation { RELU, GELU, SWISH, SWIGLU };  // as `native.transformer.ACTIVATIONS` counts them

inline Floats swish(Floats x) {
    const Floats grown = add(spread(1), exponential(multiply(greater(x, spread(-80)), spread(-1))));
    return multiply(x, reciprocal(grown));
}

inline float swish(float x) { return x / (1 + std::exp(-x)); }

// (rows, width), or with SWIGLU (rows, 2 x width) -> (rows, width), in place
void activate(Activation activation, float *x, int rows, int width) {
    if (activation == RELU) return;  // has been done
    const bool gated = activation == SWIGLU;
    for (int r = 0; r < rows; r++) {
        const float *in = x + static_cast<size_t>(r) * width * (gated ? 2 : 1);
        float *out = x + static_cast<size_t>(r) * width;
        if (activation == GELU) {
            for (int i = 0; i < width; i++)
                out[i] = 0.5f * in[i] * (1 + std::erf(in[i] * 0.707106781f));
            continue;
        }
        int i = 0;
        for (; i + LANES <= width; i += LANES) {
            const Floats swished = swish(load(in + i));
            store(out + i, gated ? multiply(swished, load(in + width + i)) : swished);
        }
        for (; i < width; i++) out[i] = swish(in[i]) * (gated ? in[width + i] : 1);
    }
}

// ---------------------------------------------------------------------------------------------
// Attention of one query to tokens that lie anywhere

template <typename Kept> float dot_product(const float *a, const Kept *b, int count) {
    Floats sum = spread(0);
    int i = 0;
    for (; i + LANES <= count; i += LANES) sum = multiply_add(load(a + i), load(b + i), sum);
    float result = sum_of(sum);
    for (; i < count; i++) result += a[i] * number(b[i]);
    return result;
}

// Four at a time, since adding up a vector takes as long as its products.
template <typename Kept>
void four_dot_products(const float *a, const Kept *const *b, int first, int count, float *out) {
    Floats sums[4] = {spread(0), spread(0), spread(0), spread(0)};
    int i = 0;
    for (; i + LANES <= count; i += LANES) {
        const Floats own = load(a + i);
        for (int k = 0; k < 4; k++) sums[k] = multiply_add(own, load(b[k] + first + i), sums[k]);
    }
    four_sums_of(sums[0], sums[1], sums[2], sums[3], out);
    for (; i < count; i++)
        for (int k = 0; k < 4; k++) out[k] += a[i] * number(b[k][first + i]);
}

// Of the numbers times a scale above 0.
void softmax(float *x, int count, float scale) {
    const float greatest = greatest_of(x, count);
    const int padded = (count + LANES - 1) / LANES * LANES;  // there is room
    std::fill(x + count, x + padded, -INFINITY);
    Floats total = spread(0);
    for (int i = 0; i < padded; i += LANES) {
        const Floats less_greatest = add(load(x + i), spread(-greatest));
        const Floats raised = exponential(multiply(less_greatest, spread(scale)));
        store(x + i, raised);
        total = add(total, raised);
    }
    const Floats share = spread(1 / sum_of(total));
    for (int i = 0; i < padded; i += LANES) store(x + i, multiply(load(x + i), share));
}

// The weighted sum of C vectors of each token, from the place `first` on: C sums at a time, since
// each waits for its last product.
template <int C, typename Kept>
void weigh(const float *weights, const Kept *const *tokens, int count, int first, float *out) {
    Floats sums[C];
    for (int c = 0; c < C; c++) sums[c] = spread(0);
    for (int s = 0; s < count; s++) {
        const Floats weight = spread(weights[s]);
        const Kept *token = tokens[s] + first;
        for (int c = 0; c < C; c++)
            sums[c] = multiply_add(weight, load(token + c * LANES), sums[c]);
    }
    for (int c = 0; c < C; c++) store(out + c * LANES, sums[c]);
}

// Each token has the D numbers of its key, then those of its value; heads stand side by side.
// There is room for `count` weights and a vector more.
template <typename Kept>
void attend(const float *query, const Kept *const *tokens, int count, int heads, int head_width,
            float scale, float *weights, float *out) {
    const int width = heads * head_width;
    for (int h = 0; h < heads; h++) {
        const int first = h * head_width;
        int s = 0;
        for (; s + 4 <= count; s += 4)
            four_dot_products(query + first, tokens + s, first, head_width, weights + s);
        for (; s < count; s++)
            weights[s] = dot_product(query + first, tokens[s] + first, head_width);
        softmax(weights, count, scale);
        int i = 0;
        for (; i + 4 * LANES <= head_width; i += 4 * LANES)
            weigh<4>(weights, tokens, count, width + first + i, out + first + i);
        for (; i + LANES <= head_width; i += LANES)
            weigh<1>(weights, tokens, count, width + first + i, out + first + i);
        for (; i < head_width; i++) {
            float sum = 0;
            for (s = 0; s < count; s++) sum += weights[s] * number(tokens[s][width + first + i]);
            out[first + i] = sum;
        }
    }
}

// Turn the pairs of dimensions i and i + half of each head by their angles.
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
// The source

}  // namespace

// Shared with `native/sources.py`, field by field: what an encoder reads, sentences one after the
// other, without padding.
struct SourceTokens {
    int32_t sentences;
    const int64_t *tokens;    // (all,)
    const int32_t *lengths;   // (sentences,)
    const float *embedding;   // (vocabulary, D)
    const float *positions;   // (longest, D), to be added to each; or null
    const float *rotations;   // (longest, 2, D / H / 2): cosines, then sines; or null
    void *const *keys_values; // a decoder layer's (all, 2, D), to be written
};

namespace {

// A token's row of the embedding, times its scale, plus what stands for its place, if anything.
inline void embed(const float *embedding, int64_t token, float scale, const float *position,
                  size_t width, float *x) {
    const float *own = embedding + static_cast<size_t>(token) * width;
    for (size_t i = 0; i < width; i++) x[i] = own[i] * scale;
    if (position)
        for (size_t i = 0; i < width; i++) x[i] += position[i];
}

// Read so many tokens at a time, in whole sentences, that they stay in caches: from the sentence `first`
// to before `end`, `rows` tokens from number `start` on.
template <typename Read> void in_parts(const SourceTokens &source, const Read &read) {
    constexpr int TOKENS = 256;
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
