// Recurrent cells: LSTM (Hochreiter 1997) and GRU (Cho 2014).
//
// Dimensions: N rows, U units.

#pragma once

#include "layers.h"

namespace {

struct Cell {
    const Linear *from_input, *from_state;

    int units() const { return from_state->inputs; }
    int gate_inputs() const { return from_state->outputs; }  // of all gates
};

// A cell as Python hands it over. Throws if its layers do not have the shapes of the settings.
inline Cell cell_of_shape(const CellWeights &weights, int inputs, int units, int cell_states) {
    const int gate_inputs = (cell_states > 1 ? 4 : 3) * units;
    return {linear_of_shape(weights.from_input, inputs, gate_inputs),
            linear_of_shape(weights.from_state, units, gate_inputs)};
}

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
inline void recur(const float *from_input, const float *from_state, int units, float *hidden,
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

// The hyperbolic tangent of x (rows, width), in place. Row by row, so that rounding does not depend
// on the index of a row.
inline void apply_tanh(float *x, size_t rows, size_t width) {
    for (size_t r = 0; r < rows; r++, x += width) {
        size_t i = 0;
        for (; i + LANES <= width; i += LANES) store(x + i, hyperbolic_tangent(load(x + i)));
        for (; i < width; i++) x[i] = hyperbolic_tangent(x[i]);
    }
}

}  // namespace
