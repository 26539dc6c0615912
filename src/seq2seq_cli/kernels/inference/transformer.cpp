// The Transformer (Vaswani 2017): its encoder reads a batch in one call, its decoder a token of
// each row.
//
// Dimensions: N rows of hypotheses, D width, H heads, S source tokens, T target tokens read before.

#include "decoding.h"

namespace {

struct SelfAttention {
    const Linear *query_key_value, *output;
    Norm norm;
};

struct CrossAttention {
    const Linear *query, *output;
    Norm norm;
};

struct FeedForward {
    const Linear *inner, *outer;
    Norm norm;
};

// The sublayers of encoder and decoder.
struct Sublayers {
    TransformerSettings settings;

    int head_width() const { return settings.width / settings.heads; }

    float scale() const { return 1 / std::sqrt(static_cast<float>(head_width())); }

    // Width of the buffer for a row between two products.
    int widest() const {
        const int inner = settings.feed_forward * (settings.activation == SWIGLU ? 2 : 1);
        return std::max(3 * settings.width, inner);
    }

    // The input of a sublayer: the output of its norm, or with norms after sublayers x itself.
    const float *sublayer_input(const Norm &norm, const float *x, int rows) const {
        if (!settings.pre_norm) return x;
        float *normed = workspace.normed.reserve(static_cast<size_t>(rows) * settings.width);
        normalise(norm, x, rows, settings.width, normed);
        return normed;
    }

    // Adds the sublayer's output, a linear layer of `result`, to the residual x.
    void add_residual(const Norm &norm, const Linear &output, const float *result, float *x,
                      int rows) const {
        if (settings.residual != 1.0f)
            for (size_t i = 0; i < static_cast<size_t>(rows) * settings.width; i++)
                x[i] *= settings.residual;
        apply(output, result, rows, x, Epilogue::add);
        if (!settings.pre_norm) normalise(norm, x, rows, settings.width, x);
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
        const float *sines = rotation + head_width() / 2;
        rotate(query_key, settings.heads, head_width(), rotation, sines);
        rotate(query_key + settings.width, settings.heads, head_width(), rotation, sines);
    }
};

struct Encoder : Sublayers {
    struct Layer {
        SelfAttention self_attention;
        FeedForward feed_forward;
    };

    std::vector<Layer> layers;
    Norm last;
    std::vector<const Linear *> keys_values;  // one for each layer of the decoder

    void self_attention(const SelfAttention &layer, const SourceTokens &source, int first, int end,
                        float *x, int rows) const {
        const int width = settings.width;
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
                    rotate_query_key(row + s * row_size, source.rotations + s * head_width());
            }
            for (int s = 0; s < length; s++, row += row_size, out += width)
                attend(row, tokens, length, settings.heads, head_width(), scale(), weights, out);
        }
        add_residual(layer.norm, *layer.output, attended, x, rows);
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
                embed(source.embedding, *token++, settings.embedding_scale,
                      source.positions ? source.positions + s * width : nullptr, settings.width,
                      row);
        for (const Layer &layer : layers) {
            self_attention(layer.self_attention, source, first, end, x, rows);
            feed_forward(layer.feed_forward, x, rows);
        }
        if (last.weight) normalise(last, x, rows, settings.width, x);
        for (size_t number = 0; number < keys_values.size(); number++) {
            const size_t index = start * 2 * width;
            if (!settings.float16_keys_values) {
                apply(*keys_values[number], x, rows,
                      static_cast<float *>(source.keys_values[number]) + index);
                continue;
            }
            float *wide = workspace.wide.reserve(static_cast<size_t>(rows) * widest());
            apply(*keys_values[number], x, rows, wide);
            copy_to_cache(wide, rows * 2 * width,
                          static_cast<float16 *>(source.keys_values[number]) + index);
        }
    }

    void read(const SourceTokens &source) const {
        for_segments(source, [&](int first, int end, size_t start, int rows) {
            read(source, first, end, start, rows);
        });
    }
};

struct TransformerDecoder : Decoder, Sublayers {
    struct Layer {
        SelfAttention self_attention;
        CrossAttention cross_attention;
        FeedForward feed_forward;
    };

    std::vector<Layer> layers;
    Norm last;

    // The cache holds the key and the value of every token, for each layer.
    TransformerDecoder(const TransformerSettings &given, int layers)
        : Decoder({given.width, INT_MAX,
                   static_cast<int64_t>(given.float16_keys_values ? sizeof(float16)
                                                                  : sizeof(float)) *
                       layers * 2 * given.width}),
          Sublayers{given} {}

