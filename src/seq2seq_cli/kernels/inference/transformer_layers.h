// The sublayers that the Transformer's encoder and decoder share (Vaswani 2017).
//
// Dimensions: N rows of hypotheses, D width, H heads, S source tokens, T target tokens read before.

#pragma once

#include "layers.h"

namespace {

struct FeedForward {
    const Linear *inner, *outer;
    Norm norm;
};

// The sublayers of encoder and decoder.
struct Sublayers {
    TransformerSettings settings;

    // Width of the queries, keys and values of all heads together.
    int attention_width() const { return settings.heads * settings.head_width; }

    float scale() const { return 1 / std::sqrt(static_cast<float>(settings.head_width)); }

    Norm norm_of(const float *weight, const float *bias) const {
        return {weight, bias, settings.norm_epsilon};
    }

    // Width of the buffer for a row between two products.
    int widest() const {
        const int inner = settings.feed_forward * (is_gated(settings.activation) ? 2 : 1);
        return std::max({2 * settings.width, 3 * attention_width(), inner});
    }

    // The input of a sublayer: the output of its norm, or with norms after sublayers x itself.
    const float *sublayer_input(const Norm &norm, const float *x, int rows) const {
        if (!settings.pre_norm) return x;
        float *normed = workspace.normed.reserve(static_cast<size_t>(rows) * settings.width);
        normalise(norm, x, rows, settings.width, normed);
        return normed;
    }

    // Scales the residual x, to which the output of a sublayer is added next.
    void scale_residual(float *x, int rows) const {
        if (settings.residual == 1.0f) return;
        for (size_t i = 0; i < static_cast<size_t>(rows) * settings.width; i++)
            x[i] *= settings.residual;
    }

    // Normalises the sum x of residual and output, if norms come after sublayers.
    void norm_after(const Norm &norm, float *x, int rows) const {
        if (!settings.pre_norm) normalise(norm, x, rows, settings.width, x);
    }

    // Adds the sublayer's output, a linear layer of `result`, to the residual x.
    void add_residual(const Norm &norm, const Linear &output, const float *result, float *x,
                      int rows) const {
        scale_residual(x, rows);
        apply(output, result, rows, x, Epilogue::add);
        norm_after(norm, x, rows);
    }

    void feed_forward(const FeedForward &layer, float *x, int rows) const {
        float *wide = workspace.wide.reserve(static_cast<size_t>(rows) * widest());
        apply(*layer.inner, sublayer_input(layer.norm, x, rows), rows, wide,
              settings.activation == RELU ? Epilogue::relu : Epilogue::replace);
        activate(static_cast<Activation>(settings.activation), wide, rows, settings.feed_forward);
        add_residual(layer.norm, *layer.outer, wide, x, rows);
    }

    // Applies rotary positions to the query and the key of a token, unless `rotation` is null.
    void rotate_query_key(float *query_key, const float *rotation) const {
        if (!rotation) return;
        const float *sines = rotation + settings.head_width / 2;
        rotate(query_key, settings.heads, settings.head_width, rotation, sines);
        rotate(query_key + attention_width(), settings.heads, settings.head_width, rotation, sines);
    }

    FeedForward feed_forward_of(const LayerWeights &weights) const {
        const int inner = settings.feed_forward;
        return {linear_of_shape(weights.inner, settings.width,
                                is_gated(settings.activation) ? 2 * inner : inner),
                linear_of_shape(weights.outer, inner, settings.width),
                norm_of(weights.feed_forward_weight, weights.feed_forward_bias)};
    }
};

}  // namespace
