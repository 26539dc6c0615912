// Matrix products of bfloat16 numbers: a linear layer and its gradients, where there are matrix tiles.
//
// What torch does with more passes over memory, or slower, is part of the product: the bias, weights in
// float32, ReLU and dropout, and gradients of weights, both of whose sides are turned
// (recipes/bench/LOG.md).
//
// Dimensions: N rows, I inputs, O outputs of a layer.

#include "../simd/bfloat16_tiles.h"
#include "random.h"

#ifdef HAS_TILES

namespace {

// So many blocks stay in a processor's own caches.
constexpr int DEPTH = 32;          // of rows of x, and of the weights they meet
constexpr int ROW_BLOCKS = 4;      // of x
constexpr int GROUP = 16;          // of columns of weights
constexpr int PART = 4;            // of rows of both sides of a gradient of weights
constexpr int COLUMN_BLOCKS = 32;  // of the wider side

// What becomes of sums on their way out, a row of a block at a time, whose first number goes to `place`.

struct AsTheyAre {
    void finish(Floats &, Floats &, int64_t) {}
};

struct Relu {
    void finish(Floats &first, Floats &rest, int64_t) {
        first = max(broadcast(0), first);
        rest = max(broadcast(0), rest);
    }
};

// ReLU, then dropout.
struct DroppedRelu {
    Random random;
    int threshold;

    void finish(Floats &first, Floats &rest, int64_t) {
        const Mask kept = bytes_at_least(random.next(), threshold);
        const Floats scale = broadcast(scale_of(threshold));
        first = zero_unset(kept, 0, multiply(max(broadcast(0), first), scale));
        rest = zero_unset(kept, 1, multiply(max(broadcast(0), rest), scale));
    }
};

// Slopes on their way back through `DroppedRelu`, whose results say what passed.
struct ReluBackward {
    const bfloat16 *results;
    float scale;

    void finish(Floats &first, Floats &rest, int64_t place) {
        first = zero_unless_positive(load(results + place), multiply(first, broadcast(scale)));
        rest = zero_unless_positive(load(results + place + 16), multiply(rest, broadcast(scale)));
    }
};

// Sums of a block that become results, plus a bias, while the tiles work on the next one.
struct PendingStore {
    const float *sums, *bias;
    bfloat16 *out = nullptr;  // null: there is nothing to leave
    int64_t place, step;   // of the first number, and between rows
    int rows, columns;     // that are real

