// Linear layers for inference: packing their weights, and products with a register tile of vectors
// or in matrix tiles.

#include "linear.h"

#include "../simd/tiles.h"

namespace seq2seq {

// ---------------------------------------------------------------------------------------------
// Packing

namespace {

float largest_of(const float *x, int count) {
    Floats most = broadcast(0);
    int i = 0;
    for (; i + LANES <= count; i += LANES) most = max(most, abs(load(x + i)));
    float largest = reduce_max(most);
    for (; i < count; i++) largest = std::max(largest, std::fabs(x[i]));
    return largest;
}

}  // namespace

void Linear::lay_out(uint8_t *block) {
    bias = reinterpret_cast<float *>(block);
    uint8_t *rest = block + vector_bytes();
    if (!eight_bits) {
        weights = reinterpret_cast<float *>(rest);
        return;
    }
    scales = reinterpret_cast<float *>(rest);
    bytes = rest + vector_bytes();
}

void Linear::reserve() {
    lay_out(own.reserve(block_size()));
    const size_t zeros = block_size() - (eight_bits ? weight_bytes() : 0);
    std::memset(own.data, 0, zeros);
    if (eight_bits) std::memset(bytes, 128, weight_bytes());
}

Linear::Linear(const void *packed, int outputs, int inputs, bool eight_bits)
    : Linear(outputs, inputs, eight_bits ? (inputs + 3) / 4 * 4 : inputs, eight_bits) {
    if (!packed || reinterpret_cast<uintptr_t>(packed) % 64)
        throw std::invalid_argument("packed weights do not begin at a multiple of 64 bytes");
    lay_out(static_cast<uint8_t *>(const_cast<void *>(packed)));
}

Linear::Linear(const float *weight, const float *given_bias, int outputs, int inputs,
               bool eight_bits)
    : Linear(outputs, inputs, eight_bits ? (inputs + 3) / 4 * 4 : inputs, eight_bits) {
    reserve();
    if (given_bias) std::copy_n(given_bias, outputs, bias);
    if (!eight_bits) {
        for (int o = 0; o < outputs; o++)
            for (int i = 0; i < inputs; i++)
                weights[weight_index(o, i)] = weight[static_cast<size_t>(o) * inputs + i];
        return;
    }
    std::vector<float> rounded(depth);
    for (int o = 0; o < outputs; o++) {
        const float *row = weight + static_cast<size_t>(o) * inputs;
        const float largest = std::max(1e-20f, largest_of(row, inputs));
        const float shrink = largest > 1e36f ? 0x1p-10f : 1;  // else row[i] * 127 may be infinite
        const float divisor = largest * shrink;
        scales[o] = largest / 127;
        for (int i = 0; i < inputs; i++)
            rounded[i] = std::nearbyintf(row[i] * shrink * 127 / divisor);
        for (int i = 0; i < depth; i += 4) {
            uint8_t four[4];
            for (int j = 0; j < 4; j++)
                four[j] = static_cast<uint8_t>(128 + static_cast<int>(rounded[i + j]));
            std::memcpy(bytes + byte_index(o, i), four, 4);
        }
    }
}

Linear::Linear(const Linear &whole, const int64_t *selected, int count)
    : Linear(count, whole.inputs, whole.depth, whole.eight_bits) {
    reserve();
    for (int o = 0; o < count; o++) {
        const int from = static_cast<int>(selected[o]);
        bias[o] = whole.bias[from];
        if (eight_bits) {
            scales[o] = whole.scales[from];
            for (int i = 0; i < depth; i += 4)
                std::memcpy(bytes + byte_index(o, i),
                            whole.bytes + whole.byte_index(from, i), 4);
        } else {
            for (int i = 0; i < depth; i++)
                weights[weight_index(o, i)] = whole.weights[whole.weight_index(from, i)];
        }
    }
}

}  // namespace seq2seq

namespace {

// ---------------------------------------------------------------------------------------------
// Products of float32

// Where results are stored: the outputs from `first` to before `end` of each row, `stride` numbers
// from one row to the next.
struct Output {
    float *y;
    size_t stride;
    int first, end;
    Epilogue epilogue;