    template <typename Cached>
    void self_attention(int number, const StepInput &input, float *x) const {
        const SelfAttention &layer = layers[number].self_attention;
        const int width = settings.width, rows = input.rows, past_length = input.past_length;
        const size_t token = 2 * static_cast<size_t>(width);
        float *wide = workspace.wide.reserve(static_cast<size_t>(rows) * widest());
        float *attended = workspace.attended.reserve(static_cast<size_t>(rows) * width);
        apply(*layer.query_key_value, sublayer_input(layer.norm, x, rows), rows, wide);
        Cached *own = static_cast<Cached *>(input.past[past_length]) + number * rows * token;
        auto tokens = reinterpret_cast<const Cached **>(workspace.tokens.reserve(past_length + 1));
        float *weights = workspace.weights.reserve(past_length + 1 + LANES);
        float *out = attended;
        for (int r = 0; r < rows; r++, wide += 3 * width, own += token, out += width) {
            rotate_query_key(wide, input.rotations);
            copy_to_cache(wide + width, token, own);
            const int32_t *path = input.paths + static_cast<size_t>(r) * past_length;
            for (int s = 0; s < past_length; s++)
                tokens[s] = static_cast<const Cached *>(input.past[s]) +
                            (static_cast<size_t>(number) * input.past_rows[s] + path[s]) * token;
            tokens[past_length] = own;
            attend(wide, tokens, past_length + 1, settings.heads, head_width(), scale(), weights,
                   out);
        }
        add_residual(layer.norm, *layer.output, attended, x, rows);
    }

    template <typename Cached>
    void cross_attention(int number, const StepInput &input, float *x) const {
        const CrossAttention &layer = layers[number].cross_attention;
        const int width = settings.width, rows = input.rows;
        float *queries = workspace.wide.reserve(static_cast<size_t>(rows) * widest());
        float *attended = workspace.attended.reserve(static_cast<size_t>(rows) * width);
        apply(*layer.query, sublayer_input(layer.norm, x, rows), rows, queries);
        attend_to_sources<Cached>(input, number, queries, settings.heads, head_width(), scale(),
                                  attended);
        add_residual(layer.norm, *layer.output, attended, x, rows);
    }

    template <typename Cached> void read(const StepInput &input, float *x) const {
        for (int r = 0; r < input.rows; r++)
            embed(input.embedding, input.tokens[r], settings.embedding_scale, input.position,
                  settings.width, x + static_cast<size_t>(r) * settings.width);
        write_paths(input, sizes.max_cached_tokens);
        for (int number = 0; number < static_cast<int>(layers.size()); number++) {
            self_attention<Cached>(number, input, x);
            cross_attention<Cached>(number, input, x);
            feed_forward(layers[number].feed_forward, x, input.rows);
        }
        if (last.weight) normalise(last, x, input.rows, settings.width, x);
    }

    void step(const StepInput &input, float *hidden) const override {
        if (settings.float16_keys_values)
            read<float16>(input, hidden);
        else
            read<float>(input, hidden);
    }
};

SelfAttention self_attention_of(const LayerWeights &weights) {
    return {linear(weights.query_key_value),
            linear(weights.self_output),
            {weights.self_weight, weights.self_bias}};
}

CrossAttention cross_attention_of(const LayerWeights &weights) {
    return {linear(weights.cross_query),
            linear(weights.cross_output),
            {weights.cross_weight, weights.cross_bias}};
}

FeedForward feed_forward_of(const LayerWeights &weights) {
    return {linear(weights.inner),
            linear(weights.outer),
            {weights.feed_forward_weight, weights.feed_forward_bias}};
}

}  // namespace

// What Python calls

extern "C" {

// `keys_values` are the linear layers that compute keys and values of the source, one for each
// layer of the decoder.
void *transformer_encoder_new(const TransformerSettings *settings, const LayerWeights *layers,
                              int32_t count, const float *last_weight, const float *last_bias,
                              const void *const *keys_values, int32_t decoder_layers) {
    return guarded([&]() -> void * {
        auto encoder = std::make_unique<Encoder>();
        encoder->settings = *settings;
        encoder->last = {last_weight, last_bias};
        for (int i = 0; i < count; i++)
            encoder->layers.push_back({self_attention_of(layers[i]), feed_forward_of(layers[i])});
        for (int i = 0; i < decoder_layers; i++)
            encoder->keys_values.push_back(linear(keys_values[i]));
        return encoder.release();
    });
}

void transformer_encoder_free(void *encoder) {
    guarded([&] { delete static_cast<Encoder *>(encoder); });
}

void transformer_encoder_read(const void *encoder, const SourceTokens *source) {
    guarded([&] { static_cast<const Encoder *>(encoder)->read(*source); });
}

void *transformer_decoder_new(const TransformerSettings *settings, const LayerWeights *layers,
                              int32_t count, const float *last_weight, const float *last_bias) {
    return guarded([&]() -> void * {
        auto decoder = std::make_unique<TransformerDecoder>(*settings, count);
        decoder->last = {last_weight, last_bias};
        for (int i = 0; i < count; i++)
            decoder->layers.push_back({self_attention_of(layers[i]), cross_attention_of(layers[i]),
                                       feed_forward_of(layers[i])});
        return static_cast<Decoder *>(decoder.release());
    });
}

}  // extern "C"
