// The Transformer's decoder: reads a token of each row. It looks at the tokens before by
// self-attention, or by what replaces that at a constant cost for each token.
//
// Dimensions: N rows of hypotheses, D width, H heads, T target tokens read before.

#include "decoding.h"
#include "transformer_layers.h"

namespace {

enum DecoderAttention { SELF, AVERAGE, SSRU };  // in the order of DECODER_ATTENTION in Python

struct TransformerDecoder : Decoder, Sublayers {
    // What a layer looks at the tokens before with; its linear layers are those of `LayerWeights`.
    struct Past {
        const Linear *input, *output, *gates;
        Norm norm;
    };

    struct CrossAttention {
        const Linear *query, *output;
        Norm norm;
    };

    struct Layer {
        Past past;
        CrossAttention cross_attention;
        FeedForward feed_forward;
    };

    std::vector<Layer> layers;
    Norm embedding_norm, last;

    // For each layer the cache holds the key and the value of every token; in place of these, after
    // the last token only, the sum of the layer's inputs (average attention) or its cell (SSRU), D
    // numbers of float32.
    static DecoderSizes cache_sizes(const TransformerSettings &settings, int layers) {
        if (settings.decoder_attention != SELF) {
            const int64_t numbers = static_cast<int64_t>(layers) * settings.width;
            return {settings.width, 1, numbers * static_cast<int64_t>(sizeof(float)), layers,
                    settings.heads};
        }
        const int64_t numbers = 2 * static_cast<int64_t>(layers) * settings.heads *
                                settings.head_width;
        const size_t bytes = settings.float16_keys_values ? sizeof(float16) : sizeof(float);
        return {settings.width, INT_MAX, numbers * static_cast<int64_t>(bytes), layers,
                settings.heads};
    }

    TransformerDecoder(const TransformerSettings &given, int layers)
        : Decoder(cache_sizes(given, layers)), Sublayers{given} {}

    Past past_of(const LayerWeights &weights) const {
        const int width = settings.width, inner = settings.feed_forward;
        const int attended = attention_width();
        const Norm norm = norm_of(weights.self_weight, weights.self_bias);
        switch (settings.decoder_attention) {
        case AVERAGE:
            return {linear_of_shape(weights.self_input, width, inner),
                    linear_of_shape(weights.self_output, inner, width),
                    linear_of_shape(weights.self_gates, 2 * width, 2 * width), norm};
        case SSRU:
            return {linear_of_shape(weights.self_input, width, 2 * width), nullptr, nullptr, norm};
        default:
            return {linear_of_shape(weights.self_input, width, 3 * attended),
                    linear_of_shape(weights.self_output, attended, width), nullptr, norm};
        }
    }

    void add_layer(const LayerWeights &weights) {
        const int width = settings.width, attended = attention_width();
        layers.push_back({past_of(weights),
                          {linear_of_shape(weights.cross_query, width, attended),
                           linear_of_shape(weights.cross_output, attended, width),
                           norm_of(weights.cross_weight, weights.cross_bias)},
                          feed_forward_of(weights)});
    }

    template <typename Cached>
    void self_attention(int number, const StepInput &input, float *x) const {
        const Past &layer = layers[number].past;
        const int width = attention_width(), rows = input.rows, past_length = input.past_length;
        const size_t token = 2 * static_cast<size_t>(width);
        float *wide = workspace.wide.reserve(static_cast<size_t>(rows) * widest());
        float *attended = workspace.attended.reserve(static_cast<size_t>(rows) * width);
        apply(*layer.input, sublayer_input(layer.norm, x, rows), rows, wide);
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
            attend(wide, tokens, past_length + 1, settings.heads, settings.head_width, scale(),
                   weights, out, nullptr, 0, {input.biases, input.bias_stride});
        }
        add_residual(layer.norm, *layer.output, attended, x, rows);
    }

    // A row's state of constant size before this step, (D,); null before the first token.
    const float *state_before(int number, const StepInput &input, int row) const {
        if (!input.past_length) return nullptr;
        const size_t index = static_cast<size_t>(number) * input.past_rows[0] + input.paths[row];
        return static_cast<const float *>(input.past[0]) + index * settings.width;
    }

    // The states after this step, (N, D), to be written.
    float *states_after(int number, const StepInput &input) const {
        return static_cast<float *>(input.past[input.past_length]) +
               static_cast<size_t>(number) * input.rows * settings.width;
    }

    // Average attention (Zhang 2018): the average of all inputs so far, through a feed-forward
    // layer, and two gates between that and the input.
    void average_attention(int number, const StepInput &input, float *x) const {
        const Past &layer = layers[number].past;
        const int rows = input.rows;
        const size_t width = settings.width;
        const float *inputs = sublayer_input(layer.norm, x, rows);
        float *average = workspace.attended.reserve(rows * width);
        float *wide = workspace.wide.reserve(static_cast<size_t>(rows) * widest());
        float *joined = workspace.states.reserve(rows * 2 * width);
        float *sums = states_after(number, input);
        for (int r = 0; r < rows; r++) {
            const float *before = state_before(number, input, r);
            for (size_t i = 0; i < width; i++) {
                const size_t at = r * width + i;
                sums[at] = inputs[at] + (before ? before[i] : 0);
                average[at] = sums[at] / static_cast<float>(input.tokens_read + 1);
            }
        }
        apply(*layer.input, average, rows, wide, Epilogue::relu);
        float *past = average;  // which is not needed any more
        apply(*layer.output, wide, rows, past);
        for (int r = 0; r < rows; r++) {
            std::copy_n(inputs + r * width, width, joined + 2 * r * width);
            std::copy_n(past + r * width, width, joined + (2 * r + 1) * width);
        }
        apply(*layer.gates, joined, rows, wide);
        scale_residual(x, rows);
        for (int r = 0; r < rows; r++)
            add_gated(wide + 2 * r * width, joined + 2 * r * width, x + r * width);
        norm_after(layer.norm, x, rows);
    }

