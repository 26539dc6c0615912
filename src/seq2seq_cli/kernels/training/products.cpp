// Matrix products of bfloat16 numbers in matrix tiles: a linear layer and its gradients.
//
// Products include what torch does in passes over memory of their own, or more slowly: the bias,
// float32 weights, ReLU and dropout, and gradients of weights, for which both sides are transposed
// (recipes/bench/LOG.md).
//
// Dimensions: N rows, I inputs, O outputs of a layer.

#include "../simd/bfloat16_tiles.h"
#include "random.h"

#ifdef HAS_TILES

namespace {

// Numbers of blocks that are worked on together, which a core's caches hold.
constexpr int DEPTH = 32;          // of the depth of x and of weights
constexpr int ROW_BLOCKS = 4;      // of rows of x
constexpr int GROUP = 16;          // of columns of weights
constexpr int CHUNK = 4;           // of the depth (rows of both sides) of a gradient of weights
constexpr int COLUMN_BLOCKS = 32;  // of columns of the wider side of such a gradient

// Epilogues: finish(first, rest, index) changes 32 sums of a row before they are stored from
// `index` on.

struct NoEpilogue {
    void finish(Floats &, Floats &, int64_t) {}
};

struct Relu {
    void finish(Floats &first, Floats &rest, int64_t) {
        first = max(broadcast(0), first);
        rest = max(broadcast(0), rest);
    }
};

// ReLU, then dropout.
struct ReluDropout {
    Random random;
    int threshold;

    void finish(Floats &first, Floats &rest, int64_t) {
        const Mask kept = bytes_at_least(random.next(), threshold);
        const Floats scale = broadcast(scale_of(threshold));
        first = zero_unset(kept, 0, multiply(max(broadcast(0), first), scale));
        rest = zero_unset(kept, 1, multiply(max(broadcast(0), rest), scale));
    }
};

// The backward pass of `ReluDropout`, from its results: gradients remain where these are positive.
struct ReluDropoutBackward {
    const bfloat16 *results;
    float scale;

    void finish(Floats &first, Floats &rest, int64_t index) {
        first = zero_unless_positive(load(results + index), multiply(first, broadcast(scale)));
        rest = zero_unless_positive(load(results + index + 16), multiply(rest, broadcast(scale)));
    }
};

// A finished block of sums, to which the bias is added and which is stored while the tiles work on
// the next block.
struct PendingStore {
    const float *sums, *bias;
    bfloat16 *out = nullptr;  // null: there is nothing to store
    int64_t index, step;      // of the first number, and from row to row
    int rows, columns;        // of the block that exist

