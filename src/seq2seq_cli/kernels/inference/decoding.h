// Decoders that read a token of each row at a time, and what they find around their rows.
//
// Dimensions: N rows of hypotheses, D width, H heads, T target tokens read before.

#pragma once

#include "layers.h"

// Shared with `native/decoding.py`, field by field.

// What a step reads beside its rows.
struct StepInput {
    int32_t rows;                // N
    int32_t rows_each;           // of a sentence; they stand together
    int32_t read;                // T, of those tokens of which something is kept
    const int64_t *tokens;       // (N,), to be read
    const float *embedding;      // (vocabulary, D)
    const float *position;       // (D,), to be added to each; or null
    const float *rotations;      // cosines, then sines, (2, D / H / 2); or null
    const int32_t *paths;        // (N, T): in which row of each earlier step a row's token was
    int32_t *paths_after;        // (N, T + 1) or the last of them, to be written
    void *const *past;           // T + 1 of (any, rows then, any); the last is to be written
    const int32_t *past_rows;    // T
    const void *const *sources;  // a layer's keys and values: (all source tokens, 2, D)
    const int32_t *starts;       // (sentences,), the first token of each
    const int32_t *lengths;      // (sentences,), tokens of each
    const int32_t *sentences;    // (N / rows_each,), of which there may be more in `sources`
};

struct DecoderSizes {
    int32_t width;  // of features
    int32_t most;   // tokens, the last ones, of which something is kept
    int64_t kept;   // bytes kept of each of them
};

namespace seq2seq {

struct Decoder {
    DecoderSizes sizes;

    explicit Decoder(DecoderSizes sizes) : sizes(sizes) {}
    virtual ~Decoder() = default;

    // Read a token of each row; features (N, D) out.
    virtual void step(const StepInput &around, float *features) const = 0;
};

}  // namespace seq2seq

namespace {

// Note where the tokens that each row has read are kept, its own last.
inline void note_paths(const StepInput &around, int most) {
    const int read = around.read, after = std::min(read + 1, most);
    if (!after) return;
    for (int r = 0; r < around.rows; r++) {
        const int32_t *path = around.paths + static_cast<size_t>(r) * read;
        int32_t *path_after = around.paths_after + static_cast<size_t>(r) * after;
        std::copy(path + read + 1 - after, path + read, path_after);
        path_after[after - 1] = r;
    }
}

// Queries (N, D), each of the tokens of its sentence in the layer `number` -> out (N, D).
template <typename Cached>
void attend_to_sources(const StepInput &around, int number, const float *queries, int heads,
                       int head_width, float scale, float *out) {
    const size_t width = static_cast<size_t>(heads) * head_width, token = 2 * width;
    for (int r = 0; r < around.rows;) {
        const int sentence = around.sentences[r / around.rows_each];
        const int length = around.lengths[sentence];
        auto tokens = reinterpret_cast<const Cached **>(workspace.tokens.reserve(length));
        float *weights = workspace.weights.reserve(length + LANES);
        const Cached *first = static_cast<const Cached *>(around.sources[number]) +
                            around.starts[sentence] * token;
        for (int s = 0; s < length; s++) tokens[s] = first + s * token;
        for (int end = r + around.rows_each; r < end; r++, queries += width, out += width)
            attend(queries, tokens, length, heads, head_width, scale, weights, out);
    }
}

}  // namespace