    template <typename Finish>
    BFLOAT16_VECTORS inline void leave(int begin, int end, Finish &finish) const {
        if (!out) return;
        const Floats shift[2] = {load(bias), load(bias + 16)};
        const uint32_t stored = first_of_pair(columns);
        for (int r = begin; r < std::min(end, rows); r++) {
            Floats first = add(load(sums + r * SIDE), shift[0]);
            Floats rest = add(load(sums + r * SIDE + 16), shift[1]);
            const int64_t here = place + r * step;
            finish.finish(first, rest, here);
            store_pair(out + here, first, rest, stored);
        }
    }
};

struct Packed {
    AlignedBuffer<bfloat16> weights, left, right;
    AlignedBuffer<float> sums, bias;
};

thread_local Packed packed;

// ---------------------------------------------------------------------------------------------
// Products

// Weights (O, I), in blocks: those of the depth follow each other. The depth is the inputs, or
// `backward` the outputs; it is a multiple of SIDE.
template <bool backward>
const bfloat16 *pack_weights(const float *weight, int outputs, int inputs, int threads) {
    const int depth = (backward ? outputs : inputs) / SIDE;
    const int columns = backward ? inputs : outputs;
    bfloat16 *out = packed.weights.reserve(static_cast<size_t>(depth) * blocks_of(columns) * BLOCK);
    const size_t panel = static_cast<size_t>(depth) * BLOCK;
    if (backward)
        parallel_for(depth, threads, [=](int64_t k) {
            pack_rows(weight + k * SIDE * inputs, inputs, SIDE, inputs, out + k * BLOCK, panel);
        });
    else
        parallel_for(blocks_of(columns), threads, [=](int64_t n) {
            for (int k = 0; k < depth; k++)
                pack_columns(weight + n * SIDE * inputs + k * SIDE, inputs,
                             columns - static_cast<int>(n) * SIDE, out + n * panel + k * BLOCK);
        });
    return out;
}

// x (N, depth x 32) times packed weights, plus a bias -> out (N, columns). make(task) gives what finishes
// the rows of a task, which are the same for any number of threads.
template <typename Make>
void multiply_packed(const bfloat16 *x, int64_t rows, int depth, const bfloat16 *weights, const float *bias,
                     int columns, bfloat16 *out, int threads, Make &&make) {
    const int column_blocks = blocks_of(columns), width = depth * SIDE;
    const int parts = (depth + DEPTH - 1) / DEPTH;
    float *shift = packed.bias.reserve(static_cast<size_t>(column_blocks) * SIDE);
    std::fill_n(shift, column_blocks * SIDE, 0.0f);
    if (bias) std::copy_n(bias, columns, shift);
    parallel_for((blocks_of(rows) + ROW_BLOCKS - 1) / ROW_BLOCKS, threads, [=](int64_t task) {
        const int64_t first = task * ROW_BLOCKS * SIDE;
        const int here = static_cast<int>(std::min<int64_t>(ROW_BLOCKS * SIDE, rows - first));
        const int row_blocks = blocks_of(here);
        float *sums = packed.sums.reserve(static_cast<size_t>(SUMS) *
                                       (parts == 1 ? 2 : row_blocks * column_blocks));
        bfloat16 *packed_left = packed.left.reserve(static_cast<size_t>(ROW_BLOCKS) * DEPTH * BLOCK);
        const auto left_from = [=](int m, int from) {
            const int64_t row = first + m * SIDE;
            return LeftPacking{x + row * width + from * SIDE, width, static_cast<int>(rows - row),
                        std::min(DEPTH, depth - from), packed_left + static_cast<size_t>(m) * DEPTH * BLOCK};
        };
        auto finish = make(task);
        PendingStore before;
        int turn = 0;
        configure_tiles(TILE_ROWS);
        for (int from = 0; from < depth; from += DEPTH) {
            const int count = std::min(DEPTH, depth - from);
            const bool last = from + count == depth;
            left_from(0, from).pack(0, SIDE);
            for (int group = 0; group < column_blocks; group += GROUP)
                for (int m = 0; m < row_blocks; m++) {
                    const int end = std::min(group + GROUP, column_blocks);
                    const bool packs = group == 0 && m + 1 < row_blocks;
                    for (int n = group; n < end; n++) {
                        float *block = sums + static_cast<size_t>(SUMS) *
                                                  (parts == 1 ? turn ^= 1 : n * row_blocks + m);
                        accumulate(packed_left + static_cast<size_t>(m) * DEPTH * BLOCK,
                               weights + (static_cast<size_t>(n) * depth + from) * BLOCK, count,
                               from == 0, block, [&](int k, int all) {
                                   before.leave(SIDE * k / all, SIDE * (k + 1) / all, finish);
                               });
                        if (packs) left_from(m + 1, from).pack(SIDE * n / end, SIDE * (n + 1) / end);
                        before.out = nullptr;
                        if (last)
                            before = {block, shift + n * SIDE, out,
                                      (first + m * SIDE) * columns + n * SIDE, columns,
                                      here - m * SIDE, columns - n * SIDE};
                    }
                }
        }
        before.leave(0, SIDE, finish);
        release_tiles();
    });
}

// A block of sums of a gradient of weights, as it is or turned.
inline void leave_gradient(const float *sums, bool turned, int rows, int columns, float *out,
                           int64_t step) {
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            Floats part[16];
            for (int r = 0; r < 16; r++) part[r] = load(sums + (16 * i + r) * SIDE + 16 * j);
            if (turned) ::transpose(part);
            const int top = 16 * (turned ? j : i), left = 16 * (turned ? i : j);
            const int count = std::min(16, columns - left);
            if (count <= 0) continue;
            for (int r = 0; r < 16 && top + r < rows; r++)
                store_first(out + (top + r) * step + left, part[r], count);
        }
}

