// The decoders of RNNs: layers of cells, with attention to the source on top or a context vector of
// fixed length, which read one token of each row at a time.
//
// Dimensions: N rows of hypotheses, D width, U units.

#include "recurrent_attention.h"

namespace {

// Reads x (N, inputs); updates hidden and cell (N, U) in place. `cell` is null in a GRU.
void advance(const Cell &weights, const float *x, int rows, float *hidden, float *cell) {
    const size_t gates = weights.gate_inputs(), units = weights.units();
    float *from_input = workspace.wide.reserve(2 * rows * gates);
    float *from_state = from_input + rows * gates;
    apply(*weights.from_input, x, rows, from_input);
    apply(*weights.from_state, hidden, rows, from_state);
    for (int r = 0; r < rows; r++)
        recur(from_input + r * gates, from_state + r * gates, static_cast<int>(units),
              hidden + r * units, cell ? cell + r * units : nullptr);
}

// The layers of cells. The cache holds the last token only: for each layer the components of its
// state (N, U), and the hidden state of the decoder (N, D) if that is fed.
struct RecurrentDecoder : Decoder {
    RecurrentSettings settings;
    std::vector<Cell> cells;
    const Linear *output;

    RecurrentDecoder(const RecurrentSettings &settings, const CellWeights *weights, int layers,
                     int attention_layers, int attention_heads, const Linear *output)
        : Decoder({settings.width, 1, token_bytes(settings, layers), attention_layers,
                   attention_heads}),
          settings(settings), output(output) {
        const int input = settings.width * (settings.input_feeding ? 2 : 1);
        for (int i = 0; i < layers; i++)
            cells.push_back(cell_of_shape(weights[i], i ? settings.units : input, settings.units,
                                          settings.cell_states));
    }

    static int64_t token_bytes(const RecurrentSettings &settings, int layers) {
        const int64_t states = static_cast<int64_t>(layers) * settings.cell_states;
        const int64_t fed = settings.input_feeding ? settings.width : 0;
        return static_cast<int64_t>(sizeof(float)) * (states * settings.units + fed);
    }

    size_t states() const { return cells.size() * settings.cell_states; }

    // The states in the cache, for each component (rows, U); then what is fed.
    static const float *before(const StepInput &input) {
        return static_cast<const float *>(input.past[0]);
    }
    static float *after(const StepInput &input) { return static_cast<float *>(input.past[1]); }

    // Embeds tokens -> x (N, `columns`), of which D are written.
    void embed_tokens(const StepInput &input, size_t columns, float *x) const {
        for (int r = 0; r < input.rows; r++)
            embed(input, input.tokens[r], 1.0f, nullptr, settings.width, x + r * columns);
    }

    // Reads x (N, inputs); returns the outputs of the top layer (N, U), which are in the cache.
    float *read_cells(const StepInput &input, float *x) const {
        const size_t units = settings.units, rows = input.rows, rows_before = input.past_rows[0];
        float *state = after(input);
        for (size_t i = 0; i < states(); i++)
            for (size_t r = 0; r < rows; r++)
                std::copy_n(before(input) + (i * rows_before + input.paths[r]) * units, units,
                            state + (i * rows + r) * units);
        write_paths(input, sizes.max_cached_tokens);
        for (const Cell &cell : cells) {
            advance(cell, x, input.rows, state,
                    settings.cell_states > 1 ? state + rows * units : nullptr);
            x = state;
            state += settings.cell_states * rows * units;
        }
        return x;
    }
};

struct AttentionDecoder : RecurrentDecoder {
    RecurrentSourceAttention attention;

    AttentionDecoder(const RecurrentSettings &settings, const CellWeights *cells, int layers,
                     const RecurrentAttention &attention, const void *output)
        : RecurrentDecoder(settings, cells, layers, 1, heads_of(attention),
                           linear_of_shape(output, 2 * settings.units, settings.width)),
          attention(attention, settings.units) {}

    void step(const StepInput &input, float *decoder_hidden) const override {
        const size_t width = settings.width, units = settings.units, rows = input.rows;
        const size_t columns = settings.input_feeding ? 2 * width : width;
        float *x = workspace.states.reserve(rows * columns);
        embed_tokens(input, columns, x);
        if (settings.input_feeding) {
            const float *fed = before(input) + states() * input.past_rows[0] * units;
            for (size_t r = 0; r < rows; r++)
                std::copy_n(fed + input.paths[r] * width, width, x + r * columns + width);
        }
        const float *top = read_cells(input, x);
        float *contexts = workspace.attended.reserve(rows * units);
        if (settings.float16_keys_values)
            attention.attend<float16>(input, top, contexts);
        else
            attention.attend<float>(input, top, contexts);
        float *joined = workspace.normed.reserve(rows * 2 * units);
        for (size_t r = 0; r < rows; r++) {
            std::copy_n(contexts + r * units, units, joined + r * 2 * units);
            std::copy_n(top + r * units, units, joined + (r * 2 + 1) * units);
        }
        apply(*output, joined, input.rows, decoder_hidden);
        apply_tanh(decoder_hidden, rows, width);
        if (settings.input_feeding)
            std::copy_n(decoder_hidden, rows * width, after(input) + states() * rows * units);
    }
};

// A context vector of fixed length: as the initial state only, or at every step too. Then the
// memory of a sentence is what that adds to inputs and to hidden states, (sentences, 2, D).
struct ContextDecoder : RecurrentDecoder {
    bool every_step;

    ContextDecoder(const RecurrentSettings &settings, const CellWeights *cells, int layers,
                   bool every_step, const void *output)
        : RecurrentDecoder(settings, cells, layers, 0, 0,
                           linear_of_shape(output, settings.units, settings.width)),
          every_step(every_step) {}

    // Adds one of both vectors of its sentence to each row of x (N, D).
    void add_context(const StepInput &input, int which, float *x) const {
        if (!every_step) return;
        const size_t width = settings.width;
        const float *contexts = static_cast<const float *>(input.memory[0]);
        for (int r = 0; r < input.rows; r++, x += width) {
            const size_t sentence = input.sentences[r / input.rows_per_sentence];
            const float *own = contexts + (sentence * 2 + which) * width;
            for (size_t i = 0; i < width; i++) x[i] += own[i];
        }
    }

    void step(const StepInput &input, float *decoder_hidden) const override {
        const size_t width = settings.width, rows = input.rows;
        float *x = workspace.states.reserve(rows * width);
        embed_tokens(input, width, x);
        add_context(input, 0, x);
        apply(*output, read_cells(input, x), input.rows, decoder_hidden);
        add_context(input, 1, decoder_hidden);
        apply_tanh(decoder_hidden, rows, width);
    }
};

}  // namespace

// What Python calls

extern "C" {

// With `attention`, a decoder that attends to the source; otherwise one with a fixed context, which
// it reads at every step or only as its initial state.
void *recurrent_decoder_new(const RecurrentSettings *settings, const CellWeights *cells,
                            int32_t count, const RecurrentAttention *attention, int32_t every_step,
                            const void *output) {
    return guarded([&]() -> void * {
        std::unique_ptr<Decoder> decoder;
        if (attention)
            decoder = std::make_unique<AttentionDecoder>(*settings, cells, count, *attention,
                                                         output);
        else
            decoder = std::make_unique<ContextDecoder>(*settings, cells, count, every_step != 0,
                                                       output);
        return decoder.release();
    });
}

}  // extern "C"
