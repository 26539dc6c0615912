// Recurrent cells, token by token.

#include "layers.h"

namespace {

inline float plus(float a, float b) { return a + b; }
inline float minus(float a, float b) { return a - b; }
inline float times(float a, float b) { return a * b; }
inline Floats plus(Floats a, Floats b) { return add(a, b); }
inline Floats minus(Floats a, Floats b) { return multiply_add(b, spread(-1), a); }
inline Floats times(Floats a, Floats b) { return multiply(a, b); }

// Gates come in torch's order.
template <typename Number>
void lstm(Number input, Number forget, Number candidate, Number output, Number &cell,
          Number &hidden) {
    cell = plus(times(sigmoid(forget), cell), times(sigmoid(input), tangent(candidate)));
    hidden = times(sigmoid(output), tangent(cell));
}

template <typename Number>
void gru(Number reset, Number update, Number candidate, Number candidate_of_state,
         Number &hidden) {
    const Number kept = sigmoid(update);
    const Number fresh = tangent(plus(candidate, times(sigmoid(reset), candidate_of_state)));
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

}  // namespace

// What Python calls

extern "C" {

// Rows x (N, inputs) of a cell's inputs; hidden and cell (N, units) change in place, and `cell` is
// null in a GRU.
void cell_step(const void *from_input, const void *from_state, const float *x, int32_t rows,
               float *hidden, float *cell) {
    const Linear &input = *static_cast<const Linear *>(from_input);
    const Linear &state = *static_cast<const Linear *>(from_state);
    const size_t gates = input.outputs, units = state.inputs;
    float *of_input = workspace.wide.room(2 * rows * gates);
    float *of_state = of_input + rows * gates;
    apply(input, x, rows, of_input);
    apply(state, hidden, rows, of_state);
    for (int r = 0; r < rows; r++)
        recur(of_input + r * gates, of_state + r * gates, static_cast<int>(units),
              hidden + r * units, cell ? cell + r * units : nullptr);
}

}  // extern "C"
