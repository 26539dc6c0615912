#include "linear.h"

#include "../simd/tiles.h"

namespace seq2seq {

#ifdef HAS_TILES
bool tiles_are_used = false;
#endif

Linear::Linear(const float *weight, const float *given_bias, int outputs, int inputs, bool eight_bits)
    : inputs(inputs), outputs(outputs), blocks((outputs + LANES - 1) / LANES),
      depth(eight_bits ? (inputs + 3) / 4 * 4 : inputs), eight_bits(eight_bits) {
    const size_t padded = static_cast<size_t>(blocks) * LANES;
    std::fill_n(bias.room(padded), padded, 0.0f);
    if (given_bias) std::copy_n(given_bias, outputs, bias.data);
    if (!eight_bits) {
        std::fill_n(weights.room(padded * depth), padded * depth, 0.0f);
        for (int o = 0; o < outputs; o++)
            for (int i = 0; i < inputs; i++)
                weights.data[float_place(o, i)] = weight[static_cast<size_t>(o) * inputs + i];
        return;
    }
    std::fill_n(bytes.room(padded * depth), padded * depth, uint8_t{128});
    std::fill_n(scales.room(padded), padded, 0.0f);
    for (int o = 0; o < outputs; o++) {
        const float *row = weight + static_cast<size_t>(o) * inputs;
        float greatest = 1e-20f;
        for (int i = 0; i < inputs; i++) greatest = std::max(greatest, std::fabs(row[i]));
        scales.data[o] = greatest / 127;
        for (int i = 0; i < inputs; i++)
            bytes.data[place(o, i)] =
                static_cast<uint8_t>(128 + std::lrint(row[i] * 127 / greatest));
    }
}

Linear::Linear(const Linear &whole, const int64_t *chosen, int count)
    : inputs(whole.inputs), outputs(count), blocks((count + LANES - 1) / LANES),
      depth(whole.depth), eight_bits(whole.eight_bits) {
    const size_t padded = static_cast<size_t>(blocks) * LANES;
    std::fill_n(bias.room(padded), padded, 0.0f);
    if (eight_bits) {
        std::fill_n(scales.room(padded), padded, 0.0f);
        std::fill_n(bytes.room(padded * depth), padded * depth, uint8_t{128});
    } else {
        std::fill_n(weights.room(padded * depth), padded * depth, 0.0f);
    }
    for (int o = 0; o < count; o++) {
        const int from = static_cast<int>(chosen[o]);
        bias.data[o] = whole.bias.data[from];
        if (eight_bits) {
            scales.data[o] = whole.scales.data[from];
            for (int i = 0; i < depth; i += 4)
                std::memcpy(bytes.data + place(o, i), whole.bytes.data + place(from, i), 4);
        } else {
            for (int i = 0; i < depth; i++)
                weights.data[float_place(o, i)] = whole.weights.data[float_place(from, i)];
        }
    }
}

}  // namespace seq2seq

