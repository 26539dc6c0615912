// What search on a CPU spends its time in, as compiled functions with a C interface.
//
// The same file is built once for processors with AVX2 and once for those with AVX-512 and its
// 8-bit dot products; `seq2seq_cli.native` loads what the machine can run. Every function works in
// the thread that calls it: several batches at a time keep several cores busy.
//
// A row's result never depends on the other rows of its batch: sums run in one order for each, and
// 8-bit inputs have a scale a row.
//
// Dimensions: N rows of hypotheses, D width, H heads, S source tokens, T target tokens read before,
// V columns of logits, K hypotheses of a sentence.

#include "tiles.h"
#include "vectors.h"

namespace {

struct Workspace {
    Aligned<float> states, normed, wide, attended, weights;
    Aligned<const void *> tokens;
    Aligned<int8_t> inputs;
    Aligned<float> input_scales;
    Aligned<int32_t> input_sums;
};

thread_local Workspace workspace;

// Numbers to be kept, as they are or as float16, whose greatest stands for all that are greater.
void keep(const float *x, size_t count, float *out) { std::copy_n(x, count, out); }

void keep(const float *x, size_t count, Half *out) {
    constexpr float MOST = 65504;
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        store(out + i, greater(lesser(load(x + i), spread(MOST)), spread(-MOST)));
    for (; i < count; i++) out[i] = _cvtss_sh(std::clamp(x[i], -MOST, MOST), NEAREST);
}

// ---------------------------------------------------------------------------------------------
// Linear layers

enum class Into { replace, add, relu };  // what becomes of a product

// Weights (outputs, inputs), packed for tiles: LANES outputs stand side by side, and with 8 bits
// four inputs of each.
struct Linear {
    int inputs, outputs, blocks, depth;  // depth: inputs, with 8 bits rounded up to a multiple of 4
    bool eight_bits;
    Aligned<float> weights, bias, scales;
    Aligned<uint8_t> bytes;  // 8-bit weights + 128: dot products take unsigned ones

    Linear(const float *weight, const float *given_bias, int outputs, int inputs, bool eight_bits)
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

    // Some outputs of another layer, in the order of `chosen`.
    Linear(const Linear &whole, const int64_t *chosen, int count)
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

    size_t float_place(int output, int input) const {
        return (static_cast<size_t>(output / LANES) * depth + input) * LANES + output % LANES;
    }

