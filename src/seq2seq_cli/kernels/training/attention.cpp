// Attention and its gradients, a head at a time.
//
// Dimensions: N rows, H heads, Q queries, S keys, D width of a head.

#include "attention.h"

namespace {

// C (rows, columns) = A (rows, depth) B (depth, columns), or with `turned` A as (depth, rows).
// Columns are a multiple of LANES; all is in the nearest cache.
template <bool turned, int HEIGHT, int WIDTH>
inline void tile(const float *a, int a_step, const float *b, int b_step, float *c, int c_step,
                 int depth) {
    Floats sums[HEIGHT][WIDTH];
    for (auto &row : sums)
        for (auto &sum : row) sum = broadcast(0);
    for (int k = 0; k < depth; k++) {
        Floats right[WIDTH];
        for (int j = 0; j < WIDTH; j++) right[j] = load(b + k * b_step + j * LANES);
        for (int i = 0; i < HEIGHT; i++) {
            const Floats left = broadcast(turned ? a[k * a_step + i] : a[i * a_step + k]);
            for (int j = 0; j < WIDTH; j++) sums[i][j] = multiply_add(left, right[j], sums[i][j]);
        }
    }
    for (int i = 0; i < HEIGHT; i++)
        for (int j = 0; j < WIDTH; j++) store(c + i * c_step + j * LANES, sums[i][j]);
}

// Of fewer than HEIGHT rows, all in one tile: sums that wait for each other cost as much as many.
template <bool turned, int HEIGHT, int WIDTH>
void last_rows(const float *a, int a_step, const float *b, int b_step, float *c, int c_step, int rows,
               int depth) {
    if constexpr (HEIGHT > 1) {
        if (rows == HEIGHT - 1)
            tile<turned, HEIGHT - 1, WIDTH>(a, a_step, b, b_step, c, c_step, depth);
        else
            last_rows<turned, HEIGHT - 1, WIDTH>(a, a_step, b, b_step, c, c_step, rows, depth);
    }
}

template <bool turned, int WIDTH>
void columns_of(const float *a, int a_step, const float *b, int b_step, float *c, int c_step,
                int rows, int depth) {
    constexpr int HEIGHT = WIDTH == 1 ? NARROW_TILE_ROWS : WIDE_TILE_ROWS;
    const int a_row = turned ? 1 : a_step;
    int i = 0;
    for (; i + HEIGHT <= rows; i += HEIGHT)
        tile<turned, HEIGHT, WIDTH>(a + i * a_row, a_step, b, b_step, c + i * c_step, c_step, depth);
    last_rows<turned, HEIGHT, WIDTH>(a + i * a_row, a_step, b, b_step, c + i * c_step, c_step,
                                     rows - i, depth);
}

template <bool turned = false>
void product(const float *a, int a_step, const float *b, int b_step, float *c, int c_step, int rows,
             int depth, int columns) {
    int j = 0;
    for (; j + 2 * LANES <= columns; j += 2 * LANES)
        columns_of<turned, 2>(a, a_step, b + j, b_step, c + j, c_step, rows, depth);
    if (j < columns) columns_of<turned, 1>(a, a_step, b + j, b_step, c + j, c_step, rows, depth);
}

constexpr int FEW_QUERIES = 4;  // for which turning keys takes longer than it gains

// One head of one row, all in float32 and in reach.
struct Head {
    int queries, keys, width, wide, keys_wide;
    float scale;
    AlignedBuffer<float> query, key, value, turned, weights, out, slope, biases;

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
        for (int t = count; t < all; t++) std::fill_n(out + t * to.token, width, from_float<T>(0.0f));
    }

    // (keys, wide) -> (wide, keys_wide), the keys beyond the last zero.
    void turn(const float *x) {
        float *y = turned.reserve(static_cast<size_t>(wide) * keys_wide);
        Floats block[LANES];
        for (int k = 0; k < keys; k += LANES)
            for (int d = 0; d < wide; d += LANES) {
                for (int i = 0; i < LANES; i++)
                    block[i] = k + i < keys ? load(x + (k + i) * wide + d) : broadcast(0);
                ::transpose(block);
                for (int i = 0; i < LANES; i++) store(y + (d + i) * keys_wide + k, block[i]);
            }
    }

    // Of each query with each key, one by one, so that keys need not be turned.
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