    // Stores the vector of a row that begins with an output, without those from `end` on.
    void store_vector(int row, int output, Floats x) const {
        float *to = y + row * stride + (output - first);
        if (epilogue == Epilogue::relu) x = max(broadcast(0), x);  // NaN passes
        if (end - output >= LANES) {
            store(to, epilogue == Epilogue::add ? add(load(to), x) : x);
            return;
        }
        alignas(64) float lanes[LANES];
        store(lanes, x);
        for (int i = 0; i < end - output; i++)
            to[i] = epilogue == Epilogue::add ? to[i] + lanes[i] : lanes[i];
    }
};

// Each of the first BLOCKS tiles of rows fetches the weights of a block that comes after those it
// multiplies by, a line of the cache for each step. Processors do not do so by themselves: to them
// the blocks are streams that end.
inline int block_to_fetch(const Linear &layer, int block, int row) {
    const int next = block + BLOCKS + row / ROWS;
    return row / ROWS < BLOCKS && next < layer.blocks ? next : -1;
}

// R rows times the weights of C blocks of outputs. FETCH: whether to fetch the block `next`.
template <int R, int C, bool FETCH>
void multiply_tile(const Linear &layer, int block, int next, const float *x, int row,
                   const Output &out) {
    Floats sums[R][C];
    for (int r = 0; r < R; r++)
        for (int c = 0; c < C; c++) sums[r][c] = load(layer.bias + (block + c) * LANES);
    const size_t size = static_cast<size_t>(layer.depth) * LANES;
    const float *w = layer.weights + block * size, *ahead = layer.weights + next * size;
    x += static_cast<size_t>(row) * layer.inputs;
    for (int i = 0; i < layer.depth; i++) {
        if (FETCH) __builtin_prefetch(ahead + static_cast<size_t>(i) * LANES);
        Floats weights[C];
        for (int c = 0; c < C; c++)
            weights[c] = load(w + c * size + static_cast<size_t>(i) * LANES);
        for (int r = 0; r < R; r++) {
            const Floats input = broadcast(x[static_cast<size_t>(r) * layer.inputs + i]);
            for (int c = 0; c < C; c++) sums[r][c] = multiply_add(weights[c], input, sums[r][c]);
        }
    }
    for (int r = 0; r < R; r++)
        for (int c = 0; c < C; c++) out.store_vector(row + r, (block + c) * LANES, sums[r][c]);
}

// ---------------------------------------------------------------------------------------------
// Products of 8-bit numbers

// Rows of inputs: 8-bit numbers (rows, depth), the scale of each row, and the sum of its numbers.
struct Quantised {
    const int8_t *rows;
    const float *scales;
    const int32_t *sums;
};

struct QuantisedBuffers {
    AlignedBuffer<int8_t> bytes;
    AlignedBuffer<float> scales;
    AlignedBuffer<int32_t> sums;
};

thread_local QuantisedBuffers quantised_buffers;
thread_local AlignedBuffer<float> part_buffer;

// NaN if a number is NaN or infinite: 8-bit numbers would hide it, but the scale of a row does not.
float largest_absolute(const float *x, int count) {
    Floats most = broadcast(1e-20f), zeros = broadcast(0);
    int i = 0;
    for (; i + LANES <= count; i += LANES) {
        const Floats own = load(x + i);
        most = max(most, abs(own));
        zeros = multiply_add(own, broadcast(0), zeros);
    }
    float largest = reduce_max(most), zero = reduce_add(zeros);
    for (; i < count; i++) {
        largest = std::max(largest, std::fabs(x[i]));
        zero += x[i] * 0;
    }
    return largest + zero;
}

// x (rows, inputs) -> 8-bit numbers, each row with a scale of its own.
Quantised quantise(const Linear &layer, const float *x, int rows) {
    int8_t *bytes = quantised_buffers.bytes.reserve(static_cast<size_t>(rows) * layer.depth);
    float *scales = quantised_buffers.scales.reserve(rows);
    int32_t *sums = quantised_buffers.sums.reserve(rows);
    const int inputs = layer.inputs;
    for (int r = 0; r < rows; r++) {
        const float *row = x + static_cast<size_t>(r) * inputs;
        int8_t *out = bytes + static_cast<size_t>(r) * layer.depth;
        const float largest = largest_absolute(row, inputs), factor = INPUT_LIMIT / largest;
        Ints total = zero_ints();
        int i = 0;
        for (; i + LANES <= inputs; i += LANES)
            total = add(total, store_int8(out + i, multiply(load(row + i), broadcast(factor))));
        int32_t sum = reduce_add(total);
        for (; i < inputs; i++) {
            const int32_t value = static_cast<int32_t>(std::nearbyintf(row[i] * factor));
            out[i] = static_cast<int8_t>(value);
            sum += value;
        }
        for (; i < layer.depth; i++) out[i] = 0;
        scales[r] = largest / INPUT_LIMIT;
        sums[r] = sum;
    }
    return {bytes, scales, sums};
}

// Scales a vector of sums of 8-bit products and stores it.
inline void store_int8_outputs(const Linear &layer, int block, const Quantised &x, int row,
                               Ints sums, const Output &out) {
    const int column = block * LANES;
    const Floats product = subtract(sums, 128 * x.sums[row]);  // weights have 128 added
    const Floats scale = multiply(broadcast(x.scales[row]), load(layer.scales + column));
    out.store_vector(row, column, multiply_add(product, scale, load(layer.bias + column)));
}

template <int R, int C, bool FETCH>
void multiply_tile(const Linear &layer, int block, int next, const Quantised &x, int row,
                   const Output &out) {
    Ints sums[R][C];
    for (int r = 0; r < R; r++)
        for (int c = 0; c < C; c++) sums[r][c] = zero_ints();
    const size_t size = static_cast<size_t>(layer.depth) * LANES;
    const uint8_t *w = layer.bytes + block * size, *ahead = layer.bytes + next * size;
    const int8_t *inputs = x.rows + static_cast<size_t>(row) * layer.depth;
    for (int i = 0; i < layer.depth; i += 4) {
        if (FETCH) __builtin_prefetch(ahead + static_cast<size_t>(i) * LANES);
        Bytes weights[C];
        for (int c = 0; c < C; c++)
            weights[c] = load_bytes(w + c * size + static_cast<size_t>(i) * LANES);
        for (int r = 0; r < R; r++) {
            const Bytes input = broadcast_four(inputs + static_cast<size_t>(r) * layer.depth + i);
            for (int c = 0; c < C; c++) sums[r][c] = dot(sums[r][c], weights[c], input);
        }
    }
    for (int r = 0; r < R; r++)
        for (int c = 0; c < C; c++)
            store_int8_outputs(layer, block + c, x, row + r, sums[r][c], out);
}

// ---------------------------------------------------------------------------------------------
// Products with vectors: a register tile for each number of rows and blocks

// `count` blocks, at most C, times R rows from `row` on.
template <int R, int C = BLOCKS>
void multiply_rows(const Linear &layer, int block, int count, const float *x,
                   const Quantised &bytes, int row, const Output &out) {
    if constexpr (C > 1)
        if (count < C)
            return multiply_rows<R, C - 1>(layer, block, count, x, bytes, row, out);
    const int next = R == ROWS ? block_to_fetch(layer, block, row) : -1;
    if (layer.eight_bits && next >= 0)
        multiply_tile<R, C, R == ROWS>(layer, block, next, bytes, row, out);
    else if (layer.eight_bits)
        multiply_tile<R, C, false>(layer, block, block, bytes, row, out);
    else if (next >= 0)
        multiply_tile<R, C, R == ROWS>(layer, block, next, x, row, out);
    else
        multiply_tile<R, C, false>(layer, block, block, x, row, out);
}

void multiply_blocks(const Linear &layer, int block, int count, const float *x,
                     const Quantised &bytes, int rows, const Output &out) {
    int row = 0;
    for (; row + ROWS <= rows; row += ROWS)
        multiply_rows<ROWS>(layer, block, count, x, bytes, row, out);
    switch (rows - row) {
    case 1: multiply_rows<1>(layer, block, count, x, bytes, row, out); break;
    case 2: multiply_rows<2>(layer, block, count, x, bytes, row, out); break;
    case 3: multiply_rows<3>(layer, block, count, x, bytes, row, out); break;
    case 4: multiply_rows<4>(layer, block, count, x, bytes, row, out); break;
    case 5: multiply_rows<5>(layer, block, count, x, bytes, row, out); break;
    }
}

// ---------------------------------------------------------------------------------------------
// Products of 8-bit numbers in matrix tiles

template <int C>
void multiply_in_tiles(const Linear &layer, int block, const Quantised &x, int row, int rows,
                       const Output &out) {
    const size_t size = static_cast<size_t>(layer.depth) * LANES;
    alignas(64) int32_t sums[TILE_ROWS][4 * LANES];
    dot_in_tiles<C>(x.rows + static_cast<size_t>(row) * layer.depth, layer.depth,
                    layer.bytes + block * size, size, rows, sums[0]);
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < C; c++)
            store_int8_outputs(layer, block + c, x, row + r, load_ints(sums[r] + c * LANES), out);
}

