// The convolutional model (Gehring 2017): its encoder reads a batch in one call, its decoder a
// token of each row.
//
// Dimensions: N rows of hypotheses, D width, C channels, K kernel, S source tokens.

#include "decoding.h"

namespace {

constexpr float HALF = 0.70710678f;  // keeps the variance of a sum of two

// Gated linear unit (Dauphin 2017): x (N, 2 C) -> (N, C), in place.
void gate(float *x, int rows, int channels) {
    for (int r = 0; r < rows; r++) {
        const float *in = x + static_cast<size_t>(r) * 2 * channels;
        float *out = x + static_cast<size_t>(r) * channels;
        int i = 0;
        for (; i + LANES <= channels; i += LANES)
            store(out + i, multiply(load(in + i), sigmoid(load(in + channels + i))));
        for (; i < channels; i++) out[i] = in[i] * sigmoid(in[channels + i]);
    }
}

// Replaces x by (x + y) times HALF.
void join(float *x, const float *y, size_t count) {
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        store(x + i, multiply(add(load(x + i), load(y + i)), broadcast(HALF)));
    for (; i < count; i++) x[i] = (x[i] + y[i]) * HALF;
}

struct Buffers {
    AlignedBuffer<float> embedded, windows, hidden, queries;
};

thread_local Buffers buffers;

struct ConvolutionEncoder {
    ConvolutionSettings settings;
    const Linear *input, *output;
    std::vector<const Linear *> layers;

    // The window of K states around each token, one after the other; zero outside of its sentence.
    void gather(const float *x, const int32_t *lengths, int sentences, float *windows) const {
        const size_t channels = settings.channels;
        const int kernel = settings.kernel, side = kernel / 2;
        for (int sentence = 0; sentence < sentences; sentence++) {
            const int length = lengths[sentence];
            for (int s = 0; s < length; s++)
                for (int k = 0; k < kernel; k++, windows += channels) {
                    const int from = s + k - side;
                    if (from < 0 || from >= length)
                        std::fill_n(windows, channels, 0.0f);
                    else
                        std::copy_n(x + from * channels, channels, windows);
                }
            x += length * channels;
        }
    }

    // Reads the sentences from `first` to before `end`, which are `rows` tokens from index `start`
    // on.
    template <typename Cached>
    void read(const SourceTokens &source, int first, int end, size_t start, int rows) const {
        const size_t width = settings.width, channels = settings.channels;
        float *embedded = buffers.embedded.reserve(rows * width);
        float *row = embedded;
        const int64_t *token = source.tokens + start;
        for (int sentence = first; sentence < end; sentence++)
            for (int s = 0; s < source.lengths[sentence]; s++, row += width)
                embed(source, *token++, 1.0f, source.positions + s * width, width, row);
        float *x = workspace.states.reserve(rows * std::max(channels, width));
        float *windows = buffers.windows.reserve(rows * settings.kernel * channels);
        float *hidden = buffers.hidden.reserve(rows * std::max(2 * channels, width));
        apply(*input, embedded, rows, x);
        for (const Linear *layer : layers) {
            gather(x, source.lengths + first, end - first, windows);
            apply(*layer, windows, rows, hidden);
            gate(hidden, rows, static_cast<int>(channels));
            join(x, hidden, rows * channels);
        }
        float *keys = hidden;
        apply(*output, x, rows, keys);
        Cached *out = static_cast<Cached *>(source.keys_values[0]) + start * 2 * width;
        for (int sentence = first; sentence < end; sentence++) {
            // A mean of m vectors has 1 / m of their variance.
            const float scale = std::sqrt(static_cast<float>(source.lengths[sentence])) * HALF;
            for (int s = 0; s < source.lengths[sentence]; s++) {
                copy_to_cache(keys, width, out);
                for (size_t i = 0; i < width; i++) embedded[i] = (keys[i] + embedded[i]) * scale;
                copy_to_cache(embedded, width, out + width);
                keys += width;
                embedded += width;
                out += 2 * width;
            }
        }
    }

    void read(const SourceTokens &source) const {
        for_segments(source, [&](int first, int end, size_t start, int rows) {
            if (settings.float16_keys_values)
                read<float16>(source, first, end, start, rows);
            else
                read<float>(source, first, end, start, rows);
        });
    }
};

struct ConvolutionDecoder : Decoder {
    struct Layer {
        const Linear *convolution, *query, *context;
    };

    ConvolutionSettings settings;
    const Linear *input, *output;
    std::vector<Layer> layers;

