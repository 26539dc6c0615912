// Recurrent cells, token by token, and a step of the decoder with attention that is made of them.
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
void gru(Number reset, Number update, Number candidate, Number candidate_of_state,
         Number &hidden) {
    const Number kept = sigmoid(update);
    const Number fresh = hyperbolic_tangent(plus(candidate, times(sigmoid(reset), candidate_of_state)));
    hidden = plus(times(kept, hidden), minus(fresh, times(kept, fresh)));
}

// One row: `from_input` and `from_state` hold the gates side by side; the state changes in place.
// `cell` is null in a GRU.
void recur(const float *from_input, const float *from_state, int units, float *hidden,
           float *cell) {
    const auto both = [&](int gate, int i) {
        const int at = gate * units + i;
        return add(load(from_input + at), load(from_state + at));
    };
    const auto both_alone = [&](int gate, int i) {
        return from_input[gate * units + i] + from_state[gate * units + i];
    };
    int i = 0;
    for (; i + LANES <= units; i += LANES) {
        Floats h = load(hidden + i);
        if (cell) {
            Floats c = load(cell + i);
            lstm(both(0, i), both(1, i), both(2, i), both(3, i), c, h);
            store(cell + i, c);
        } else {
            gru(both(0, i), both(1, i), load(from_input + 2 * units + i),
                load(from_state + 2 * units + i), h);
        }
        store(hidden + i, h);
    }
    for (; i < units; i++) {
        if (cell)
            lstm(both_alone(0, i), both_alone(1, i), both_alone(2, i), both_alone(3, i), cell[i],
                 hidden[i]);
        else
            gru(both_alone(0, i), both_alone(1, i), from_input[2 * units + i],
                from_state[2 * units + i], hidden[i]);
    }
}

// Rows x (N, inputs) of a cell's inputs; hidden and cell (N, units) change in place, and `cell` is
// null in a GRU.
void advance(const Linear &input, const Linear &state, const float *x, int rows, float *hidden,
             float *cell) {
    const size_t gates = input.outputs, units = state.inputs;
    float *of_input = workspace.wide.reserve(2 * rows * gates);
    float *of_state = of_input + rows * gates;
    apply(input, x, rows, of_input);
    apply(state, hidden, rows, of_state);
    for (int r = 0; r < rows; r++)
        recur(of_input + r * gates, of_state + r * gates, static_cast<int>(units),
              hidden + r * units, cell ? cell + r * units : nullptr);
}

}  // namespace

// Shared with `native/recurrent.py`, field by field.

struct RecurrentSettings {
    int32_t width, units;
    int32_t parts;    // of a cell's state: h, and in an LSTM c
    int32_t feeding;  // whether the last features are read with a token
    int32_t halves;   // whether keys and values are kept as float16
    float scale;      // of the dot products with keys
};

struct CellParts {
    const void *from_input, *from_state;
};

namespace {

// Of layers of cells, then attention to the source by dot products.
struct AttendingDecoder : Decoder {
    struct Cell {
        const Linear *from_input, *from_state;
    };

    RecurrentSettings settings;
    std::vector<Cell> cells;
    const Linear *output;  // (context, hidden) -> features

    // Of the last token the states (N, U) of each layer's parts are kept, and the features (N, D)
    // where they are fed.
    AttendingDecoder(const RecurrentSettings &settings, int layers)
        : Decoder({settings.width, 1,
                   static_cast<int64_t>(sizeof(float)) *
                       (layers * settings.parts * settings.units +
                        (settings.feeding ? settings.width : 0))}),
          settings(settings) {}

    template <typename Cached> void read(const StepInput &around, float *features) const {
        const size_t width = settings.width, units = settings.units, rows = around.rows;
        const size_t states = cells.size() * settings.parts, rows_before = around.past_rows[0];
        const size_t read = settings.feeding ? 2 * width : width;
        const float *before = static_cast<const float *>(around.past[0]);
        float *after = static_cast<float *>(around.past[1]);
        float *x = workspace.states.reserve(rows * read);
        for (size_t r = 0; r < rows; r++) {
            const size_t from = around.paths[r];
            embed(around.embedding, around.tokens[r], 1.0f, nullptr, width, x + r * read);
            for (size_t i = 0; i < states; i++)
                std::copy_n(before + (i * rows_before + from) * units, units,
                            after + (i * rows + r) * units);
            if (settings.feeding)
                std::copy_n(before + states * rows_before * units + from * width, width,
                            x + r * read + width);
        }
        note_paths(around, sizes.most);
        for (size_t i = 0; i < cells.size(); i++) {
            float *state = after + i * settings.parts * rows * units;
            advance(*cells[i].from_input, *cells[i].from_state, x, around.rows, state,
                    settings.parts > 1 ? state + rows * units : nullptr);
            x = state;
        }
        float *attended = workspace.attended.reserve(rows * units);
        attend_to_sources<Cached>(around, 0, x, 1, settings.units, settings.scale, attended);
        float *joined = workspace.normed.reserve(rows * 2 * units);
        for (size_t r = 0; r < rows; r++) {
            std::copy_n(attended + r * units, units, joined + r * 2 * units);
            std::copy_n(x + r * units, units, joined + (r * 2 + 1) * units);
        }
        apply(*output, joined, around.rows, features);
        for (size_t r = 0; r < rows; r++) {  // each by itself, or its place would decide its rounding
            float *row = features + r * width;
            size_t i = 0;
            for (; i + LANES <= width; i += LANES) store(row + i, hyperbolic_tangent(load(row + i)));
            for (; i < width; i++) row[i] = hyperbolic_tangent(row[i]);
        }
        if (settings.feeding) std::copy_n(features, rows * width, after + states * rows * units);
    }

    void step(const StepInput &around, float *features) const override {
        if (settings.halves)
            read<float16>(around, features);
        else
            read<float>(around, features);
    }
};

}  // namespace

// What Python calls

extern "C" {

void cell_step(const void *from_input, const void *from_state, const float *x, int32_t rows,
               float *hidden, float *cell) {
    advance(*linear(from_input), *linear(from_state), x, rows, hidden, cell);
}

void *attending_decoder_new(const RecurrentSettings *settings, const CellParts *cells, int32_t count,
                            const void *output) {
    auto decoder = std::make_unique<AttendingDecoder>(*settings, count);
    decoder->output = linear(output);
    for (int i = 0; i < count; i++)
        decoder->cells.push_back({linear(cells[i].from_input), linear(cells[i].from_state)});
    return static_cast<Decoder *>(decoder.release());
}

}  // extern "C"
