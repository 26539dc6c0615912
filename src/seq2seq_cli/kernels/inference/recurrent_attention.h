// Attention of an RNN's decoder to the source: score functions, and local attention.
//
// The memory of a sentence is a value for each token, (tokens of all sentences, U), and a key of
// the same shape where scores compare queries with something else than the values.
//
// Dimensions: N rows of hypotheses, U units, H heads, S source tokens.

#pragma once

#include "cells.h"
#include "decoding.h"

namespace {

// In the order of SCORES in recurrent.py.
enum Score { ADDITIVE, DOT, LOCATION_BASE, CONTENT_BASE, MULTI_HEAD };

// Whether the memory has keys that are not its values.
inline bool has_keys(const RecurrentAttention &settings) {
    return settings.key || settings.score == CONTENT_BASE;
}

inline int heads_of(const RecurrentAttention &settings) {
    return settings.score == MULTI_HEAD ? settings.heads : 1;
}

// Throws if a layer does not have the shape that the units ask for.
inline void check_shapes(const RecurrentAttention &settings, int units) {
    const void *projection = settings.score == LOCATION_BASE ? nullptr : settings.query;
    for (const void *layer :
         {projection, settings.key, settings.value, settings.output, settings.centre})
        if (layer) linear_of_shape(layer, units, units);
    const bool is_location = settings.score == LOCATION_BASE;
    const bool is_weighted = settings.score == ADDITIVE || settings.score == CONTENT_BASE;
    if ((is_location && (!settings.query || linear(settings.query)->inputs != units)) ||
        is_weighted != (settings.score_weight != nullptr) ||
        !settings.centre != !settings.centre_weight || units % heads_of(settings))
        throw std::invalid_argument("the weights of attention do not fit the settings");
}

// Divides x (rows, width) by the length of each row -> y, which may be x.
inline void scale_to_length_one(const float *x, size_t rows, size_t width, float *y) {
    for (size_t r = 0; r < rows; r++, x += width, y += width) {
        const float length = std::sqrt(dot_product(x, x, static_cast<int>(width)));
        const float factor = 1 / std::max(1e-12f, length);  // NaN passes: it is in x too
        for (size_t i = 0; i < width; i++) y[i] = x[i] * factor;
    }
}

// What the encoder writes for attention.
struct AttentionMemory {
    RecurrentAttention settings;
    size_t units;
    bool float16_numbers;

    AttentionMemory(const RecurrentAttention &attention, const RecurrentSettings &settings)
        : settings(attention), units(settings.units),
          float16_numbers(settings.float16_keys_values != 0) {
        check_shapes(attention, settings.units);
    }

    void store(const float *x, size_t count, size_t index, void *out) const {
        if (float16_numbers)
            copy_to_cache(x, count, static_cast<float16 *>(out) + index);
        else
            copy_to_cache(x, count, static_cast<float *>(out) + index);
    }

    // Encoder outputs x (rows, U) -> the rows of the memory from `first` on: values, then keys.
    void write(const float *x, size_t rows, size_t first, void *const *memory) const {
        const auto write_layer = [&](const void *layer, void *out) {
            if (!layer) return store(x, rows * units, first * units, out);
            float *y = workspace.wide.reserve(rows * units);
            apply(*linear(layer), x, static_cast<int>(rows), y);
            store(y, rows * units, first * units, out);
        };
        write_layer(settings.value, memory[0]);
        if (!has_keys(settings)) return;
        if (settings.score != CONTENT_BASE) return write_layer(settings.key, memory[1]);
        float *normed = workspace.wide.reserve(rows * units);
        scale_to_length_one(x, rows, units, normed);
        store(normed, rows * units, first * units, memory[1]);
    }
};

// sum of weight x tanh(query + key)
template <typename Cached>
float additive_score(const float *query, const Cached *key, const float *weight, int units) {
    Floats sum = broadcast(0);
    int i = 0;
    for (; i + LANES <= units; i += LANES) {
        const Floats joined = add(load(query + i), load(key + i));
        sum = multiply_add(load(weight + i), hyperbolic_tangent(joined), sum);
    }
    float result = reduce_add(sum);
    for (; i < units; i++) result += weight[i] * hyperbolic_tangent(query[i] + to_float(key[i]));
    return result;
}

// Source positions that a query sees, from `first` to before `end`, and the centre of its window.
struct Window {
    int first, end;
    float centre;
};

// The window of `reach` positions on each side of a centre, in a sentence that contains it. If the
// centre is NaN it is the whole sentence, so that the weights are NaN too.
inline Window window_around(float centre, int reach, int length) {
    const auto sees = [&](int s) { return !(std::fabs(s - centre) > static_cast<float>(reach)); };
    int first = 0, end = length;
    while (first < end && !sees(first)) first++;
    while (end > first && !sees(end - 1)) end--;
    return {first, end, centre};
}

struct QueryBuffers {
    AlignedBuffer<float> queries, centres, contexts;
};

thread_local QueryBuffers query_buffers;

// Attention of the decoder.
struct RecurrentSourceAttention {
    RecurrentAttention settings;
    int units;

    RecurrentSourceAttention(const RecurrentAttention &settings, int units)
        : settings(settings), units(units) {
        check_shapes(settings, units);
    }

    // Decoder outputs x (N, U) -> what is compared with keys, (N, any); location scores themselves.
    const float *queries(const float *x, size_t rows) const {
        if (!settings.query && settings.score != CONTENT_BASE) return x;
        const size_t columns = query_width();
        float *out = query_buffers.queries.reserve(rows * columns);
        if (settings.query)
            apply(*linear(settings.query), x, static_cast<int>(rows), out);
        else
            scale_to_length_one(x, rows, units, out);
        return out;
    }