    size_t place(int output, int input) const {
        return (static_cast<size_t>(output / LANES) * depth + input / 4 * 4) * LANES +
               output % LANES * 4 + input % 4;
    }
};

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
    Workspace &space = workspace;
    int8_t *bytes = space.inputs.room(static_cast<size_t>(rows) * layer.depth);
    float *scales = space.input_scales.room(rows);
    int32_t *sums = space.input_sums.room(rows);
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
bool tiles_are_used = false;

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

// x (rows, inputs) -> y (rows, outputs)
void apply(const Linear &layer, const float *x, int rows, float *y, Into into = Into::replace) {
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

// ---------------------------------------------------------------------------------------------
// Norms and activations

struct Norm {
    const float *weight = nullptr, *bias = nullptr;  // no weight: no norm; no bias: RMSNorm
};

constexpr float EPSILON = 1e-5f;

void normalise(const Norm &norm, const float *x, int rows, int width, float *y) {
    const int whole = width / LANES * LANES;
    for (int r = 0; r < rows; r++, x += width, y += width) {
        float mean = 0;
        if (norm.bias) {
            Floats total = spread(0);
            for (int i = 0; i < whole; i += LANES) total = add(total, load(x + i));
            mean = sum_of(total);
            for (int i = whole; i < width; i++) mean += x[i];
            mean /= width;
        }
        const Floats less_mean = spread(-mean);
        Floats squares = spread(0);
        for (int i = 0; i < whole; i += LANES) {
            const Floats centred = add(load(x + i), less_mean);
            squares = multiply_add(centred, centred, squares);
        }
        float square = sum_of(squares);
        for (int i = whole; i < width; i++) square += (x[i] - mean) * (x[i] - mean);
        const float scale = 1 / std::sqrt(square / width + EPSILON);
        for (int i = 0; i < whole; i += LANES) {
            const Floats centred = multiply(add(load(x + i), less_mean), spread(scale));
            const Floats shift = norm.bias ? load(norm.bias + i) : spread(0);
            store(y + i, multiply_add(centred, load(norm.weight + i), shift));
        }
        for (int i = whole; i < width; i++)
            y[i] = (x[i] - mean) * scale * norm.weight[i] + (norm.bias ? norm.bias[i] : 0);
    }
}

enum Activation { RELU, GELU, SWISH, SWIGLU };  // as `native.ACTIVATIONS` counts them

inline Floats swish(Floats x) {
    const Floats grown = add(spread(1), exponential(multiply(greater(x, spread(-80)), spread(-1))));
    return multiply(x, reciprocal(grown));
}

inline float swish(float x) { return x / (1 + std::exp(-x)); }

// (rows, width), or with SWIGLU (rows, 2 x width) -> (rows, width), in place
void activate(Activation activation, float *x, int rows, int width) {
    if (activation == RELU) return;  // has been done
    const bool gated = activation == SWIGLU;
    for (int r = 0; r < rows; r++) {
        const float *in = x + static_cast<size_t>(r) * width * (gated ? 2 : 1);
        float *out = x + static_cast<size_t>(r) * width;
        if (activation == GELU) {
            for (int i = 0; i < width; i++)
                out[i] = 0.5f * in[i] * (1 + std::erf(in[i] * 0.707106781f));
            continue;
        }
        int i = 0;
        for (; i + LANES <= width; i += LANES) {
            const Floats swished = swish(load(in + i));
            store(out + i, gated ? multiply(swished, load(in + width + i)) : swished);
        }
        for (; i < width; i++) out[i] = swish(in[i]) * (gated ? in[width + i] : 1);
    }
}

// ---------------------------------------------------------------------------------------------
// Recurrent cells

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

// ---------------------------------------------------------------------------------------------
// Attention of one query to tokens that lie anywhere

template <typename Kept> float dot_product(const float *a, const Kept *b, int count) {
    Floats sum = spread(0);
    int i = 0;
    for (; i + LANES <= count; i += LANES) sum = multiply_add(load(a + i), load(b + i), sum);
    float result = sum_of(sum);
    for (; i < count; i++) result += a[i] * number(b[i]);
    return result;
}

// Four at a time, since adding up a vector takes as long as its products.
template <typename Kept>
void four_dot_products(const float *a, const Kept *const *b, int first, int count, float *out) {
    Floats sums[4] = {spread(0), spread(0), spread(0), spread(0)};
    int i = 0;
    for (; i + LANES <= count; i += LANES) {
        const Floats own = load(a + i);
        for (int k = 0; k < 4; k++) sums[k] = multiply_add(own, load(b[k] + first + i), sums[k]);
    }
    four_sums_of(sums[0], sums[1], sums[2], sums[3], out);
    for (; i < count; i++)
        for (int k = 0; k < 4; k++) out[k] += a[i] * number(b[k][first + i]);
}

// Of the numbers times a scale above 0.
void softmax(float *x, int count, float scale) {
    const float greatest = greatest_of(x, count);
    const int padded = (count + LANES - 1) / LANES * LANES;  // there is room
    std::fill(x + count, x + padded, -INFINITY);
    Floats total = spread(0);
    for (int i = 0; i < padded; i += LANES) {
        const Floats less_greatest = add(load(x + i), spread(-greatest));
        const Floats raised = exponential(multiply(less_greatest, spread(scale)));
        store(x + i, raised);
        total = add(total, raised);
    }
    const Floats share = spread(1 / sum_of(total));
    for (int i = 0; i < padded; i += LANES) store(x + i, multiply(load(x + i), share));
}

// The weighted sum of C vectors of each token, from the place `first` on: C sums at a time, since
// each waits for its last product.
template <int C, typename Kept>
void weigh(const float *weights, const Kept *const *tokens, int count, int first, float *out) {
    Floats sums[C];
    for (int c = 0; c < C; c++) sums[c] = spread(0);
    for (int s = 0; s < count; s++) {
        const Floats weight = spread(weights[s]);
        const Kept *token = tokens[s] + first;
        for (int c = 0; c < C; c++)
            sums[c] = multiply_add(weight, load(token + c * LANES), sums[c]);
    }
    for (int c = 0; c < C; c++) store(out + c * LANES, sums[c]);
}

// Each token has the D numbers of its key, then those of its value; heads stand side by side.
// There is room for `count` weights and a vector more.
template <typename Kept>
void attend(const float *query, const Kept *const *tokens, int count, int heads, int head_width,
            float *weights, float *out) {
    const float scale = 1 / std::sqrt(static_cast<float>(head_width));
    const int width = heads * head_width;
    for (int h = 0; h < heads; h++) {
        const int first = h * head_width;
        int s = 0;
        for (; s + 4 <= count; s += 4)
            four_dot_products(query + first, tokens + s, first, head_width, weights + s);
        for (; s < count; s++)
            weights[s] = dot_product(query + first, tokens[s] + first, head_width);
        softmax(weights, count, scale);
        int i = 0;
        for (; i + 4 * LANES <= head_width; i += 4 * LANES)
            weigh<4>(weights, tokens, count, width + first + i, out + first + i);
        for (; i + LANES <= head_width; i += LANES)
            weigh<1>(weights, tokens, count, width + first + i, out + first + i);
        for (; i < head_width; i++) {
            float sum = 0;
            for (s = 0; s < count; s++) sum += weights[s] * number(tokens[s][width + first + i]);
            out[first + i] = sum;
        }
    }
}

// Turn the pairs of dimensions i and i + half of each head by their angles.
void rotate(float *x, int heads, int head_width, const float *cosines, const float *sines) {
    const int half = head_width / 2;
    for (int h = 0; h < heads; h++, x += head_width)
        for (int i = 0; i < half; i++) {
            const float first = x[i], second = x[half + i];
            x[i] = first * cosines[i] - second * sines[i];
            x[half + i] = first * sines[i] + second * cosines[i];
        }
}

// ---------------------------------------------------------------------------------------------
// The Transformer

struct SelfAttention {
    const Linear *query_key_value, *output;
    Norm norm;
};

struct CrossAttention {
    const Linear *query, *output;
    Norm norm;
};

struct FeedForward {
    const Linear *inner, *outer;
    Norm norm;
};

}  // namespace

extern "C" {

// Let products of 8-bit numbers use matrix tiles, or not; returns whether they do.
int32_t use_tiles(int32_t wanted) {
#ifdef HAS_TILES
    tiles_are_used = wanted && permit_tiles();
    return tiles_are_used;
#else
    return wanted && false;
#endif
}

// These are shared with `native/__init__.py`, field by field.

struct TransformerSettings {
    int32_t width, heads, feed_forward, activation;
    int32_t pre_norm;
    int32_t halves;  // whether keys and values are kept as float16
    float residual;  // what the residual is multiplied with
    float embedding_scale;
};

// Of a layer; an encoder's has no cross-attention.
struct LayerParts {
    const void *query_key_value, *self_output, *cross_query, *cross_output, *inner, *outer;
    const float *self_weight, *self_bias, *cross_weight, *cross_bias;
    const float *feed_forward_weight, *feed_forward_bias;
};

// What the encoder reads: sentences one after the other, without padding.
struct SourceTokens {
    int32_t sentences;
    const int64_t *tokens;    // (all,)
    const int32_t *lengths;   // (sentences,)
    const float *embedding;   // (vocabulary, D)
    const float *positions;   // (longest, D), to be added to each; or null
    const float *rotations;   // (longest, 2, D / H / 2): cosines, then sines; or null
    void *const *keys_values; // a decoder layer's (all, 2, D), to be written
};

// What a step of the decoder reads beside its rows.
struct Surroundings {
    int32_t rows;                // N
    int32_t rows_each;           // of a sentence; they stand together
    int32_t read;                // T, target tokens read before
    const int64_t *tokens;       // (N,), to be read
    const float *embedding;      // (vocabulary, D)
    const float *position;       // (D,), to be added to each; or null
    const int32_t *paths;        // (N, T): in which row of each earlier step a row's token was
    int32_t *paths_after;        // (N, T + 1), to be written
    void *const *past;           // T + 1 of (layers, rows then, 2, D); the last is written
    const int32_t *past_rows;    // T + 1
    const void *const *sources;  // a layer's keys and values: (all source tokens, 2, D)
    const int32_t *starts;       // (sentences,), the first token of each
    const int32_t *lengths;      // (sentences,), tokens of each
    const int32_t *sentences;    // (N / rows_each,), of which there may be more in `sources`
    const float *rotations;      // cosines, then sines, (2, D / H / 2); or null
};

}  // extern "C"

namespace {

// What encoder and decoder have in common.
struct Sublayers {
    TransformerSettings settings;

