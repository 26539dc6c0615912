// Attention and its gradients, a head at a time.
//
// Dimensions: as in attention.h.

#include "attention.h"

namespace {

// Matrix products c (rows, columns) = a (rows, depth) b (depth, columns), or with TRANSPOSED a
// (depth, rows). Columns are a multiple of LANES, and everything is in the nearest cache.

// One register tile: HEIGHT rows, WIDTH vectors of columns.
template <bool TRANSPOSED, int HEIGHT, int WIDTH>
inline void tile(const float *a, int a_step, const float *b, int b_step, float *c, int c_step,
                 int depth) {
    Floats sums[HEIGHT][WIDTH];
    for (auto &row : sums)
        for (auto &sum : row) sum = broadcast(0);
    for (int k = 0; k < depth; k++) {
        Floats right[WIDTH];
        for (int j = 0; j < WIDTH; j++) right[j] = load(b + k * b_step + j * LANES);
        for (int i = 0; i < HEIGHT; i++) {
            const Floats left = broadcast(TRANSPOSED ? a[k * a_step + i] : a[i * a_step + k]);
            for (int j = 0; j < WIDTH; j++) sums[i][j] = multiply_add(left, right[j], sums[i][j]);
        }
    }
    for (int i = 0; i < HEIGHT; i++)
        for (int j = 0; j < WIDTH; j++) store(c + i * c_step + j * LANES, sums[i][j]);
}

// Fewer than HEIGHT rows, in one tile: with few sums each waits for its last product, so that a
// tile of a few rows takes as long as one of many.
template <bool TRANSPOSED, int HEIGHT, int WIDTH>
void last_rows(const float *a, int a_step, const float *b, int b_step, float *c, int c_step,
               int rows, int depth) {
    if constexpr (HEIGHT > 1) {
        if (rows == HEIGHT - 1)
            tile<TRANSPOSED, HEIGHT - 1, WIDTH>(a, a_step, b, b_step, c, c_step, depth);
        else
            last_rows<TRANSPOSED, HEIGHT - 1, WIDTH>(a, a_step, b, b_step, c, c_step, rows, depth);
    }
}

template <bool TRANSPOSED, int WIDTH>
void columns_of(const float *a, int a_step, const float *b, int b_step, float *c, int c_step,
                int rows, int depth) {
    constexpr int HEIGHT = WIDTH == 1 ? NARROW_TILE_ROWS : WIDE_TILE_ROWS;
    const int a_row = TRANSPOSED ? 1 : a_step;
    int i = 0;
    for (; i + HEIGHT <= rows; i += HEIGHT)
        tile<TRANSPOSED, HEIGHT, WIDTH>(a + i * a_row, a_step, b, b_step, c + i * c_step, c_step,
                                        depth);
    last_rows<TRANSPOSED, HEIGHT, WIDTH>(a + i * a_row, a_step, b, b_step, c + i * c_step, c_step,
                                         rows - i, depth);
}

template <bool TRANSPOSED = false>
void product(const float *a, int a_step, const float *b, int b_step, float *c, int c_step, int rows,
             int depth, int columns) {
    int j = 0;
    for (; j + 2 * LANES <= columns; j += 2 * LANES)
        columns_of<TRANSPOSED, 2>(a, a_step, b + j, b_step, c + j, c_step, rows, depth);
    if (j < columns)
        columns_of<TRANSPOSED, 1>(a, a_step, b + j, b_step, c + j, c_step, rows, depth);
}

constexpr int FEW_QUERIES = 4;  // below this, transposing keys takes longer than it saves

// One head of one row: its tensors in float32, with rows padded to whole vectors, and the weights
// of attention.
struct Head {
    int queries, keys, width, wide, keys_wide;
    float scale;
    AlignedBuffer<float> query, key, value, transposed, weights, out, gradients, biases;
    OffsetBias offset_bias;

    template <typename T>
    static void read(const Heads &from, int64_t n, int64_t h, int count, int width, int wide,
                     float *out) {
        const T *x = from.at<T>(n, h);
        for (int t = 0; t < count; t++) load_row(x + t * from.token, width, wide, out + t * wide);
    }

    template <typename T>
    static void write(const float *x, int wide, int count, int all, int width, const Heads &to,
                      int64_t n, int64_t h) {
        T *out = to.at<T>(n, h);
        for (int t = 0; t < count; t++) store_row(x + t * wide, width, out + t * to.token);
        for (int t = count; t < all; t++)
            std::fill_n(out + t * to.token, width, from_float<T>(0.0f));
    }