// Rows `first` to `end`, in groups of `rows`, for which the tiles are configured.
void multiply_in_tiles(const Linear &layer, const Quantised &x, int first, int end, int rows,
                       const Output &out) {
    const int begin = out.first / LANES, blocks = (out.end + LANES - 1) / LANES;
    configure_tiles(rows);
    for (int block = begin; block < blocks; block += 4)
        for (int row = first; row < end; row += rows) switch (blocks - block) {
            case 1: multiply_in_tiles<1>(layer, block, x, row, rows, out); break;
            case 2: multiply_in_tiles<2>(layer, block, x, row, rows, out); break;
            case 3: multiply_in_tiles<3>(layer, block, x, row, rows, out); break;
            default: multiply_in_tiles<4>(layer, block, x, row, rows, out);
            }
}

// Vectors are as fast as tiles with fewer rows than a tile has.
bool uses_tiles(const Linear &layer, int rows) {
    return tiles_enabled && layer.eight_bits && layer.depth % TILE_BYTES == 0 && rows >= TILE_ROWS;
}

// The outputs of `out`, of which the first is the first of a block.
void multiply_outputs(const Linear &layer, const float *x, const Quantised &bytes, int rows,
                      const Output &out) {
    if (uses_tiles(layer, rows)) {
        const int whole = rows / TILE_ROWS * TILE_ROWS;
        multiply_in_tiles(layer, bytes, 0, whole, TILE_ROWS, out);
        if (whole < rows) multiply_in_tiles(layer, bytes, whole, rows, rows - whole, out);
        release_tiles();
        return;
    }
    const int blocks = (out.end + LANES - 1) / LANES;
    for (int block = out.first / LANES; block < blocks; block += BLOCKS)
        multiply_blocks(layer, block, std::min(BLOCKS, blocks - block), x, bytes, rows, out);
}

}  // namespace

