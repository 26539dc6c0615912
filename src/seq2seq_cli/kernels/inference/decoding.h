// Decoders that read one token of each row at a time, the input of such a step, and attention to
// the source.
//
// Dimensions: N rows of hypotheses, D width, H heads, T target tokens read before.

#pragma once

#include "layers.h"

namespace seq2seq {

struct Decoder {
    DecoderSizes sizes;

    explicit Decoder(DecoderSizes sizes) : sizes(sizes) {}
    virtual ~Decoder() = default;

    // Reads a token of each row -> hidden states (N, D).
    virtual void step(const StepInput &input, float *hidden) const = 0;
};

}  // namespace seq2seq

namespace {

// Writes the rows in which the cache holds each row's tokens, including the one that is read now.
inline void write_paths(const StepInput &input, int max_cached_tokens) {
    const int before = input.past_length, after = std::min(before + 1, max_cached_tokens);
    if (!after) return;
    for (int r = 0; r < input.rows; r++) {
        const int32_t *path = input.paths + static_cast<size_t>(r) * before;
        int32_t *path_after = input.paths_after + static_cast<size_t>(r) * after;
        std::copy(path + before + 1 - after, path + before, path_after);
        path_after[after - 1] = r;
    }
}

// Attention of queries (N, D) to the source tokens of their sentences -> out (N, D). Keys and values
// are those of the memory's layer `layer`; weights go to the layer `attention_layer` of
// `input.attention`.
template <typename Cached>
void attend_to_sources(const StepInput &input, int layer, const float *queries, int heads,
                       int head_width, float scale, float *out, int attention_layer) {
    const size_t width = static_cast<size_t>(heads) * head_width, token = 2 * width;
    const size_t head_stride = input.rows * static_cast<size_t>(input.attention_stride);
    float *attention = input.attention;
    if (attention) attention += attention_layer * heads * head_stride;
    for (int r = 0; r < input.rows;) {
        const int sentence = input.sentences[r / input.rows_per_sentence];
        const int length = input.lengths[sentence];
        auto tokens = reinterpret_cast<const Cached **>(workspace.tokens.reserve(length));
        float *weights = workspace.weights.reserve(length + LANES);
        const Cached *first =
            static_cast<const Cached *>(input.memory[layer]) + input.starts[sentence] * token;
        for (int s = 0; s < length; s++) tokens[s] = first + s * token;
        for (int end = r + input.rows_per_sentence; r < end; r++, queries += width, out += width)
            attend(queries, tokens, length, heads, head_width, scale, weights, out,
                   attention ? attention + r * input.attention_stride : nullptr, head_stride);
    }
}

}  // namespace