    int head_width() const { return settings.width / settings.heads; }

    // Of the room for a row between two products.
    int widest() const {
        const int inner = settings.feed_forward * (settings.activation == SWIGLU ? 2 : 1);
        return std::max(3 * settings.width, inner);
    }

    // What a sublayer reads: its norm's output, or x itself.
    const float *enter(const Norm &norm, const float *x, int rows) const {
        if (!settings.pre_norm) return x;
        float *normed = workspace.normed.room(static_cast<size_t>(rows) * settings.width);
        normalise(norm, x, rows, settings.width, normed);
        return normed;
    }

    void leave(const Norm &norm, const Linear &output, const float *result, float *x,
               int rows) const {
        if (settings.residual != 1.0f)
            for (size_t i = 0; i < static_cast<size_t>(rows) * settings.width; i++)
                x[i] *= settings.residual;
        apply(output, result, rows, x, Into::add);
        if (!settings.pre_norm) normalise(norm, x, rows, settings.width, x);
    }

    void feed_forward(const FeedForward &layer, float *x, int rows) const {
        float *wide = workspace.wide.room(static_cast<size_t>(rows) * widest());
        apply(*layer.inner, enter(layer.norm, x, rows), rows, wide,
              settings.activation == RELU ? Into::relu : Into::replace);
        activate(static_cast<Activation>(settings.activation), wide, rows, settings.feed_forward);
        leave(layer.norm, *layer.outer, wide, x, rows);
    }