void seq2seq::apply(const Linear &layer, const float *x, int rows, float *y, Epilogue epilogue) {
    Quantised bytes{};
    if (layer.eight_bits) bytes = quantise(layer, x, rows);
    const size_t stride = layer.outputs;
    multiply_outputs(layer, x, bytes, rows, {y, stride, 0, layer.outputs, epilogue});
}

void seq2seq::apply_in_parts(const Linear &layer, const float *x, int rows, const UsePart &use) {
    constexpr int GROUP = 64, NUMBERS = 1 << 16;  // 256 KiB, which caches hold beside the weights
    static_assert(GROUP % LANES == 0, "a part begins with a block");
    const int size = std::max(1, NUMBERS / GROUP / rows) * GROUP;
    float *part = part_buffer.reserve(static_cast<size_t>(rows) * size);
    Quantised bytes{};
    if (layer.eight_bits) bytes = quantise(layer, x, rows);
    for (int first = 0; first < layer.outputs; first += size) {
        const int end = std::min(layer.outputs, first + size);
        const size_t stride = end - first;
        multiply_outputs(layer, x, bytes, rows, {part, stride, first, end, Epilogue::replace});
        use(first, end - first, part);
    }
}

// ---------------------------------------------------------------------------------------------
// What Python calls

extern "C" {

// Lets products of 8-bit numbers use matrix tiles, or not; returns whether they do.
int32_t use_tiles(int32_t wanted) {
    return guarded([&]() -> int32_t { return enable_tiles(wanted != 0); });
}

void *linear_new(const float *weight, const float *bias, int32_t outputs, int32_t inputs,
                 int32_t eight_bits) {
    return guarded([&]() -> void * {
        return new Linear(weight, bias, outputs, inputs, eight_bits != 0);
    });
}

void *linear_select_outputs(const void *layer, const int64_t *selected, int32_t count) {
    return guarded([&]() -> void * { return new Linear(*linear(layer), selected, count); });
}

int64_t linear_block_size(int32_t outputs, int32_t inputs, int32_t eight_bits) {
    return guarded([&]() -> int64_t {
        alignas(64) static const uint8_t none[64] = {};
        return Linear(none, outputs, inputs, eight_bits != 0).block_size();
    });
}

const void *linear_block(const void *layer) {
    return guarded([&] { return linear(layer)->block(); });
}

// The block has `linear_block_size` bytes and stays as long as the layer.
void *linear_map(const void *block, int32_t outputs, int32_t inputs, int32_t eight_bits) {
    return guarded([&]() -> void * {
        return new Linear(block, outputs, inputs, eight_bits != 0);
    });
}

void linear_free(void *layer) {
    guarded([&] { delete static_cast<Linear *>(layer); });
}

void linear_apply(const void *layer, const float *x, int32_t rows, float *y) {
    guarded([&] { apply(*linear(layer), x, rows, y); });
}

}  // extern "C"