    size_t query_width() const {
        return settings.query ? linear(settings.query)->outputs : units;
    }

    // The share of the sentence at which each query looks, (N,); null if it does not predict that.
    const float *centres(const float *x, size_t rows) const {
        if (!settings.centre) return nullptr;
        float *inner = query_buffers.centres.reserve(rows * (units + 1));
        float *shares = inner + rows * units;
        apply(*linear(settings.centre), x, static_cast<int>(rows), inner);
        apply_tanh(inner, rows, units);
        for (size_t r = 0; r < rows; r++)
            shares[r] = sigmoid(dot_product(inner + r * units, settings.centre_weight, units));
        return shares;
    }

    Window window(const float *share, int position, int length) const {
        if (!settings.window) return {0, length, 0};
        const float last = static_cast<float>(length) - 1;
        const float centre = share ? last * *share : std::min(static_cast<float>(position), last);
        return window_around(centre, settings.window, length);
    }

    // The factor of scores in the softmax. x is the decoder's output (U,).
    float scale(const float *x) const {
        if (settings.score == ADDITIVE || settings.score == LOCATION_BASE) return 1;
        if (settings.score != CONTENT_BASE) return settings.scale;
        const float strength = dot_product(x, settings.score_weight, units) + settings.strength;
        return 8 + (strength > 20 ? strength : std::log1p(std::exp(strength)));
    }

    // Scores of the tokens whose keys are given, by a head -> weights (count,).
    template <typename Cached>
    void scores(const float *query, const Cached *const *keys, int first, int count, int head,
                float *weights) const {
        const int head_width = units / heads_of(settings), begin = head * head_width;
        int s = 0;
        if (settings.score == LOCATION_BASE) {
            const int known = std::clamp(static_cast<int>(query_width()) - first, 0, count);
            std::copy_n(query + first, known, weights);
            std::fill(weights + known, weights + count, -INFINITY);
        } else if (settings.score == ADDITIVE) {
            for (; s < count; s++)
                weights[s] = additive_score(query, keys[s], settings.score_weight, units);
        } else {
            for (; s + 4 <= count; s += 4)
                four_dot_products(query + begin, keys + s, begin, head_width, weights + s);
            for (; s < count; s++)
                weights[s] = dot_product(query + begin, keys[s] + begin, head_width);
        }
    }

    // Multiplies weights by a Gaussian around the centre, of which half the window is the standard
    // deviation.
    void apply_gaussian(const Window &window, float *weights) const {
        for (int s = window.first; s < window.end; s++) {
            const float distance = (s - window.centre) / settings.window;
            weights[s - window.first] *= std::exp(-2.0f * distance * distance);
        }
    }

    // Attention of one query to the tokens of its window -> out (U,). `attention`, unless null, is
    // where the weights of the first head are written; those of the next are `head_stride` further.
    template <typename Cached>
    void attend(const float *query, const Cached *const *keys, const Cached *const *values,
                const Window &window, float scale, float *weights, float *out, float *attention,
                size_t head_stride) const {
        const int count = window.end - window.first, head_width = units / heads_of(settings);
        for (int head = 0; head < heads_of(settings); head++) {
            scores(query, keys, window.first, count, head, weights);
            softmax(weights, count, scale);
            if (settings.centre) apply_gaussian(window, weights);
            if (attention) std::copy_n(weights, count, attention + head * head_stride);
            const int first = head * head_width, end = first + head_width;
            int i = first;
            for (; i + 4 * LANES <= end; i += 4 * LANES)
                weighted_sum<4>(weights, values, count, i, out + i);
            for (; i + LANES <= end; i += LANES)
                weighted_sum<1>(weights, values, count, i, out + i);
            for (; i < end; i++) {
                out[i] = 0;
                for (int s = 0; s < count; s++) out[i] += weights[s] * to_float(values[s][i]);
            }
        }
    }

    // Attention of decoder outputs x (N, U) to the tokens of their sentences -> contexts (N, U).
    template <typename Cached>
    void attend(const StepInput &input, const float *x, float *contexts) const {
        const size_t rows = input.rows, columns = query_width();
        const float *query = queries(x, rows), *share = centres(x, rows);
        float *out = settings.output ? query_buffers.contexts.reserve(rows * units) : contexts;
        const size_t stride = input.attention_stride;
        float *attention = input.attention;
        const Cached *all_values = static_cast<const Cached *>(input.memory[0]);
        const Cached *all_keys =
            has_keys(settings) ? static_cast<const Cached *>(input.memory[1]) : all_values;
        for (size_t r = 0; r < rows;) {
            const int sentence = input.sentences[r / input.rows_per_sentence];
            const int length = input.lengths[sentence];
            const size_t start = static_cast<size_t>(input.starts[sentence]) * units;
            auto keys = reinterpret_cast<const Cached **>(workspace.tokens.reserve(2 * length));
            const Cached **values = keys + length;
            float *weights = workspace.weights.reserve(length + LANES);
            for (int s = 0; s < length; s++) {
                keys[s] = all_keys + start + static_cast<size_t>(s) * units;
                values[s] = all_values + start + static_cast<size_t>(s) * units;
            }
            for (const size_t end = r + input.rows_per_sentence; r < end; r++) {
                const Window seen = window(share ? share + r : nullptr, input.tokens_read, length);
                for (int head = 0; attention && head < heads_of(settings); head++)
                    std::fill_n(attention + (head * rows + r) * stride, length, 0.0f);
                attend(query + r * columns, keys + seen.first, values + seen.first, seen,
                       scale(x + r * units), weights, out + r * units,
                       attention ? attention + r * stride + seen.first : nullptr, rows * stride);
            }
        }
        if (settings.output) apply(*linear(settings.output), out, input.rows, contexts);
    }
};

}  // namespace