// The sums over N rows of gradient (N, O) times x (N, I) -> out (O, I), and, unless null, those of the
// gradient alone (O,). The narrower side is turned.
void multiply_turned(const bfloat16 *gradient, int outputs, const bfloat16 *x, int inputs, int64_t rows,
                     float *out, float *sums_out, int threads) {
    if (!rows) {
        std::fill_n(out, static_cast<size_t>(outputs) * inputs, 0.0f);
        if (sums_out) std::fill_n(sums_out, outputs, 0.0f);
        return;
    }
    const bool turned = inputs < outputs;
    const bfloat16 *left = turned ? x : gradient, *right = turned ? gradient : x;
    const int left_width = turned ? inputs : outputs, right_width = turned ? outputs : inputs;
    const int depth = blocks_of(rows), padded_depth = (depth + PART - 1) / PART * PART;
    const int left_blocks = blocks_of(left_width), right_blocks = blocks_of(right_width);
    const int tasks = std::max(1, std::min(threads, left_blocks));
    parallel_for(tasks, threads, [=](int64_t task) {
        const int begin = static_cast<int>(left_blocks * task / tasks);
        const int end = static_cast<int>(left_blocks * (task + 1) / tasks), count = end - begin;
        bfloat16 *own = packed.left.reserve(static_cast<size_t>(count) * padded_depth * BLOCK);
        bfloat16 *other = packed.right.reserve(static_cast<size_t>(COLUMN_BLOCKS) * PART * BLOCK);
        float *sums = packed.sums.reserve(static_cast<size_t>(count) * COLUMN_BLOCKS * SUMS);
        const auto rows_from = [=](int k) {
            return static_cast<int>(std::min<int64_t>(SIDE, rows - int64_t{k} * SIDE));
        };
        const int wide = std::min(left_width, end * SIDE) - begin * SIDE;
        const bool sums_left = sums_out && !turned, sums_right = sums_out && turned && task == 0;
        const int summed = sums_left ? wide : sums_right ? right_width : 0;
        float *column_sums = packed.bias.reserve(static_cast<size_t>(blocks_of(summed)) * SIDE);
        std::fill_n(column_sums, blocks_of(summed) * SIDE, 0.0f);
        const auto pack = [=](const bfloat16 *x, int64_t step, int rows, int columns, bfloat16 *out,
                              float *sums) {
            if (sums)
                pack_rows<true>(x, step, rows, columns, out, PART * BLOCK, sums);
            else
                pack_rows(x, step, rows, columns, out, PART * BLOCK);
        };
        const auto left_at = [=](int m, int k) {  // those of a part follow each other
            return own + (static_cast<size_t>(k / PART * PART) * count + m * PART + k % PART) * BLOCK;
        };
        configure_tiles(TILE_ROWS);
        for (int group = 0; group < right_blocks; group += COLUMN_BLOCKS) {
            const int here = std::min(COLUMN_BLOCKS, right_blocks - group);
            for (int from = 0; from < depth; from += PART) {
                const int steps = std::min(PART, depth - from);
                for (int k = from; k < from + steps; k++) {
                    pack(right + int64_t{k} * SIDE * right_width + group * SIDE, right_width,
                         rows_from(k), std::min(here * SIDE, right_width - group * SIDE),
                         other + static_cast<size_t>(k - from) * BLOCK,
                         sums_right ? column_sums + group * SIDE : nullptr);
                    if (group) continue;
                    pack(left + int64_t{k} * SIDE * left_width + begin * SIDE, left_width,
                         rows_from(k), wide, left_at(0, k), sums_left ? column_sums : nullptr);
                    for (int m = 0; m < count; m++) transpose_block(left_at(m, k));
                }
                for (int n = 0; n < here; n++)
                    for (int m = 0; m < count; m++)
                        accumulate(left_at(m, from), other + static_cast<size_t>(n) * PART * BLOCK, steps,
                               from == 0, sums + (static_cast<size_t>(n) * count + m) * SUMS,
                               [](int, int) {});
            }
            for (int n = 0; n < here; n++)
                for (int m = 0; m < count; m++) {
                    const int row = (begin + m) * SIDE, column = (group + n) * SIDE;
                    const int top = turned ? column : row, side = turned ? row : column;
                    leave_gradient(sums + (static_cast<size_t>(n) * count + m) * SUMS, turned,
                                   outputs - top, inputs - side, out + int64_t{top} * inputs + side,
                                   inputs);
                }
        }
        release_tiles();
        std::copy_n(column_sums, summed, sums_out + (sums_left ? begin * SIDE : 0));
    });
}

}  // namespace

