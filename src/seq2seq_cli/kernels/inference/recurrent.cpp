// Recurrent cells, one token at a time, and the decoder of RNNs with attention.
//
// Dimensions: N rows of hypotheses, D width, U units.

#include "decoding.h"

namespace {

inline float plus(float a, float b) { return a + b; }
inline float minus(float a, float b) { return a - b; }
inline float times(float a, float b) { return a * b; }
inline Floats plus(Floats a, Floats b) { return add(a, b); }
inline Floats minus(Floats a, Floats b) { return multiply_add(b, broadcast(-1), a); }
inline Floats times(Floats a, Floats b) { return multiply(a, b); }

// Gates come in torch's order.
template <typename Number>
void lstm(Number input, Number forget, Number candidate, Number output, Number &cell,
          Number &hidden) {
    cell = plus(times(sigmoid(forget), cell), times(sigmoid(input), hyperbolic_tangent(candidate)));
    hidden = times(sigmoid(output), hyperbolic_tangent(cell));
}

template <typename Number>
void gru(Number reset, Number update, Number candidate, Number candidate_of_state, Number &hidden) {
    const Number kept_hidden = sigmoid(update);
    const Number candidate_hidden =
        hyperbolic_tangent(plus(candidate, times(sigmoid(reset), candidate_of_state)));
    hidden = plus(times(kept_hidden, hidden),
                  minus(candidate_hidden, times(kept_hidden, candidate_hidden)));
}

// Updates the state of one row in place. `from_input` and `from_state` are the two summands of the
// gates' inputs, (gates, units). `cell` is null in a GRU.
void recur(const float *from_input, const float *from_state, int units, float *hidden,
           float *cell) {
    const auto gate_input = [&](int gate, int i) {
        const int at = gate * units + i;
        return add(load(from_input + at), load(from_state + at));
    };
    const auto gate_input_at = [&](int gate, int i) {
        return from_input[gate * units + i] + from_state[gate * units + i];
    };
    int i = 0;
    for (; i + LANES <= units; i += LANES) {
        Floats h = load(hidden + i);
        if (cell) {
            Floats c = load(cell + i);
            lstm(gate_input(0, i), gate_input(1, i), gate_input(2, i), gate_input(3, i), c, h);
            store(cell + i, c);
        } else {
            gru(gate_input(0, i), gate_input(1, i), load(from_input + 2 * units + i),
                load(from_state + 2 * units + i), h);
        }
        store(hidden + i, h);
    }
    for (; i < units; i++) {
        if (cell)
            lstm(gate_input_at(0, i), gate_input_at(1, i), gate_input_at(2, i), gate_input_at(3, i),
                 cell[i], hidden[i]);
        else
            gru(gate_input_at(0, i), gate_input_at(1, i), from_input[2 * units + i],
                from_state[2 * units + i], hidden[i]);
    }
}

// Reads x (N, inputs); updates hidden and cell (N, units) in place. `cell` is null in a GRU.
void advance(const Linear &input, const Linear &state, const float *x, int rows, float *hidden,
             float *cell) {
    const size_t gates = input.outputs, units = state.inputs;
    float *from_input = workspace.wide.reserve(2 * rows * gates);
    float *from_state = from_input + rows * gates;
    apply(input, x, rows, from_input);
    apply(state, hidden, rows, from_state);
    for (int r = 0; r < rows; r++)
        recur(from_input + r * gates, from_state + r * gates, static_cast<int>(units),
              hidden + r * units, cell ? cell + r * units : nullptr);
}

// Layers of cells, then attention to the source by dot products.
struct RecurrentDecoder : Decoder {
    struct Cell {
        const Linear *from_input, *from_state;
    };

    RecurrentSettings settings;
    std::vector<Cell> cells;
    const Linear *output;  // (context, hidden) -> hidden state of the decoder

    // The cache holds the last token only: for each layer the components of its state (N, U), and
    // the hidden state of the decoder (N, D) if that is fed.
    RecurrentDecoder(const RecurrentSettings &settings, int layers)
        : Decoder({settings.width, 1,
                   static_cast<int64_t>(sizeof(float)) *
                       (layers * settings.cell_states * settings.units +
                        (settings.input_feeding ? settings.width : 0)),
                   1, 1}),
          settings(settings) {}

    template <typename Cached> void read(const StepInput &input, float *decoder_hidden) const {
        const size_t width = settings.width, units = settings.units, rows = input.rows;
        const size_t states = cells.size() * settings.cell_states, rows_before = input.past_rows[0];
        const size_t read = settings.input_feeding ? 2 * width : width;
        const float *before = static_cast<const float *>(input.past[0]);
        float *after = static_cast<float *>(input.past[1]);
        float *x = workspace.states.reserve(rows * read);
        for (size_t r = 0; r < rows; r++) {
            const size_t from = input.paths[r];
            embed(input.embedding, input.tokens[r], 1.0f, nullptr, width, x + r * read);
            for (size_t i = 0; i < states; i++)
                std::copy_n(before + (i * rows_before + from) * units, units,
                            after + (i * rows + r) * units);
            if (settings.input_feeding)
                std::copy_n(before + states * rows_before * units + from * width, width,
                            x + r * read + width);
        }
        write_paths(input, sizes.max_cached_tokens);
        for (size_t i = 0; i < cells.size(); i++) {
            float *state = after + i * settings.cell_states * rows * units;
            advance(*cells[i].from_input, *cells[i].from_state, x, input.rows, state,
                    settings.cell_states > 1 ? state + rows * units : nullptr);
            x = state;
        }
        float *attended = workspace.attended.reserve(rows * units);
        attend_to_sources<Cached>(input, 0, x, 1, settings.units, settings.scale, attended, 0);
        float *joined = workspace.normed.reserve(rows * 2 * units);
        for (size_t r = 0; r < rows; r++) {
            std::copy_n(attended + r * units, units, joined + r * 2 * units);
            std::copy_n(x + r * units, units, joined + (r * 2 + 1) * units);
        }
        apply(*output, joined, input.rows, decoder_hidden);
        for (size_t r = 0; r < rows;
             r++) {  // row by row, so that rounding does not depend on the index of a row
            float *row = decoder_hidden + r * width;
            size_t i = 0;
            for (; i + LANES <= width; i += LANES)
                store(row + i, hyperbolic_tangent(load(row + i)));
            for (; i < width; i++) row[i] = hyperbolic_tangent(row[i]);
        }
        if (settings.input_feeding)
            std::copy_n(decoder_hidden, rows * width, after + states * rows * units);
    }

    void step(const StepInput &input, float *decoder_hidden) const override {
        if (settings.float16_keys_values)
            read<float16>(input, decoder_hidden);
        else
            read<float>(input, decoder_hidden);
    }
};

}  // namespace

// What Python calls

extern "C" {

void *recurrent_decoder_new(const RecurrentSettings *settings, const CellWeights *cells,
                            int32_t count, const void *output) {
    return guarded([&]() -> void * {
        auto decoder = std::make_unique<RecurrentDecoder>(*settings, count);
        decoder->output = linear(output);
        for (int i = 0; i < count; i++)
            decoder->cells.push_back({linear(cells[i].from_input), linear(cells[i].from_state)});
        return static_cast<Decoder *>(decoder.release());
    });
}

}  // extern "C"