    template <typename Epilogue>
    BFLOAT16_VECTORS inline void store_rows(int begin, int end, Epilogue &epilogue) const {
        if (!out) return;
        const Floats shift[2] = {load(bias), load(bias + 16)};
        const uint32_t stored = first_of_pair(columns);
        for (int r = begin; r < std::min(end, rows); r++) {
            Floats first = add(load(sums + r * SIDE), shift[0]);
            Floats rest = add(load(sums + r * SIDE + 16), shift[1]);
            const int64_t here = index + r * step;
            epilogue.finish(first, rest, here);
            store_pair(out + here, first, rest, stored);
        }
    }
};

struct PackedBuffers {
    AlignedBuffer<bfloat16> weights, left, right;
    AlignedBuffer<float> sums, bias;
};

thread_local PackedBuffers buffers;

// ---------------------------------------------------------------------------------------------
// Products

// Packs weights (O, I) in blocks, those of the depth one after the other. The depth is I, or with
// BACKWARD O; it is a multiple of SIDE.
template <bool BACKWARD>
const bfloat16 *pack_weights(const float *weight, int outputs, int inputs, int threads) {
    const int depth = (BACKWARD ? outputs : inputs) / SIDE;
    const int columns = BACKWARD ? inputs : outputs;
    bfloat16 *out =
        buffers.weights.reserve(static_cast<size_t>(depth) * blocks_of(columns) * BLOCK);
    const size_t panel = static_cast<size_t>(depth) * BLOCK;
    if (BACKWARD)
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

// x (N, depth x 32) times packed weights, plus a bias unless null -> out (N, columns). A task is
// ROW_BLOCKS blocks of rows, for any number of threads; make_epilogue(task) returns its epilogue.
template <typename MakeEpilogue>
void multiply_packed(const bfloat16 *x, int64_t rows, int depth, const bfloat16 *weights,
                     const float *bias, int columns, bfloat16 *out, int threads,
                     MakeEpilogue &&make_epilogue) {
    const int column_blocks = blocks_of(columns), width = depth * SIDE;
    const int passes = (depth + DEPTH - 1) / DEPTH;
    float *shift = buffers.bias.reserve(static_cast<size_t>(column_blocks) * SIDE);
    std::fill_n(shift, column_blocks * SIDE, 0.0f);
    if (bias) std::copy_n(bias, columns, shift);
    parallel_for((blocks_of(rows) + ROW_BLOCKS - 1) / ROW_BLOCKS, threads, [=](int64_t task) {
        const int64_t first = task * ROW_BLOCKS * SIDE;
        const int here = static_cast<int>(std::min<int64_t>(ROW_BLOCKS * SIDE, rows - first));
        const int row_blocks = blocks_of(here);
        float *sums = buffers.sums.reserve(static_cast<size_t>(SUMS) *
                                           (passes == 1 ? 2 : row_blocks * column_blocks));
        bfloat16 *packed_left =
            buffers.left.reserve(static_cast<size_t>(ROW_BLOCKS) * DEPTH * BLOCK);
        const auto left_from = [=](int m, int from) {
            const int64_t row = first + m * SIDE;
            return LeftPacking{x + row * width + from * SIDE, width, static_cast<int>(rows - row),
                               std::min(DEPTH, depth - from),
                               packed_left + static_cast<size_t>(m) * DEPTH * BLOCK};
        };
        auto epilogue = make_epilogue(task);
        PendingStore pending;
        int parity = 0;
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
                                                  (passes == 1 ? parity ^= 1 : n * row_blocks + m);
                        accumulate(packed_left + static_cast<size_t>(m) * DEPTH * BLOCK,
                                   weights + (static_cast<size_t>(n) * depth + from) * BLOCK, count,
                                   from == 0, block, [&](int k, int all) {
                                       pending.store_rows(SIDE * k / all, SIDE * (k + 1) / all,
                                                          epilogue);
                                   });
                        if (packs)
                            left_from(m + 1, from).pack(SIDE * n / end, SIDE * (n + 1) / end);
                        pending.out = nullptr;
                        if (last)
                            pending = {block,
                                       shift + n * SIDE,
                                       out,
                                       (first + m * SIDE) * columns + n * SIDE,
                                       columns,
                                       here - m * SIDE,
                                       columns - n * SIDE};
                    }
                }
        }
        pending.store_rows(0, SIDE, epilogue);
        release_tiles();
    });
}

// Stores a block of a gradient of weights, or its transpose.
inline void store_gradient(const float *sums, bool transposed, int rows, int columns, float *out,
                           int64_t step) {
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            Floats vectors[16];
            for (int r = 0; r < 16; r++) vectors[r] = load(sums + (16 * i + r) * SIDE + 16 * j);
            if (transposed) ::transpose(vectors);
            const int top = 16 * (transposed ? j : i), left = 16 * (transposed ? i : j);
            const int count = std::min(16, columns - left);
            if (count <= 0) continue;
            for (int r = 0; r < 16 && top + r < rows; r++)
                store_first(out + (top + r) * step + left, vectors[r], count);
        }
}