extern "C" {

// x (N, I), weight (O, I) of float32 and bias (O,) or null -> out (N, O). Inputs are a multiple of SIDE.
void train_linear(int32_t, const bfloat16 *x, int64_t rows, int32_t inputs, const float *weight,
                  const float *bias, int32_t outputs, bfloat16 *out, int32_t threads) {
    const bfloat16 *weights = pack_weights<false>(weight, outputs, inputs, threads);
    multiply_packed(x, rows, inputs / SIDE, weights, bias, outputs, out, threads,
                    [](int64_t) { return AsTheyAre{}; });
}

// The same after ReLU and dropout.
void train_linear_dropped_relu(int32_t, const bfloat16 *x, int64_t rows, int32_t inputs,
                               const float *weight, const float *bias, int32_t outputs, bfloat16 *out,
                               int32_t threshold, int64_t seed, int32_t threads) {
    const bfloat16 *weights = pack_weights<false>(weight, outputs, inputs, threads);
    if (threshold)
        multiply_packed(x, rows, inputs / SIDE, weights, bias, outputs, out, threads,
                        [=](int64_t task) { return DroppedRelu{Random(seed, task), threshold}; });
    else
        multiply_packed(x, rows, inputs / SIDE, weights, bias, outputs, out, threads,
                        [](int64_t) { return Relu{}; });
}

// gradient (N, O), weight (O, I) -> out (N, I). Outputs are a multiple of SIDE.
void train_linear_input(int32_t, const bfloat16 *gradient, int64_t rows, int32_t inputs,
                        const float *weight, int32_t outputs, bfloat16 *out, int32_t threads) {
    const bfloat16 *weights = pack_weights<true>(weight, outputs, inputs, threads);
    multiply_packed(gradient, rows, outputs / SIDE, weights, nullptr, inputs, out, threads,
                    [](int64_t) { return AsTheyAre{}; });
}

// The same on its way back through ReLU and dropout, whose results (N, I) say what passed. Inputs are a
// multiple too.
void train_linear_input_passed(int32_t, const bfloat16 *gradient, int64_t rows, int32_t inputs,
                               const float *weight, int32_t outputs, const bfloat16 *results,
                               float scale, bfloat16 *out, int32_t threads) {
    const bfloat16 *weights = pack_weights<true>(weight, outputs, inputs, threads);
    multiply_packed(gradient, rows, outputs / SIDE, weights, nullptr, inputs, out, threads,
                    [=](int64_t) { return ReluBackward{results, scale}; });
}

// gradient (N, O), x (N, I) -> those of weights (O, I) and bias (O,), or null, in float32
void train_linear_weight(int32_t, const bfloat16 *gradient, int64_t rows, int32_t inputs, const bfloat16 *x,
                         int32_t outputs, float *of_weight, float *of_bias, int32_t threads) {
    multiply_turned(gradient, outputs, x, inputs, rows, of_weight, of_bias, threads);
}

}  // extern "C"

#endif

extern "C" {

// Whether the products above are there, and the processor can do them.
int32_t train_multiplies() { return tiles_multiply_bfloat16(); }

}  // extern "C"
