// LSTM cells, one token at a time, and their gradients.

#include "step.h"

namespace {

constexpr int CELL_ROWS = 16;  // rows in a task of a thread

// Calls work(row, i, count) for each vector of units, from index i on, of each row. `count` is
// LANES, or less at the end of a row.
template <typename Work> void each_unit(int rows, int units, int threads, Work &&work) {
    parallel_for((rows + CELL_ROWS - 1) / CELL_ROWS, threads, [&](int64_t block) {
        const int64_t end = std::min<int64_t>(rows, (block + 1) * CELL_ROWS);
        for (int64_t row = block * CELL_ROWS; row < end; row++)
            for (int i = 0; i < units; i += LANES) work(row, i, std::min(LANES, units - i));
    });
}

template <typename T> inline Floats load_part(const T *p, int count) {
    if (count == LANES) return load(p);
    alignas(64) float lanes[LANES];
    load_row(p, count, LANES, lanes);
    return load(lanes);
}

template <typename T> inline void store_part(T *p, Floats x, int count) {
    if (count == LANES) return store(p, x);
    alignas(64) float lanes[LANES];
    store(lanes, x);
    store_row(lanes, count, p);
}

inline Floats one_minus(Floats x) { return multiply_add(x, broadcast(-1), broadcast(1)); }

// One token of an LSTM. `gates` (rows, 4 units) is the part of the gates' inputs that comes from
// the hidden state, `inputs` the part that comes from the token, in torch's order of gates. Gates
// are replaced by their activations.
template <typename T>
void lstm(T *gates, const T *inputs, const float *cell, float *cell_after, T *hidden, int rows,
          int units, int threads) {
    each_unit(rows, units, threads, [&](int64_t row, int i, int count) {
        Floats gate[4];
        for (int g = 0; g < 4; g++) {
            const int64_t at = (row * 4 + g) * units + i;
            const Floats sum = add(load_part(gates + at, count), load_part(inputs + at, count));
            gate[g] = g == 2 ? hyperbolic_tangent(sum) : sigmoid(sum);
            store_part(gates + at, gate[g], count);
        }
        const int64_t at = row * units + i;
        const Floats kept_cell = multiply(gate[1], load_part(cell + at, count));
        const Floats after = multiply_add(gate[0], gate[2], kept_cell);
        store_part(cell_after + at, after, count);
        store_part(hidden + at, multiply(gate[3], hyperbolic_tangent(after)), count);
    });
}

// The gradient of the hidden state is the sum of two, from the layer above and from the next token.
// Writes the gradient of the gates' inputs (rows, 4 units), and replaces that of the cell state
// after this token by that of the cell state before it.
template <typename T>
void lstm_backward(const T *gates, const float *cell, const float *cell_after, const T *grad_above,
                   const T *grad_carried, float *grad_cell, T *grad_gates, int rows, int units,
                   int threads) {
    each_unit(rows, units, threads, [&](int64_t row, int i, int count) {
        Floats gate[4], grad_gate[4];
        for (int g = 0; g < 4; g++) gate[g] = load_part(gates + (row * 4 + g) * units + i, count);
        const int64_t at = row * units + i;
        const Floats grad_hidden =
            add(load_part(grad_above + at, count), load_part(grad_carried + at, count));
        const Floats activated = hyperbolic_tangent(load_part(cell_after + at, count));
        const Floats tangent_slope = one_minus(multiply(activated, activated));
        const Floats grad_after = multiply_add(multiply(grad_hidden, gate[3]), tangent_slope,
                                               load_part(grad_cell + at, count));
        grad_gate[0] = multiply(grad_after, gate[2]);
        grad_gate[1] = multiply(grad_after, load_part(cell + at, count));
        grad_gate[2] =
            multiply(multiply(grad_after, gate[0]), one_minus(multiply(gate[2], gate[2])));
        grad_gate[3] = multiply(grad_hidden, activated);
        for (int g : {0, 1, 3})
            grad_gate[g] = multiply(grad_gate[g], multiply(gate[g], one_minus(gate[g])));
        for (int g = 0; g < 4; g++)
            store_part(grad_gates + (row * 4 + g) * units + i, grad_gate[g], count);
        store_part(grad_cell + at, multiply(grad_after, gate[1]), count);
    });
}

}  // namespace

extern "C" {

void train_lstm(int32_t is_bfloat16, void *gates, const void *inputs, const float *cell,
                float *cell_after, void *hidden, int32_t rows, int32_t units, int32_t threads) {
    guarded([&] {
        DISPATCH_TYPE(is_bfloat16,
                      lstm(static_cast<T *>(gates), static_cast<const T *>(inputs), cell,
                           cell_after, static_cast<T *>(hidden), rows, units, threads))
    });
}

void train_lstm_backward(int32_t is_bfloat16, const void *gates, const float *cell,
                         const float *cell_after, const void *grad_above, const void *grad_carried,
                         float *grad_cell, void *grad_gates, int32_t rows, int32_t units,
                         int32_t threads) {
    guarded([&] {
        DISPATCH_TYPE(is_bfloat16,
                      lstm_backward(static_cast<const T *>(gates), cell, cell_after,
                                    static_cast<const T *>(grad_above),
                                    static_cast<const T *>(grad_carried), grad_cell,
                                    static_cast<T *>(grad_gates), rows, units, threads))
    });
}

}  // extern "C"
