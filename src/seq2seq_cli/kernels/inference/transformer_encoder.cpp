// The Transformer's encoder: reads a batch in one call.
//
// Dimensions: D width, H heads, S source tokens.

#include "transformer_layers.h"

namespace {

struct Encoder : Sublayers {
    struct SelfAttention {
        const Linear *query_key_value, *output;
        Norm norm;
    };

    struct Layer {
        SelfAttention self_attention;
        FeedForward feed_forward;
    };

    std::vector<Layer> layers;
    Norm embedding_norm, last;
    std::vector<const Linear *> keys_values;  // one for each layer of the decoder

    void add_layer(const LayerWeights &weights) {
        const int width = settings.width, attended = attention_width();
        layers.push_back({{linear_of_shape(weights.self_input, width, 3 * attended),
                           linear_of_shape(weights.self_output, attended, width),
                           norm_of(weights.self_weight, weights.self_bias)},
                          feed_forward_of(weights)});
    }

    void self_attention(const SelfAttention &layer, const SourceTokens &source, int first, int end,
                        float *x, int rows) const {
        const int width = attention_width();
        const size_t row_size = 3 * static_cast<size_t>(width);
        float *wide = workspace.wide.reserve(static_cast<size_t>(rows) * widest());
        float *attended = workspace.attended.reserve(static_cast<size_t>(rows) * width);
        apply(*layer.query_key_value, sublayer_input(layer.norm, x, rows), rows, wide);
        float *row = wide, *out = attended;
        for (int sentence = first; sentence < end; sentence++) {
            const int length = source.lengths[sentence];
            auto tokens = reinterpret_cast<const float **>(workspace.tokens.reserve(length));
            float *weights = workspace.weights.reserve(length + LANES);
            for (int s = 0; s < length; s++) {
                tokens[s] = row + s * row_size + width;
                if (source.rotations)
                    rotate_query_key(row + s * row_size,
                                     source.rotations + s * settings.head_width);
            }
            for (int s = 0; s < length; s++, row += row_size, out += width)
                attend(row, tokens, length, settings.heads, settings.head_width, scale(), weights,
                       out, nullptr, 0, biases_of(source, s));
        }
        add_residual(layer.norm, *layer.output, attended, x, rows);
    }

    // The biases of the token with this index in its sentence.
    static Biases biases_of(const SourceTokens &source, int index) {
        if (!source.biases) return {};
        return {source.biases + (source.reach - 1 - index), 2 * source.reach - 1};
    }

    // Reads the sentences from `first` to before `end`, which are `rows` tokens from index `start`
    // on.
    void read(const SourceTokens &source, int first, int end, size_t start, int rows) const {
        const size_t width = settings.width;
        float *x = workspace.states.reserve(rows * width);
        float *row = x;
        const int64_t *token = source.tokens + start;
        for (int sentence = first; sentence < end; sentence++)
            for (int s = 0; s < source.lengths[sentence]; s++, row += width)
                embed(source, *token++, settings.embedding_scale,
                      source.positions ? source.positions + s * width : nullptr, settings.width,
                      row);
        if (embedding_norm.weight) normalise(embedding_norm, x, rows, settings.width, x);
        for (const Layer &layer : layers) {
            self_attention(layer.self_attention, source, first, end, x, rows);
            feed_forward(layer.feed_forward, x, rows);
        }
        if (last.weight) normalise(last, x, rows, settings.width, x);
        for (size_t number = 0; number < keys_values.size(); number++) {
            const size_t numbers = 2 * static_cast<size_t>(attention_width());
            const size_t index = start * numbers;
            if (!settings.float16_keys_values) {
                apply(*keys_values[number], x, rows,
                      static_cast<float *>(source.keys_values[number]) + index);
                continue;
            }
            float *wide = workspace.wide.reserve(static_cast<size_t>(rows) * widest());
            apply(*keys_values[number], x, rows, wide);
            copy_to_cache(wide, rows * numbers,
                          static_cast<float16 *>(source.keys_values[number]) + index);
        }
    }

    void read(const SourceTokens &source) const {
        for_segments(source, [&](int first, int end, size_t start, int rows) {
            read(source, first, end, start, rows);
        });
    }
};

}  // namespace

// What Python calls

extern "C" {

// `keys_values` are the linear layers that compute keys and values of the source, one for each
// layer of the decoder.
void *transformer_encoder_new(const TransformerSettings *settings, const LayerWeights *layers,
                              int32_t count, const EndNorms *norms,
                              const void *const *keys_values, int32_t decoder_layers) {
    return guarded([&]() -> void * {
        auto encoder = std::make_unique<Encoder>();
        encoder->settings = *settings;
        encoder->embedding_norm = encoder->norm_of(norms->embedding_weight, norms->embedding_bias);
        encoder->last = encoder->norm_of(norms->last_weight, norms->last_bias);
        for (int i = 0; i < count; i++) encoder->add_layer(layers[i]);
        for (int i = 0; i < decoder_layers; i++)
            encoder->keys_values.push_back(
                linear_of_shape(keys_values[i], settings->width, 2 * encoder->attention_width()));
        return encoder.release();
    });
}

void transformer_encoder_free(void *encoder) {
    guarded([&] { delete static_cast<Encoder *>(encoder); });
}

void transformer_encoder_read(const void *encoder, const SourceTokens *source) {
    guarded([&] { static_cast<const Encoder *>(encoder)->read(*source); });
}

}  // extern "C"