// The gradient of weights: grad_output (N, O), transposed, times x (N, I) -> out (O, I); and that
// of the bias, sums of grad_output -> sums_out (O,), unless null. The narrower side is on the left
// of the product.
void multiply_transposed(const bfloat16 *grad_output, int outputs, const bfloat16 *x, int inputs,
                         int64_t rows, float *out, float *sums_out, int threads) {
    if (!rows) {
        std::fill_n(out, static_cast<size_t>(outputs) * inputs, 0.0f);
        if (sums_out) std::fill_n(sums_out, outputs, 0.0f);
        return;
    }
    const bool transposed = inputs < outputs;
    const bfloat16 *left = transposed ? x : grad_output, *right = transposed ? grad_output : x;
    const int left_width = transposed ? inputs : outputs,
              right_width = transposed ? outputs : inputs;
    const int depth = blocks_of(rows), padded_depth = (depth + CHUNK - 1) / CHUNK * CHUNK;
    const int left_blocks = blocks_of(left_width), right_blocks = blocks_of(right_width);
    const int tasks = std::max(1, std::min(threads, left_blocks));
    parallel_for(tasks, threads, [=](int64_t task) {
        const int begin = static_cast<int>(left_blocks * task / tasks);
        const int end = static_cast<int>(left_blocks * (task + 1) / tasks), count = end - begin;
        bfloat16 *left_packed =
            buffers.left.reserve(static_cast<size_t>(count) * padded_depth * BLOCK);
        bfloat16 *right_packed =
            buffers.right.reserve(static_cast<size_t>(COLUMN_BLOCKS) * CHUNK * BLOCK);
        float *sums = buffers.sums.reserve(static_cast<size_t>(count) * COLUMN_BLOCKS * SUMS);
        const auto rows_from = [=](int k) {
            return static_cast<int>(std::min<int64_t>(SIDE, rows - int64_t{k} * SIDE));
        };
        const int wide = std::min(left_width, end * SIDE) - begin * SIDE;
        const bool sums_left = sums_out && !transposed,
                   sums_right = sums_out && transposed && task == 0;
        const int summed = sums_left ? wide : sums_right ? right_width : 0;
        float *column_sums = buffers.bias.reserve(static_cast<size_t>(blocks_of(summed)) * SIDE);
        std::fill_n(column_sums, blocks_of(summed) * SIDE, 0.0f);
        const auto pack = [=](const bfloat16 *x, int64_t step, int rows, int columns, bfloat16 *out,
                              float *sums) {
            if (sums)
                pack_rows<true>(x, step, rows, columns, out, CHUNK * BLOCK, sums);
            else
                pack_rows(x, step, rows, columns, out, CHUNK * BLOCK);
        };
        const auto left_at = [=](int m, int k) {  // those of a chunk follow each other
            return left_packed +
                   (static_cast<size_t>(k / CHUNK * CHUNK) * count + m * CHUNK + k % CHUNK) * BLOCK;
        };
        configure_tiles(TILE_ROWS);
        for (int group = 0; group < right_blocks; group += COLUMN_BLOCKS) {
            const int here = std::min(COLUMN_BLOCKS, right_blocks - group);
            for (int from = 0; from < depth; from += CHUNK) {
                const int steps = std::min(CHUNK, depth - from);
                for (int k = from; k < from + steps; k++) {
                    pack(right + int64_t{k} * SIDE * right_width + group * SIDE, right_width,
                         rows_from(k), std::min(here * SIDE, right_width - group * SIDE),
                         right_packed + static_cast<size_t>(k - from) * BLOCK,
                         sums_right ? column_sums + group * SIDE : nullptr);
                    if (group) continue;
                    pack(left + int64_t{k} * SIDE * left_width + begin * SIDE, left_width,
                         rows_from(k), wide, left_at(0, k), sums_left ? column_sums : nullptr);
                    for (int m = 0; m < count; m++) transpose_block(left_at(m, k));
                }
                for (int n = 0; n < here; n++)
                    for (int m = 0; m < count; m++)
                        accumulate(left_at(m, from),
                                   right_packed + static_cast<size_t>(n) * CHUNK * BLOCK, steps,
                                   from == 0, sums + (static_cast<size_t>(n) * count + m) * SUMS,
                                   [](int, int) {});
            }
            for (int n = 0; n < here; n++)
                for (int m = 0; m < count; m++) {
                    const int row = (begin + m) * SIDE, column = (group + n) * SIDE;
                    const int top = transposed ? column : row, side = transposed ? row : column;
                    store_gradient(sums + (static_cast<size_t>(n) * count + m) * SUMS, transposed,
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

// x (N, I), float32 weight (O, I) and bias (O,) or null -> out (N, O). I is a multiple of SIDE.
void train_linear(int32_t, const bfloat16 *x, int64_t rows, int32_t inputs, const float *weight,
                  const float *bias, int32_t outputs, bfloat16 *out, int32_t threads) {
    guarded([&] {
        const bfloat16 *weights = pack_weights<false>(weight, outputs, inputs, threads);
        multiply_packed(x, rows, inputs / SIDE, weights, bias, outputs, out, threads,
                        [](int64_t) { return NoEpilogue{}; });
    });
}

// The same, followed by ReLU and dropout.
void train_linear_relu_dropout(int32_t, const bfloat16 *x, int64_t rows, int32_t inputs,
                               const float *weight, const float *bias, int32_t outputs,
                               bfloat16 *out, int32_t threshold, int64_t seed, int32_t threads) {
    guarded([&] {
        const bfloat16 *weights = pack_weights<false>(weight, outputs, inputs, threads);
        if (threshold)
            multiply_packed(
                x, rows, inputs / SIDE, weights, bias, outputs, out, threads,
                [=](int64_t task) { return ReluDropout{Random(seed, task), threshold}; });
        else
            multiply_packed(x, rows, inputs / SIDE, weights, bias, outputs, out, threads,
                            [](int64_t) { return Relu{}; });
    });
}

// grad_output (N, O), weight (O, I) -> the gradient of x, out (N, I). O is a multiple of SIDE.
void train_linear_grad_input(int32_t, const bfloat16 *grad_output, int64_t rows, int32_t inputs,
                             const float *weight, int32_t outputs, bfloat16 *out,
                             int32_t threads) {
    guarded([&] {
        const bfloat16 *weights = pack_weights<true>(weight, outputs, inputs, threads);
        multiply_packed(grad_output, rows, outputs / SIDE, weights, nullptr, inputs, out, threads,
                        [](int64_t) { return NoEpilogue{}; });
    });
}

// The same, followed by the backward pass of ReLU and dropout, whose results are (N, I). I is a
// multiple of SIDE too.
void train_linear_grad_input_relu_dropout(int32_t, const bfloat16 *grad_output, int64_t rows,
                                          int32_t inputs, const float *weight, int32_t outputs,
                                          const bfloat16 *results, float scale, bfloat16 *out,
                                          int32_t threads) {
    guarded([&] {
        const bfloat16 *weights = pack_weights<true>(weight, outputs, inputs, threads);
        multiply_packed(grad_output, rows, outputs / SIDE, weights, nullptr, inputs, out, threads,
                        [=](int64_t) { return ReluDropoutBackward{results, scale}; });
    });
}

// grad_output (N, O), x (N, I) -> float32 gradients of weights (O, I) and, unless null, bias (O,).
void train_linear_grad_weight(int32_t, const bfloat16 *grad_output, int64_t rows, int32_t inputs,
                              const bfloat16 *x, int32_t outputs, float *grad_weight,
                              float *grad_bias, int32_t threads) {
    guarded([&] {
        multiply_transposed(grad_output, outputs, x, inputs, rows, grad_weight, grad_bias, threads);
    });
}

}  // extern "C"

#endif

extern "C" {

// Whether the functions above exist and this processor can run them.
int32_t train_multiplies_bfloat16() {
    return guarded([&]() -> int32_t { return tiles_multiply_bfloat16(); });
}

}  // extern "C"