    void embed(const float *embedding, int64_t token, const float *position, float *x) const {
        const size_t width = settings.width;
        const float *own = embedding + static_cast<size_t>(token) * width;
        for (size_t i = 0; i < width; i++) x[i] = own[i] * settings.embedding_scale;
        if (position)
            for (size_t i = 0; i < width; i++) x[i] += position[i];
    }

    // The query and the key of a token, by its place.
    void turn(float *query_key, const float *rotation) const {
        if (!rotation) return;
        const float *sines = rotation + head_width() / 2;
        rotate(query_key, settings.heads, head_width(), rotation, sines);
        rotate(query_key + settings.width, settings.heads, head_width(), rotation, sines);
    }
};

struct Encoder : Sublayers {
    struct Layer {
        SelfAttention self_attention;
        FeedForward feed_forward;
    };

    static constexpr int TOKENS = 256;  // read at a time, in whole sentences: they stay in caches

    std::vector<Layer> layers;
    Norm last;
    std::vector<const Linear *> keys_values;  // of the decoder's layers

    void self_attention(const SelfAttention &layer, const SourceTokens &source, int first,
                        int end, float *x, int rows) const {
        const int width = settings.width;
        const size_t each = 3 * static_cast<size_t>(width);
        float *wide = workspace.wide.room(static_cast<size_t>(rows) * widest());
        float *attended = workspace.attended.room(static_cast<size_t>(rows) * width);
        apply(*layer.query_key_value, enter(layer.norm, x, rows), rows, wide);
        float *own = wide, *out = attended;
        for (int sentence = first; sentence < end; sentence++) {
            const int length = source.lengths[sentence];
            auto tokens = reinterpret_cast<const float **>(workspace.tokens.room(length));
            float *weights = workspace.weights.room(length + LANES);
            for (int s = 0; s < length; s++) {
                tokens[s] = own + s * each + width;
                if (source.rotations) turn(own + s * each, source.rotations + s * head_width());
            }
            for (int s = 0; s < length; s++, own += each, out += width)
                attend(own, tokens, length, settings.heads, head_width(), weights, out);
        }
        leave(layer.norm, *layer.output, attended, x, rows);
    }

    // Sentences from `first` to before `end`; their first token is number `start` of all.
    void read(const SourceTokens &source, int first, int end, size_t start, int rows) const {
        const size_t width = settings.width;
        float *x = workspace.states.room(rows * width);
        float *row = x;
        const int64_t *token = source.tokens + start;
        for (int sentence = first; sentence < end; sentence++)
            for (int s = 0; s < source.lengths[sentence]; s++, row += width)
                embed(source.embedding, *token++,
                      source.positions ? source.positions + s * width : nullptr, row);
        for (const Layer &layer : layers) {
            self_attention(layer.self_attention, source, first, end, x, rows);
            feed_forward(layer.feed_forward, x, rows);
        }
        if (last.weight) normalise(last, x, rows, settings.width, x);
        for (size_t number = 0; number < keys_values.size(); number++) {
            const size_t place = start * 2 * width;
            if (!settings.halves) {
                apply(*keys_values[number], x, rows,
                      static_cast<float *>(source.keys_values[number]) + place);
                continue;
            }
            float *wide = workspace.wide.room(static_cast<size_t>(rows) * widest());
            apply(*keys_values[number], x, rows, wide);
            keep(wide, rows * 2 * width, static_cast<Half *>(source.keys_values[number]) + place);
        }
    }

