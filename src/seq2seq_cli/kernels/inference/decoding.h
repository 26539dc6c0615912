// Decoders that read one token of each row at a time, the input of such a step, and attention to
// the source.
//
// Dimensions: N rows of hypotheses, D width, H heads, T target tokens read before.

#pragma once

#include "layers.h"

// These structures have the same fields in decoding.py.

// The input of one step of a decoder.
struct StepInput {
    int32_t rows;            // N
    int32_t rows_each;       // rows of each sentence, which follow each other
    int32_t read;            // T, the number of earlier tokens in the cache
    const int64_t *tokens;   // (N,), the tokens to read
    const float *embedding;  // (vocabulary, D)
    const float *position;   // (D,), added to embeddings; or null
    const float *rotations;  // (2, D / H / 2): cosines, then sines; or null
    const int32_t *paths;    // (N, T): the row that a row's token had in each earlier step
    int32_t *paths_after;    // written: (N, T + 1), or the last columns of it
    void *const
        *past;  // T + 1 steps of the cache, (layers, rows then, numbers); the last is written
    const int32_t *past_rows;  // (T,), rows of each step
    const void *const
        *sources;  // for each layer, keys and values (source tokens of all sentences, 2, D)
    const int32_t *starts;     // (sentences,), the first source token of each
    const int32_t *lengths;    // (sentences,), source tokens of each
    const int32_t *sentences;  // (N / rows_each,), indices of the sentences that are searched
};

struct DecoderSizes {
    int32_t width;  // of hidden states
    int32_t most;   // tokens, at most, that the cache holds: the last ones
    int64_t kept;   // bytes in the cache for each token of a row
};

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
inline void write_paths(const StepInput &input, int most) {
    const int read = input.read, after = std::min(read + 1, most);
    if (!after) return;
    for (int r = 0; r < input.rows; r++) {
        const int32_t *path = input.paths + static_cast<size_t>(r) * read;
        int32_t *path_after = input.paths_after + static_cast<size_t>(r) * after;
        std::copy(path + read + 1 - after, path + read, path_after);
        path_after[after - 1] = r;
    }
}

// Attention of queries (N, D) to the source tokens of their sentences, in a layer -> out (N, D).
template <typename Cached>
void attend_to_sources(const StepInput &input, int layer, const float *queries, int heads,
                       int head_width, float scale, float *out) {
    const size_t width = static_cast<size_t>(heads) * head_width, token = 2 * width;
    for (int r = 0; r < input.rows;) {
        const int sentence = input.sentences[r / input.rows_each];
        const int length = input.lengths[sentence];
        auto tokens = reinterpret_cast<const Cached **>(workspace.tokens.reserve(length));
        float *weights = workspace.weights.reserve(length + LANES);
        const Cached *first =
            static_cast<const Cached *>(input.sources[layer]) + input.starts[sentence] * token;
        for (int s = 0; s < length; s++) tokens[s] = first + s * token;
        for (int end = r + input.rows_each; r < end; r++, queries += width, out += width)
            attend(queries, tokens, length, heads, head_width, scale, weights, out);
    }
}

}  // namespace