    // x (keys, wide) -> `transposed` (wide, keys_wide), zero beyond the last key.
    void transpose_keys(const float *x) {
        float *y = transposed.reserve(static_cast<size_t>(wide) * keys_wide);
        Floats block[LANES];
        for (int k = 0; k < keys; k += LANES)
            for (int d = 0; d < wide; d += LANES) {
                for (int i = 0; i < LANES; i++)
                    block[i] = k + i < keys ? load(x + (k + i) * wide + d) : broadcast(0);
                ::transpose(block);
                for (int i = 0; i < LANES; i++) store(y + (d + i) * keys_wide + k, block[i]);
            }
    }

    // Scores (queries, keys_wide) from one dot product after the other, without transposing keys.
    void dot_products(float *scores) const {
        for (int i = 0; i < queries; i++)
            for (int k = 0; k < keys_wide; k++) {
                Floats sum = broadcast(0);
                if (k < keys)
                    for (int d = 0; d < wide; d += LANES)
                        sum = multiply_add(load(query.data + i * wide + d),
                                           load(key.data + k * wide + d), sum);
                scores[i * keys_wide + k] = reduce_add(sum);
            }
    }

    template <typename T>
    void read_inputs(const AttentionShape &shape, int64_t n, int64_t h, const Heads &q,
                     const Heads &k, const Heads &v) {
        queries = q.count(n), keys = k.count(n), width = shape.width, wide = padded(width);
        const uint8_t *mask = shape.mask ? shape.mask + n * keys : nullptr;
        if (mask)
            while (keys > 1 && !mask[keys - 1]) keys--;  // does not read padding at the end
        keys_wide = padded(keys);
        scale = shape.scale;
        read<T>(q, n, h, queries, width, wide, query.reserve(static_cast<size_t>(queries) * wide));
        read<T>(k, n, h, keys, width, wide, key.reserve(static_cast<size_t>(keys) * wide));
        read<T>(v, n, h, keys, width, wide, value.reserve(static_cast<size_t>(keys) * wide));
        for (int i = 0; i < queries * wide; i += LANES)
            store(query.data + i, multiply(load(query.data + i), broadcast(scale)));
        // What is added to scores: 0, or -inf for masked keys. If causal it is as many zeros as
        // keys, then as many -inf, and each query starts one further to the left; there are as many
        // keys as queries.
        float *bias = biases.reserve(2 * static_cast<size_t>(keys_wide));
        for (int i = 0; i < keys_wide; i++) {
            bias[i] = shape.causal || (i < keys && (!mask || mask[i])) ? 0.0f : -INFINITY;
            bias[keys_wide + i] = -INFINITY;
        }
        if (shape.bias) offset_bias.read(shape, h, queries, keys, keys_wide);
    }

    // Scores of one query plus their bias, and that by offset if BIASED -> its weights, in place.
    template <bool BIASED>
    void softmax(float *scores, const float *bias, const float *by_offset) const {
        Floats most = broadcast(-INFINITY), sum = broadcast(0);
        for (int j = 0; j < keys_wide; j += LANES) {
            Floats x = add(load(scores + j), load(bias + j));
            if constexpr (BIASED) x = add(x, load(by_offset + j));
            store(scores + j, x);
            most = max(most, x);
        }
        const Floats negative_largest = broadcast(-reduce_max(most));
        for (int j = 0; j < keys_wide; j += LANES) {
            const Floats x = exponential(add(load(scores + j), negative_largest));
            store(scores + j, x);
            sum = add(sum, x);
        }
        const Floats factor = broadcast(1 / reduce_add(sum));
        for (int j = 0; j < keys_wide; j += LANES)
            store(scores + j, multiply(load(scores + j), factor));
    }