    void read(const SourceTokens &source) const {
        size_t start = 0;
        for (int first = 0; first < source.sentences;) {
            int end = first, rows = 0;
            while (end < source.sentences && (!rows || rows + source.lengths[end] <= TOKENS))
                rows += source.lengths[end++];
            read(source, first, end, start, rows);
            start += rows;
            first = end;
        }
    }
};

struct Decoder : Sublayers {
    struct Layer {
        SelfAttention self_attention;
        CrossAttention cross_attention;
        FeedForward feed_forward;
    };

    std::vector<Layer> layers;
    Norm last;

    template <typename Kept>
    void self_attention(int number, const Surroundings &around, float *x) const {
        const SelfAttention &layer = layers[number].self_attention;
        const int width = settings.width, rows = around.rows, read = around.read;
        const size_t token = 2 * static_cast<size_t>(width);
        float *wide = workspace.wide.room(static_cast<size_t>(rows) * widest());
        float *attended = workspace.attended.room(static_cast<size_t>(rows) * width);
        apply(*layer.query_key_value, enter(layer.norm, x, rows), rows, wide);
        Kept *own = static_cast<Kept *>(around.past[read]) + number * rows * token;
        auto tokens = reinterpret_cast<const Kept **>(workspace.tokens.room(read + 1));
        float *weights = workspace.weights.room(read + 1 + LANES);
        float *out = attended;
        for (int r = 0; r < rows; r++, wide += 3 * width, own += token, out += width) {
            turn(wide, around.rotations);
            keep(wide + width, token, own);
            const int32_t *path = around.paths + static_cast<size_t>(r) * read;
            for (int s = 0; s < read; s++)
                tokens[s] = static_cast<const Kept *>(around.past[s]) +
                            (static_cast<size_t>(number) * around.past_rows[s] + path[s]) * token;
            tokens[read] = own;
            attend(wide, tokens, read + 1, settings.heads, head_width(), weights, out);
        }
        leave(layer.norm, *layer.output, attended, x, rows);
    }

    template <typename Kept>
    void cross_attention(int number, const Surroundings &around, float *x) const {
        const CrossAttention &layer = layers[number].cross_attention;
        const int width = settings.width, rows = around.rows;
        const size_t token = 2 * static_cast<size_t>(width);
        float *queries = workspace.wide.room(static_cast<size_t>(rows) * widest());
        float *attended = workspace.attended.room(static_cast<size_t>(rows) * width);
        apply(*layer.query, enter(layer.norm, x, rows), rows, queries);
        float *out = attended;
        for (int r = 0; r < rows;) {
            const int sentence = around.sentences[r / around.rows_each];
            const int length = around.lengths[sentence];
            auto tokens = reinterpret_cast<const Kept **>(workspace.tokens.room(length));
            float *weights = workspace.weights.room(length + LANES);
            const Kept *first = static_cast<const Kept *>(around.sources[number]) +
                                around.starts[sentence] * token;
            for (int s = 0; s < length; s++) tokens[s] = first + s * token;
            for (int end = r + around.rows_each; r < end; r++, queries += width, out += width)
                attend(queries, tokens, length, settings.heads, head_width(), weights, out);
        }
        leave(layer.norm, *layer.output, attended, x, rows);
    }

    void read(const Surroundings &around, float *x) const {
        for (int r = 0; r < around.rows; r++) {
            embed(around.embedding, around.tokens[r], around.position,
                  x + static_cast<size_t>(r) * settings.width);
            int32_t *path = around.paths_after + static_cast<size_t>(r) * (around.read + 1);
            std::copy_n(around.paths + static_cast<size_t>(r) * around.read, around.read, path);
            path[around.read] = r;
        }
    }