namespace {

struct QuantisedRoom {
    Aligned<int8_t> bytes;
    Aligned<float> scales;
    Aligned<int32_t> sums;
};

thread_local QuantisedRoom quantised_room;

// One vector of results, of which `count` are wanted.
inline void put(float *y, Floats x, int count, Into into) {
    if (into == Into::relu) x = greater(x, spread(0));
    if (count >= LANES) {
        store(y, into == Into::add ? add(load(y), x) : x);
        return;
    }
    alignas(64) float some[LANES];
    store(some, x);
    for (int i = 0; i < count; i++) y[i] = into == Into::add ? y[i] + some[i] : some[i];
}

template <int R, int C>
void tile(const Linear &layer, int block, const float *x, float *y, Into into) {
    Floats sums[R][C];
    for (int r = 0; r < R; r++)
        for (int c = 0; c < C; c++) sums[r][c] = load(layer.bias.data + (block + c) * LANES);
    const size_t size = static_cast<size_t>(layer.depth) * LANES;
    const float *w = layer.weights.data + block * size;
    for (int i = 0; i < layer.depth; i++) {
        Floats weights[C];
        for (int c = 0; c < C; c++) weights[c] = load(w + c * size + static_cast<size_t>(i) * LANES);
        for (int r = 0; r < R; r++) {
            const Floats input = spread(x[static_cast<size_t>(r) * layer.inputs + i]);
            for (int c = 0; c < C; c++) sums[r][c] = multiply_add(weights[c], input, sums[r][c]);
        }
    }
    for (int r = 0; r < R; r++)
        for (int c = 0; c < C; c++) {
            const int column = (block + c) * LANES;
            put(y + static_cast<size_t>(r) * layer.outputs + column, sums[r][c],
                layer.outputs - column, into);
        }
}

struct Quantised {
    const int8_t *rows;
    const float *scales;
    const int32_t *sums;
};

// A vector of sums of 8-bit products as numbers, into the row y of results.
inline void put_product(const Linear &layer, int block, const Quantised &x, int row, Sums sums,
                        float *y, Into into) {
    const int column = block * LANES;
    const Floats product = less(sums, 128 * x.sums[row]);
    const Floats scaled = multiply(spread(x.scales[row]), load(layer.scales.data + column));
    put(y + column, multiply_add(product, scaled, load(layer.bias.data + column)),
        layer.outputs - column, into);
}

template <int R, int C>
void tile(const Linear &layer, int block, const Quantised &x, int row, float *y, Into into) {
    Sums sums[R][C];
    for (int r = 0; r < R; r++)
        for (int c = 0; c < C; c++) sums[r][c] = no_sum();
    const size_t size = static_cast<size_t>(layer.depth) * LANES;
    const uint8_t *w = layer.bytes.data + block * size;
    const int8_t *inputs = x.rows + static_cast<size_t>(row) * layer.depth;
    for (int i = 0; i < layer.depth; i += 4) {
        Bytes weights[C];
        for (int c = 0; c < C; c++)
            weights[c] = load_bytes(w + c * size + static_cast<size_t>(i) * LANES);
        for (int r = 0; r < R; r++) {
            const Bytes input = spread_four(inputs + static_cast<size_t>(r) * layer.depth + i);
            for (int c = 0; c < C; c++) sums[r][c] = dot(sums[r][c], weights[c], input);
        }
    }
    for (int r = 0; r < R; r++)
        for (int c = 0; c < C; c++)
            put_product(layer, block + c, x, row + r, sums[r][c],
                        y + static_cast<size_t>(r) * layer.outputs, into);
}

// Rows of inputs as 8-bit numbers, each row with a scale of its own.
Quantised quantised(const Linear &layer, const float *x, int rows) {
    int8_t *bytes = quantised_room.bytes.room(static_cast<size_t>(rows) * layer.depth);
    float *scales = quantised_room.scales.room(rows);
    int32_t *sums = quantised_room.sums.room(rows);
    const int inputs = layer.inputs;
    for (int r = 0; r < rows; r++) {
        const float *row = x + static_cast<size_t>(r) * inputs;
        int8_t *out = bytes + static_cast<size_t>(r) * layer.depth;
        Floats most = spread(1e-20f);
        int i = 0;
        for (; i + LANES <= inputs; i += LANES) most = greater(most, without_sign(load(row + i)));
        float greatest = greatest_of(most);
        for (; i < inputs; i++) greatest = std::max(greatest, std::fabs(row[i]));
        const float factor = INPUT_LIMIT / greatest;
        Sums whole = no_sum();
        i = 0;
        for (; i + LANES <= inputs; i += LANES)
            whole = add(whole, store_bytes(out + i, multiply(load(row + i), spread(factor))));
        int32_t sum = sum_of(whole);
        for (; i < inputs; i++) {
            const int32_t value = static_cast<int32_t>(std::nearbyintf(row[i] * factor));
            out[i] = static_cast<int8_t>(value);
            sum += value;
        }
        for (; i < layer.depth; i++) out[i] = 0;
        scales[r] = greatest / INPUT_LIMIT;
        sums[r] = sum;
    }
    return {bytes, scales, sums};
}

template <int R>
void some_rows(const Linear &layer, int block, int count, const float *x, const Quantised &bytes,
               int row, float *y, Into into) {
    y += static_cast<size_t>(row) * layer.outputs;
    x += static_cast<size_t>(row) * layer.inputs;
#define TILE(C) \
    layer.eight_bits ? tile<R, C>(layer, block, bytes, row, y, into) \
                     : tile<R, C>(layer, block, x, y, into)
    switch (count) {
    case 1: TILE(1); break;
    case 2: TILE(2); break;
#if defined(__AVX512VNNI__)
    case 3: TILE(3); break;
    case 4: TILE(4); break;
#endif
    }
#undef TILE
}

#ifdef HAS_TILES
template <int C>
void in_tiles(const Linear &layer, int block, const Quantised &x, int row, int rows, float *y,
              Into into) {
    const size_t size = static_cast<size_t>(layer.depth) * LANES;
    alignas(64) int32_t sums[TILE_ROWS][4 * LANES];
    tile_sums<C>(x.rows + static_cast<size_t>(row) * layer.depth, layer.depth,
                 layer.bytes.data + block * size, size, sums[0]);
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < C; c++)
            put_product(layer, block + c, x, row + r, _mm512_load_si512(sums[r] + c * LANES),
                        y + static_cast<size_t>(row + r) * layer.outputs, into);
}