    // Adds two vectors (2, D), each times the sigmoid of its gates (2, D), to x (D,).
    void add_gated(const float *gates, const float *vectors, float *x) const {
        const int width = settings.width;
        int i = 0;
        for (; i + LANES <= width; i += LANES) {
            const Floats first = multiply(sigmoid(load(gates + i)), load(vectors + i));
            const Floats both = multiply_add(sigmoid(load(gates + width + i)),
                                             load(vectors + width + i), first);
            store(x + i, add(load(x + i), both));
        }
        for (; i < width; i++)
            x[i] += sigmoid(gates[i]) * vectors[i] + sigmoid(gates[width + i]) * vectors[width + i];
    }

    // The simpler simple recurrent unit (Kim 2019): one product, and no output layer.
    void recurrent_unit(int number, const StepInput &input, float *x) const {
        const Past &layer = layers[number].past;
        const int rows = input.rows;
        const size_t width = settings.width;
        float *wide = workspace.wide.reserve(static_cast<size_t>(rows) * widest());
        apply(*layer.input, sublayer_input(layer.norm, x, rows), rows, wide);
        scale_residual(x, rows);
        float *cells = states_after(number, input);
        for (int r = 0; r < rows; r++)
            advance_cell(wide + 2 * r * width, state_before(number, input, r), cells + r * width,
                         x + r * width);
        norm_after(layer.norm, x, rows);
    }

    // From the forget gate and the input (2, D) and the cell before (D,), or null, computes the
    // cell (D,), and adds it to x after ReLU.
    void advance_cell(const float *forget_input, const float *before, float *cell, float *x) const {
        const int width = settings.width;
        int i = 0;
        for (; i + LANES <= width; i += LANES) {
            const Floats forget = sigmoid(load(forget_input + i));
            const Floats taken = multiply_add(forget, broadcast(-1), broadcast(1));
            Floats sum = multiply(taken, load(forget_input + width + i));
            if (before) sum = multiply_add(forget, load(before + i), sum);
            store(cell + i, sum);
            store(x + i, add(load(x + i), max(broadcast(0), sum)));  // NaN passes
        }
        for (; i < width; i++) {
            const float forget = sigmoid(forget_input[i]);
            cell[i] = (1 - forget) * forget_input[width + i] + (before ? forget * before[i] : 0);
            x[i] += cell[i] < 0 ? 0 : cell[i];
        }
    }

    template <typename Cached>
    void cross_attention(int number, const StepInput &input, float *x) const {
        const CrossAttention &layer = layers[number].cross_attention;
        const int width = attention_width(), rows = input.rows;
        float *queries = workspace.wide.reserve(static_cast<size_t>(rows) * widest());
        float *attended = workspace.attended.reserve(static_cast<size_t>(rows) * width);
        apply(*layer.query, sublayer_input(layer.norm, x, rows), rows, queries);
        attend_to_sources<Cached>(input, number, queries, settings.heads, settings.head_width,
                                  scale(), attended, number);
        add_residual(layer.norm, *layer.output, attended, x, rows);
    }

    template <typename Cached> void read(const StepInput &input, float *x) const {
        for (int r = 0; r < input.rows; r++)
            embed(input, input.tokens[r], settings.embedding_scale, input.position,
                  settings.width, x + static_cast<size_t>(r) * settings.width);
        if (embedding_norm.weight) normalise(embedding_norm, x, input.rows, settings.width, x);
        write_paths(input, sizes.max_cached_tokens);
        for (int number = 0; number < static_cast<int>(layers.size()); number++) {
            switch (settings.decoder_attention) {
            case AVERAGE: average_attention(number, input, x); break;
            case SSRU: recurrent_unit(number, input, x); break;
            default: self_attention<Cached>(number, input, x);
            }
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

}  // namespace

// What Python calls

extern "C" {

void *transformer_decoder_new(const TransformerSettings *settings, const LayerWeights *layers,
                              int32_t count, const EndNorms *norms) {
    return guarded([&]() -> void * {
        auto decoder = std::make_unique<TransformerDecoder>(*settings, count);
        decoder->embedding_norm = decoder->norm_of(norms->embedding_weight, norms->embedding_bias);
        decoder->last = decoder->norm_of(norms->last_weight, norms->last_bias);
        for (int i = 0; i < count; i++) decoder->add_layer(layers[i]);
        return static_cast<Decoder *>(decoder.release());
    });
}

}  // extern "C"