    template <typename Kept> void step(const Surroundings &around, float *x) const {
        read(around, x);
        for (int number = 0; number < static_cast<int>(layers.size()); number++) {
            self_attention<Kept>(number, around, x);
            cross_attention<Kept>(number, around, x);
            feed_forward(layers[number].feed_forward, x, around.rows);
        }
        if (last.weight) normalise(last, x, around.rows, settings.width, x);
    }
};

const Linear *linear(const void *layer) { return static_cast<const Linear *>(layer); }

SelfAttention self_attention_of(const LayerParts &parts) {
    return {linear(parts.query_key_value), linear(parts.self_output),
            {parts.self_weight, parts.self_bias}};
}

CrossAttention cross_attention_of(const LayerParts &parts) {
    return {linear(parts.cross_query), linear(parts.cross_output),
            {parts.cross_weight, parts.cross_bias}};
}

FeedForward feed_forward_of(const LayerParts &parts) {
    return {linear(parts.inner), linear(parts.outer),
            {parts.feed_forward_weight, parts.feed_forward_bias}};
}

}  // namespace

// ---------------------------------------------------------------------------------------------
// What Python calls

extern "C" {

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

// `keys_values` are the layers that make them, one for each of the decoder's.
void *encoder_new(const TransformerSettings *settings, const LayerParts *layers, int32_t count,
                  const float *last_weight, const float *last_bias,
                  const void *const *keys_values, int32_t decoder_layers) {
    auto encoder = std::make_unique<Encoder>();
    encoder->settings = *settings;
    encoder->last = {last_weight, last_bias};
    for (int i = 0; i < count; i++)
        encoder->layers.push_back({self_attention_of(layers[i]), feed_forward_of(layers[i])});
    for (int i = 0; i < decoder_layers; i++) encoder->keys_values.push_back(linear(keys_values[i]));
    return encoder.release();
}

void encoder_free(void *encoder) { delete static_cast<Encoder *>(encoder); }

void encoder_read(const void *encoder, const SourceTokens *source) {
    static_cast<const Encoder *>(encoder)->read(*source);
}

void *decoder_new(const TransformerSettings *settings, const LayerParts *layers, int32_t count,
                  const float *last_weight, const float *last_bias) {
    auto decoder = std::make_unique<Decoder>();
    decoder->settings = *settings;
    decoder->last = {last_weight, last_bias};
    for (int i = 0; i < count; i++)
        decoder->layers.push_back({self_attention_of(layers[i]), cross_attention_of(layers[i]),
                                   feed_forward_of(layers[i])});
    return decoder.release();
}

void decoder_free(void *decoder) { delete static_cast<Decoder *>(decoder); }

// Read a token of each row; features (N, D) out.
void decoder_step(const void *decoder, const Surroundings *around, float *features) {
    const auto own = static_cast<const Decoder *>(decoder);
    if (own->settings.halves)
        own->step<Half>(*around, features);
    else
        own->step<float>(*around, features);
}

// (N, V), of which some may be -inf -> (N,)
void log_sum_exp(const float *logits, int32_t rows, int32_t columns, float *out) {
    for (int r = 0; r < rows; r++, logits += columns) {
        const float greatest = greatest_of(logits, columns);
        Floats total = spread(0);
        int i = 0;
        for (; i + LANES <= columns; i += LANES)
            total = add(total, exponential(add(load(logits + i), spread(-greatest))));
        float sum = sum_of(total);
        for (; i < columns; i++) sum += std::exp(logits[i] - greatest);
        out[r] = greatest + std::log(sum);
    }
}

// The `count` greatest sums of a logit (sentences x K, V) and its row's offset, best first, of each
// sentence; equal ones in the order of rows and columns. Where there are fewer, sums are -inf.
void best_extensions(const float *logits, const float *offsets, int32_t sentences, int32_t beam,
                     int32_t columns, int32_t count, float *sums, int64_t *rows, int64_t *places) {
    constexpr int GROUP = 64;
    for (int sentence = 0; sentence < sentences; sentence++) {
        float *best = sums + static_cast<size_t>(sentence) * count;
        int64_t *row = rows + static_cast<size_t>(sentence) * count;
        int64_t *place = places + static_cast<size_t>(sentence) * count;
        std::fill_n(best, count, -INFINITY);
        std::fill_n(row, count, 0);
        std::fill_n(place, count, 0);
        for (int k = 0; k < beam; k++) {
            const size_t at = static_cast<size_t>(sentence) * beam + k;
            const float offset = offsets[at];
            if (!(offset > -INFINITY)) continue;
            const float *own = logits + at * columns;
            for (int start = 0; start < columns; start += GROUP) {
                const int end = std::min(columns, start + GROUP);
                if (!(greatest_of(own + start, end - start) + offset > best[count - 1])) continue;
                for (int i = start; i < end; i++) {
                    const float sum = own[i] + offset;
                    if (!(sum > best[count - 1])) continue;
                    int j = count - 1;
                    for (; j > 0 && sum > best[j - 1]; j--) {
                        best[j] = best[j - 1];
                        row[j] = row[j - 1];
                        place[j] = place[j - 1];
                    }
                    best[j] = sum;
                    row[j] = k;
                    place[j] = i;
                }
            }
        }
    }
}

}  // extern "C"