// Rows `first` to `end`, so many at a time as the tiles have been shaped for.
void in_tiles(const Linear &layer, const Quantised &x, int first, int end, int rows, float *y,
              Into into) {
    shape_tiles(rows);
    for (int block = 0; block < layer.blocks; block += 4)
        for (int row = first; row < end; row += rows)
            switch (layer.blocks - block) {
            case 1: in_tiles<1>(layer, block, x, row, rows, y, into); break;
            case 2: in_tiles<2>(layer, block, x, row, rows, y, into); break;
            case 3: in_tiles<3>(layer, block, x, row, rows, y, into); break;
            default: in_tiles<4>(layer, block, x, row, rows, y, into);
            }
}
#endif

}  // namespace

void seq2seq::apply(const Linear &layer, const float *x, int rows, float *y, Into into) {
    Quantised bytes{};
    if (layer.eight_bits) bytes = quantised(layer, x, rows);
#ifdef HAS_TILES
    // Of fewer rows than a tile has, vectors read the weights as fast.
    if (tiles_are_used && layer.eight_bits && layer.depth % TILE_BYTES == 0 && rows >= TILE_ROWS) {
        const int whole = rows / TILE_ROWS * TILE_ROWS;
        if (whole) in_tiles(layer, bytes, 0, whole, TILE_ROWS, y, into);
        if (whole < rows) in_tiles(layer, bytes, whole, rows, rows - whole, y, into);
        leave_tiles();
        return;
    }
#endif
    for (int block = 0; block < layer.blocks; block += BLOCKS) {
        const int count = std::min(BLOCKS, layer.blocks - block);
        int row = 0;
        for (; row + ROWS <= rows; row += ROWS)
            some_rows<ROWS>(layer, block, count, x, bytes, row, y, into);
        switch (rows - row) {
        case 1: some_rows<1>(layer, block, count, x, bytes, row, y, into); break;
        case 2: some_rows<2>(layer, block, count, x, bytes, row, y, into); break;
        case 3: some_rows<3>(layer, block, count, x, bytes, row, y, into); break;
        case 4: some_rows<4>(layer, block, count, x, bytes, row, y, into); break;
        case 5: some_rows<5>(layer, block, count, x, bytes, row, y, into); break;
        }
    }
}

// What Python calls

extern "C" {

// Let products of 8-bit numbers use matrix tiles, or not; returns whether they do.
int32_t use_tiles(int32_t wanted) {
#ifdef HAS_TILES
    tiles_are_used = wanted && permit_tiles();
    return tiles_are_used;
#else
    static_cast<void>(wanted);
    return 0;
#endif
}

void *linear_new(const float *weight, const float *bias, int32_t outputs, int32_t inputs,
                 int32_t eight_bits) {
    return new Linear(weight, bias, outputs, inputs, eight_bits != 0);
}

void *linear_narrowed(const void *layer, const int64_t *chosen, int32_t count) {
    return new Linear(*static_cast<const Linear *>(layer), chosen, count);
}

void linear_free(void *layer) { delete static_cast<Linear *>(layer); }

void linear_apply(const void *layer, const float *x, int32_t rows, float *y) {
    apply(*static_cast<const Linear *>(layer), x, rows, y);
}

}  // extern "C"