    // Read queries, times the scale, keys and values; compute the weights.
    template <typename T>
    void look(const AttentionShape &shape, int64_t n, int64_t h, const Heads &q, const Heads &k,
              const Heads &v) {
        queries = q.count(n), keys = k.count(n), width = shape.width, wide = padded(width);
        const uint8_t *seen = shape.seen ? shape.seen + n * keys : nullptr;
        if (seen)
            while (keys > 1 && !seen[keys - 1]) keys--;  // padding at the end is not even read
        keys_wide = padded(keys);
        scale = shape.scale;
        read<T>(q, n, h, queries, width, wide, query.reserve(static_cast<size_t>(queries) * wide));
        read<T>(k, n, h, keys, width, wide, key.reserve(static_cast<size_t>(keys) * wide));
        read<T>(v, n, h, keys, width, wide, value.reserve(static_cast<size_t>(keys) * wide));
        for (int i = 0; i < queries * wide; i += LANES)
            store(query.data + i, multiply(load(query.data + i), broadcast(scale)));
        float *p = weights.reserve(static_cast<size_t>(queries) * keys_wide);
        if (queries < FEW_QUERIES) {
            dot_products(p);
        } else {
            turn(key.data);
            product(query.data, wide, turned.data, keys_wide, p, keys_wide, queries, width,
                    keys_wide);
        }
        // Where causal, as many zeros as keys, then as many -inf: each query begins one further to
        // the left; there are as many keys as queries.
        float *bias = biases.reserve(2 * static_cast<size_t>(keys_wide));
        for (int i = 0; i < keys_wide; i++) {
            bias[i] = shape.causal || (i < keys && (!seen || seen[i])) ? 0.0f : -INFINITY;
            bias[keys_wide + i] = -INFINITY;
        }
        for (int i = 0; i < queries; i++) {
            float *own = p + i * keys_wide;
            const float *own_bias = shape.causal ? bias + keys_wide - 1 - i : bias;
            Floats most = broadcast(-INFINITY), sum = broadcast(0);
            for (int j = 0; j < keys_wide; j += LANES) {
                const Floats x = add(load(own + j), load(own_bias + j));
                store(own + j, x);
                most = max(most, x);
            }
            const Floats greatest = broadcast(-reduce_max(most));
            for (int j = 0; j < keys_wide; j += LANES) {
                const Floats x = exponential(add(load(own + j), greatest));
                store(own + j, x);
                sum = add(sum, x);
            }
            const Floats factor = broadcast(1 / reduce_add(sum));
            for (int j = 0; j < keys_wide; j += LANES)
                store(own + j, multiply(load(own + j), factor));
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
        own.look<T>(shape, n, h, query, key, value);
        float *result = own.out.reserve(static_cast<size_t>(own.queries) * own.wide);
        product(own.weights.data, own.keys_wide, own.value.data, own.wide, result, own.wide,
                own.queries, own.keys, own.wide);
        Head::write<T>(result, own.wide, own.queries, own.queries, own.width, out, n, h);
    });
}

// Weights are computed again: they take longer to write and read than to compute.
template <typename T>
void attention_backward(const AttentionShape &shape, const Heads &query, const Heads &key,
                        const Heads &value, const Heads &gradient, const Heads &of_query,
                        const Heads &of_key, const Heads &of_value, int threads) {
    parallel_for(shape.rows * shape.heads, threads, [&](int64_t task) {
        const int64_t n = task / shape.heads, h = task % shape.heads;
        Head &own = head;
        own.look<T>(shape, n, h, query, key, value);
        const int queries = own.queries, keys = own.keys, wide = own.wide;
        const int keys_wide = own.keys_wide, longest = std::max(queries, keys);
        float *given = own.slope.reserve(static_cast<size_t>(queries) * (wide + keys_wide));
        float *slope = given + queries * wide;  // of weights, then of scores
        Head::read<T>(gradient, n, h, queries, own.width, wide, given);
        float *p = own.weights.data, *result = own.out.reserve(static_cast<size_t>(longest) * wide);
        product<true>(p, keys_wide, given, wide, result, wide, keys, queries, wide);
        Head::write<T>(result, wide, keys, value.count(n), own.width, of_value, n, h);
        own.turn(own.value.data);
        product(given, wide, own.turned.data, keys_wide, slope, keys_wide, queries, own.width,
                keys_wide);
        for (int i = 0; i < queries; i++) {
            float *weight = p + i * keys_wide, *each = slope + i * keys_wide;
            Floats sum = broadcast(0);
            for (int j = 0; j < keys_wide; j += LANES)
                sum = multiply_add(load(weight + j), load(each + j), sum);
            const Floats mean = broadcast(-reduce_add(sum));
            for (int j = 0; j < keys_wide; j += LANES)
                store(each + j, multiply(load(weight + j), add(load(each + j), mean)));
        }
        product<true>(slope, keys_wide, own.query.data, wide, result, wide, keys, queries, wide);
        Head::write<T>(result, wide, keys, key.count(n), own.width, of_key, n, h);
        product(slope, keys_wide, own.key.data, wide, result, wide, queries, keys, wide);
        for (int i = 0; i < queries * wide; i += LANES)
            store(result + i, multiply(load(result + i), broadcast(own.scale)));
        Head::write<T>(result, wide, queries, queries, own.width, of_query, n, h);
    });
}

}  // namespace

extern "C" {

void train_attention(int32_t is_bfloat16, const AttentionShape *shape, const Heads *query,
                     const Heads *key, const Heads *value, const Heads *out, int32_t threads) {
    if (is_bfloat16 && attend_in_tiles(*shape, *query, *key, *value, *out, threads)) return;
    DISPATCH_TYPE(is_bfloat16, attention<T>(*shape, *query, *key, *value, *out, threads))
}

void train_attention_backward(int32_t is_bfloat16, const AttentionShape *shape, const Heads *query,
                              const Heads *key, const Heads *value, const Heads *gradient,
                              const Heads *of_query, const Heads *of_key, const Heads *of_value,
                              int32_t threads) {
    if (is_bfloat16 && attend_in_tiles_backward(*shape, *query, *key, *value, *gradient, *of_query, *of_key,
                                          *of_value, threads))
        return;
    DISPATCH_TYPE(is_bfloat16, attention_backward<T>(*shape, *query, *key, *value, *gradient, *of_query,
                                                *of_key, *of_value, threads))
}

}  // extern "C"
