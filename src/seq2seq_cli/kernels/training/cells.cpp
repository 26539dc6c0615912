// The cells of an LSTM, token by token, and their gradients.

#include "step.h"

namespace {

constexpr int CELL_ROWS = 16;  // worked on at a time

// Calls work(row, place, count) for each vector of each row of units; count is LANES, but for those
// at the end that fill none.
template <typename Work> void each_unit(int rows, int units, int threads, Work &&work) {
    parallel_for((rows + CELL_ROWS - 1) / CELL_ROWS, threads, [&](int64_t block) {
        const int64_t end = std::min<int64_t>(rows, (block + 1) * CELL_ROWS);
        for (int64_t row = block * CELL_ROWS; row < end; row++)
            for (int i = 0; i < units; i += LANES)
                work(row, i, std::min(LANES, units - i));
    });
}

template <typename T> inline Floats load_some(const T *p, int count) {
    if (count == LANES) return load(p);
    alignas(64) float some[LANES];
    load_row(p, count, LANES, some);
    return load(some);
}

template <typename T> inline void store_some(T *p, Floats x, int count) {
    if (count == LANES) return store(p, x);
    alignas(64) float some[LANES];
    store(some, x);
    store_row(some, count, p);
}

inline Floats less_than_one(Floats x) { return multiply_add(x, broadcast(-1), broadcast(1)); }

// One token of an LSTM, its gates (rows, 4 units) in torch's order. `gates` holds what comes from
// the state before, `inputs` what comes from the token; gates become what they let through.
template <typename T>
void lstm(T *gates, const T *inputs, const float *cell, float *cell_after, T *hidden, int rows,
          int units, int threads) {
    each_unit(rows, units, threads, [&](int64_t row, int i, int count) {
        Floats gate[4];
        for (int g = 0; g < 4; g++) {
            const int64_t at = (row * 4 + g) * units + i;
            const Floats sum = add(load_some(gates + at, count), load_some(inputs + at, count));
            gate[g] = g == 2 ? hyperbolic_tangent(sum) : sigmoid(sum);
            store_some(gates + at, gate[g], count);
        }
        const int64_t at = row * units + i;
        const Floats kept = multiply(gate[1], load_some(cell + at, count));
        const Floats after = multiply_add(gate[0], gate[2], kept);
        store_some(cell_after + at, after, count);
        store_some(hidden + at, multiply(gate[3], hyperbolic_tangent(after)), count);
    });
}

// From the gradients of the hidden state, which come from above and from the token after, and of the
// cell after it: the slopes of the gates' sums, and in place that of the cell before.
template <typename T>
void lstm_backward(const T *gates, const float *cell, const float *cell_after, const T *above,
                   const T *carried, float *of_cell, T *slopes, int rows, int units, int threads) {
    each_unit(rows, units, threads, [&](int64_t row, int i, int count) {
        Floats gate[4], slope[4];
        for (int g = 0; g < 4; g++)
            gate[g] = load_some(gates + (row * 4 + g) * units + i, count);
        const int64_t at = row * units + i;
        const Floats of_hidden = add(load_some(above + at, count), load_some(carried + at, count));
        const Floats shown = hyperbolic_tangent(load_some(cell_after + at, count));
        const Floats through = less_than_one(multiply(shown, shown));
        const Floats own = multiply_add(multiply(of_hidden, gate[3]), through,
                                        load_some(of_cell + at, count));
        slope[0] = multiply(own, gate[2]);
        slope[1] = multiply(own, load_some(cell + at, count));
        slope[2] = multiply(multiply(own, gate[0]), less_than_one(multiply(gate[2], gate[2])));
        slope[3] = multiply(of_hidden, shown);
        for (int g : {0, 1, 3})
            slope[g] = multiply(slope[g], multiply(gate[g], less_than_one(gate[g])));
        for (int g = 0; g < 4; g++)
            store_some(slopes + (row * 4 + g) * units + i, slope[g], count);
        store_some(of_cell + at, multiply(own, gate[1]), count);
    });
}

}  // namespace

extern "C" {

void train_lstm(int32_t is_bfloat16, void *gates, const void *inputs, const float *cell,
                float *cell_after, void *hidden, int32_t rows, int32_t units, int32_t threads) {
    DISPATCH_TYPE(is_bfloat16, lstm(static_cast<T *>(gates), static_cast<const T *>(inputs), cell,
                               cell_after, static_cast<T *>(hidden), rows, units, threads))
}

void train_lstm_backward(int32_t is_bfloat16, const void *gates, const float *cell,
                         const float *cell_after, const void *above, const void *carried,
                         float *of_cell, void *slopes, int32_t rows, int32_t units,
                         int32_t threads) {
    DISPATCH_TYPE(is_bfloat16,
                   lstm_backward(static_cast<const T *>(gates), cell, cell_after,
                                 static_cast<const T *>(above), static_cast<const T *>(carried),
                                 of_cell, static_cast<T *>(slopes), rows, units, threads))
}

}  // extern "C"
