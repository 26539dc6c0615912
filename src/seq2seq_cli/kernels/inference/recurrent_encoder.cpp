// The encoder of RNNs: layers of cells in one direction or in both, what attention compares and
// sums, and the state that the decoder starts from.
//
// Dimensions: B sentences, S source tokens, D width, U units.

#include "recurrent_attention.h"

namespace {

// Intermediate results of a segment of sentences.
struct EncoderBuffers {
    AlignedBuffer<float> inputs, outputs, from_input, from_state, state, last, context;
    std::vector<int> order, starts;
};

thread_local EncoderBuffers encoder_buffers;

// Sentences that are stepped together, and where their tokens are.
struct Segment {
    const int32_t *lengths;
    int sentences, rows;
    const int *order;   // of the sentences, the longest first
    const int *starts;  // of their tokens in the segment
};

struct RecurrentEncoder {
    RecurrentSettings settings;
    std::vector<Cell> cells;  // the directions of the first layer, then those of the next
    const Linear *bridge;
    // What each token of the source leaves for attention; or what a sentence leaves for every step
    std::unique_ptr<AttentionMemory> attention;
    const Linear *context = nullptr;

    size_t states() const { return bridge->outputs / settings.units; }

    // Reads x (tokens, inputs) in one direction: writes outputs to columns of out (tokens, U), and
    // the last output of each sentence to columns of last (B, U).
    void read(const Cell &cell, const Segment &segment, bool backwards, const float *x, float *out,
              float *last) const {
        const size_t units = cell.units(), gates = cell.gate_inputs(), columns = settings.units;
        const size_t count = segment.sentences;
        EncoderBuffers &buffers = encoder_buffers;
        float *from_input = buffers.from_input.reserve(segment.rows * gates);
        float *from_state = buffers.from_state.reserve(count * gates);
        float *hidden = buffers.state.reserve(2 * count * units);
        float *state = settings.cell_states > 1 ? hidden + count * units : nullptr;
        std::fill_n(hidden, 2 * count * units, 0.0f);
        apply(*cell.from_input, x, segment.rows, from_input);
        int active = segment.sentences;
        for (int t = 0;; t++) {
            while (active && segment.lengths[segment.order[active - 1]] <= t) active--;
            if (!active) break;
            apply(*cell.from_state, hidden, active, from_state);
            for (int r = 0; r < active; r++) {
                const int sentence = segment.order[r], length = segment.lengths[sentence];
                const size_t token = segment.starts[sentence] + (backwards ? length - 1 - t : t);
                float *own = hidden + r * units;
                recur(from_input + token * gates, from_state + r * gates, static_cast<int>(units),
                      own, state ? state + r * units : nullptr);
                std::copy_n(own, units, out + token * columns);
            }
        }
        for (size_t r = 0; r < count; r++)
            std::copy_n(hidden + r * units, units, last + segment.order[r] * columns);
    }

    // Embeds tokens -> (tokens, D).
    void embed_tokens(const SourceTokens &source, const Segment &segment, const int64_t *tokens,
                      float *x) const {
        const size_t width = settings.width;
        for (int sentence = 0; sentence < segment.sentences; sentence++) {
            const int length = segment.lengths[sentence];
            for (int s = 0; s < length; s++, x += width) {
                const bool mirrored = settings.reverse_source && s < length - 1;  // but not EOS
                embed(source, tokens[mirrored ? length - 2 - s : s], 1.0f, nullptr, width,
                      x);
            }
            tokens += length;
        }
    }

    // Writes the decoder's state before the first token: for each layer and component (B, U). The
    // sentences begin at `first` of all.
    void start(const float *last, int sentences, int first, int all, float *initial) const {
        const size_t units = settings.units, count = states(), outputs = bridge->outputs;
        float *x = encoder_buffers.context.reserve(sentences * outputs);
        apply(*bridge, last, sentences, x);
        apply_tanh(x, sentences, outputs);
        for (int i = 0; i < sentences; i++)
            for (size_t s = 0; s < count; s++)
                std::copy_n(x + i * outputs + s * units, units,
                            initial + (s * all + first + i) * units);
    }