    // The cache holds the inputs of each layer at the last K - 1 tokens.
    ConvolutionDecoder(const ConvolutionSettings &settings, int layers)
        : Decoder({settings.width, settings.kernel - 1,
                   static_cast<int64_t>(sizeof(float)) * layers * settings.channels, layers, 1}),
          settings(settings) {}

    // The window of the last K inputs of a layer for each row: K - 1 from the cache, and x.
    void gather(const StepInput &step_input, int layer, const float *x, float *windows) const {
        const size_t channels = settings.channels;
        const int before = settings.kernel - 1, past_length = step_input.past_length;
        for (int r = 0; r < step_input.rows; r++, x += channels) {
            std::fill_n(windows, (before - past_length) * channels, 0.0f);
            windows += (before - past_length) * channels;
            const int32_t *path = step_input.paths + static_cast<size_t>(r) * past_length;
            for (int t = 0; t < past_length; t++, windows += channels) {
                const size_t row = static_cast<size_t>(layer) * step_input.past_rows[t] + path[t];
                std::copy_n(static_cast<const float *>(step_input.past[t]) + row * channels,
                            channels, windows);
            }
            std::copy_n(x, channels, windows);
            windows += channels;
        }
    }

    template <typename Cached> void read(const StepInput &step_input, float *hidden_states) const {
        const int rows = step_input.rows, kernel = settings.kernel;
        const size_t width = settings.width, channels = settings.channels;
        float *embedded = buffers.embedded.reserve(rows * width);
        float *x = workspace.states.reserve(rows * channels);
        float *windows = buffers.windows.reserve(rows * kernel * channels);
        float *hidden = buffers.hidden.reserve(rows * 2 * channels);
        float *queries = buffers.queries.reserve(rows * width);
        float *attended = workspace.attended.reserve(rows * width);
        for (int r = 0; r < rows; r++)
            embed(step_input, step_input.tokens[r], 1.0f, step_input.position, width,
                  embedded + r * width);
        write_paths(step_input, sizes.max_cached_tokens);
        apply(*input, embedded, rows, x);
        for (size_t index = 0; index < layers.size(); index++) {
            const Layer &layer = layers[index];
            float *last = static_cast<float *>(step_input.past[step_input.past_length]);
            std::copy_n(x, rows * channels, last + index * rows * channels);
            gather(step_input, static_cast<int>(index), x, windows);
            apply(*layer.convolution, windows, rows, hidden);
            gate(hidden, rows, static_cast<int>(channels));
            apply(*layer.query, hidden, rows, queries);
            join(queries, embedded, rows * width);
            attend_to_sources<Cached>(step_input, 0, queries, 1, settings.width, 1.0f, attended,
                                      static_cast<int>(index));
            float *context = windows;
            apply(*layer.context, attended, rows, context);
            join(hidden, context, rows * channels);
            join(x, hidden, rows * channels);
        }
        apply(*output, x, rows, hidden_states);
    }

    void step(const StepInput &step_input, float *hidden_states) const override {
        if (settings.float16_keys_values)
            read<float16>(step_input, hidden_states);
        else
            read<float>(step_input, hidden_states);
    }
};

}  // namespace

// What Python calls

extern "C" {

void *convolution_encoder_new(const ConvolutionSettings *settings, const void *input,
                              const void *const *layers, int32_t count, const void *output) {
    return guarded([&]() -> void * {
        auto encoder = std::make_unique<ConvolutionEncoder>();
        encoder->settings = *settings;
        encoder->input = linear(input);
        encoder->output = linear(output);
        for (int i = 0; i < count; i++) encoder->layers.push_back(linear(layers[i]));
        return encoder.release();
    });
}

void convolution_encoder_free(void *encoder) {
    guarded([&] { delete static_cast<ConvolutionEncoder *>(encoder); });
}

void convolution_encoder_read(const void *encoder, const SourceTokens *source) {
    guarded([&] { static_cast<const ConvolutionEncoder *>(encoder)->read(*source); });
}

void *convolution_decoder_new(const ConvolutionSettings *settings, const void *input,
                              const ConvolutionWeights *layers, int32_t count, const void *output) {
    return guarded([&]() -> void * {
        auto decoder = std::make_unique<ConvolutionDecoder>(*settings, count);
        decoder->input = linear(input);
        decoder->output = linear(output);
        for (int i = 0; i < count; i++)
            decoder->layers.push_back({linear(layers[i].convolution), linear(layers[i].query),
                                       linear(layers[i].context)});
        return static_cast<Decoder *>(decoder.release());
    });
}

}  // extern "C"