    // Reads the head, with queries times the scale, and computes `weights` (queries, keys_wide).
    template <typename T>
    void compute_weights(const AttentionShape &shape, int64_t n, int64_t h, const Heads &q,
                         const Heads &k, const Heads &v) {
        read_inputs<T>(shape, n, h, q, k, v);
        float *p = weights.reserve(static_cast<size_t>(queries) * keys_wide);
        if (queries < FEW_QUERIES) {
            dot_products(p);
        } else {
            transpose_keys(key.data);
            product(query.data, wide, transposed.data, keys_wide, p, keys_wide, queries, width,
                    keys_wide);
        }
        for (int i = 0; i < queries; i++) {
            const float *bias = shape.causal ? biases.data + keys_wide - 1 - i : biases.data;
            if (shape.bias)
                softmax<true>(p + i * keys_wide, bias, offset_bias.of_query(i));
            else
                softmax<false>(p + i * keys_wide, bias, nullptr);
        }
    }
};

thread_local Head head;

template <typename T>
void attention(const AttentionShape &shape, const Heads &query, const Heads &key,
               const Heads &value, const Heads &out, int threads) {
    parallel_for(shape.rows * shape.heads, threads, [&](int64_t task) {
        const int64_t n = task / shape.heads, h = task % shape.heads;
        Head &own = head;
        own.compute_weights<T>(shape, n, h, query, key, value);
        float *result = own.out.reserve(static_cast<size_t>(own.queries) * own.wide);
        product(own.weights.data, own.keys_wide, own.value.data, own.wide, result, own.wide,
                own.queries, own.keys, own.wide);
        Head::write<T>(result, own.wide, own.queries, own.queries, own.width, out, n, h);
    });
}

// Weights are computed again, because writing and reading them takes longer.
template <typename T>
void attention_backward(const AttentionShape &shape, const Heads &query, const Heads &key,
                        const Heads &value, const Heads &grad_out, const Heads &grad_query,
                        const Heads &grad_key, const Heads &grad_value, int threads) {
    parallel_for(shape.rows * shape.heads, threads, [&](int64_t task) {
        const int64_t n = task / shape.heads, h = task % shape.heads;
        Head &own = head;
        own.compute_weights<T>(shape, n, h, query, key, value);
        const int queries = own.queries, keys = own.keys, wide = own.wide;
        const int keys_wide = own.keys_wide, longest = std::max(queries, keys);
        float *grad_result =
            own.gradients.reserve(static_cast<size_t>(queries) * (wide + keys_wide));
        float *grad_scores = grad_result + queries * wide;  // of weights, later of scores
        Head::read<T>(grad_out, n, h, queries, own.width, wide, grad_result);
        float *p = own.weights.data, *result = own.out.reserve(static_cast<size_t>(longest) * wide);
        product<true>(p, keys_wide, grad_result, wide, result, wide, keys, queries, wide);
        Head::write<T>(result, wide, keys, value.count(n), own.width, grad_value, n, h);
        own.transpose_keys(own.value.data);
        product(grad_result, wide, own.transposed.data, keys_wide, grad_scores, keys_wide, queries,
                own.width, keys_wide);
        for (int i = 0; i < queries; i++) {
            float *weight = p + i * keys_wide, *each = grad_scores + i * keys_wide;
            Floats sum = broadcast(0);
            for (int j = 0; j < keys_wide; j += LANES)
                sum = multiply_add(load(weight + j), load(each + j), sum);
            const Floats mean = broadcast(-reduce_add(sum));
            for (int j = 0; j < keys_wide; j += LANES)
                store(each + j, multiply(load(weight + j), add(load(each + j), mean)));
        }
        if (shape.grad_bias) {
            own.offset_bias.begin_sums();
            for (int i = 0; i < queries; i++) {
                float *sums = own.offset_bias.sums_of_query(i), *each = grad_scores + i * keys_wide;
                for (int j = 0; j < keys_wide; j += LANES)
                    store(sums + j, add(load(sums + j), load(each + j)));
            }
            own.offset_bias.write(shape, n, h, keys);
        }
        product<true>(grad_scores, keys_wide, own.query.data, wide, result, wide, keys, queries,
                      wide);
        Head::write<T>(result, wide, keys, key.count(n), own.width, grad_key, n, h);
        product(grad_scores, keys_wide, own.key.data, wide, result, wide, queries, keys, wide);
        for (int i = 0; i < queries * wide; i += LANES)
            store(result + i, multiply(load(result + i), broadcast(own.scale)));
        Head::write<T>(result, wide, queries, queries, own.width, grad_query, n, h);
    });
}

}  // namespace

extern "C" {

void train_attention(int32_t is_bfloat16, const AttentionShape *shape, const Heads *query,
                     const Heads *key, const Heads *value, const Heads *out, int32_t threads) {
    guarded([&] {
        if (is_bfloat16 && attend_in_tiles(*shape, *query, *key, *value, *out, threads)) return;
        DISPATCH_TYPE(is_bfloat16, attention<T>(*shape, *query, *key, *value, *out, threads))
    });
}

void train_attention_backward(int32_t is_bfloat16, const AttentionShape *shape, const Heads *query,
                              const Heads *key, const Heads *value, const Heads *grad_out,
                              const Heads *grad_query, const Heads *grad_key,
                              const Heads *grad_value, int32_t threads) {
    guarded([&] {
        if (is_bfloat16 && attend_in_tiles_backward(*shape, *query, *key, *value, *grad_out,
                                                    *grad_query, *grad_key, *grad_value, threads))
            return;
        DISPATCH_TYPE(is_bfloat16,
                      attention_backward<T>(*shape, *query, *key, *value, *grad_out, *grad_query,
                                            *grad_key, *grad_value, threads))
    });
}

}  // extern "C"