    // Reads the sentences from `first` to before `end`, which are `rows` tokens from index `start`
    // on.
    void read(const SourceTokens &source, int first, int end, size_t start_token, int rows,
              float *initial) const {
        EncoderBuffers &buffers = encoder_buffers;
        const size_t units = settings.units, count = end - first;
        buffers.order.resize(count);
        buffers.starts.resize(count);
        const Segment segment{source.lengths + first, end - first, rows, buffers.order.data(),
                              buffers.starts.data()};
        for (int i = 0, token = 0; i < segment.sentences; token += segment.lengths[i++]) {
            buffers.order[i] = i;
            buffers.starts[i] = token;
        }
        std::stable_sort(buffers.order.begin(), buffers.order.end(), [&](int a, int b) {
            return segment.lengths[a] > segment.lengths[b];
        });
        const size_t widest = std::max<size_t>(settings.width, units);
        float *x = buffers.inputs.reserve(rows * widest);
        float *out = buffers.outputs.reserve(rows * widest);
        float *last = buffers.last.reserve(count * units);
        embed_tokens(source, segment, source.tokens + start_token, x);
        for (size_t i = 0; i < cells.size(); i += settings.directions) {
            for (int direction = 0; direction < settings.directions; direction++) {
                const Cell &cell = cells[i + direction];
                const int column = direction * cell.units();
                read(cell, segment, direction > 0, x, out + column, last + column);
            }
            std::swap(x, out);
        }
        start(last, segment.sentences, first, source.sentences, initial);
        if (context)
            apply(*context, last, segment.sentences,
                  static_cast<float *>(source.keys_values[0]) + first * context->outputs);
        if (attention) attention->write(x, rows, start_token, source.keys_values);
    }

    void read(const SourceTokens &source, float *initial) const {
        constexpr int TOKENS = 1024;  // more sentences stepped together than in other encoders
        for_segments<TOKENS>(source, [&](int first, int end, size_t start_token, int rows) {
            read(source, first, end, start_token, rows, initial);
        });
        if (settings.input_feeding)
            std::fill_n(initial + states() * source.sentences * settings.units,
                        static_cast<size_t>(source.sentences) * settings.width, 0.0f);
    }
};

}  // namespace

// What Python calls

extern "C" {

// `cells` are the directions of the first layer, then those of the next; `count` is how many these
// are. `bridge` computes the initial state of the decoder's layers. With `attention` the encoder
// writes values of every token, and keys where these differ; with `context`, what that layer
// computes from the last outputs of every sentence. Both may be null.
void *recurrent_encoder_new(const RecurrentSettings *settings, const CellWeights *cells,
                            int32_t count, const void *bridge, int32_t decoder_layers,
                            const RecurrentAttention *attention, const void *context) {
    return guarded([&]() -> void * {
        auto encoder = std::make_unique<RecurrentEncoder>();
        const int units = settings->units, directions = settings->directions;
        encoder->settings = *settings;
        for (int i = 0; i < count; i++)
            encoder->cells.push_back(cell_of_shape(cells[i],
                                                   i < directions ? settings->width : units,
                                                   units / directions, settings->cell_states));
        const int states = decoder_layers * settings->cell_states;
        encoder->bridge = linear_of_shape(bridge, units, states * units);
        if (context) encoder->context = linear_of_shape(context, units, 2 * settings->width);
        if (attention)
            encoder->attention = std::make_unique<AttentionMemory>(*attention, *settings);
        return encoder.release();
    });
}

void recurrent_encoder_free(void *encoder) {
    guarded([&] { delete static_cast<RecurrentEncoder *>(encoder); });
}

// Writes the memory that `keys_values` of the source points to, and the decoder's cache before the
// first token.
void recurrent_encoder_read(const void *encoder, const SourceTokens *source, float *initial) {
    guarded([&] { static_cast<const RecurrentEncoder *>(encoder)->read(*source, initial); });
}

}  // extern "C"
