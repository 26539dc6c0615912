// Attention of bfloat16 numbers and its gradients in matrix tiles; attention.cpp does the same in
// vectors.
//
// Weights and their gradients are rounded to bfloat16 before they are multiplied; sums and the
// softmax are float32. Queries are read in blocks of 32.
//
// Dimensions: as in attention.h.

#include "attention.h"
#include "../simd/bfloat16_tiles.h"

#ifdef HAS_TILES

namespace {

const auto nothing = [](int, int) {};

// The rows (queries, keys or values) of one head, and how they are packed for a product.
struct Rows {
    const bfloat16 *x;
    int64_t step;
    int rows, width;

    // For the left of a product, whose depth is the width: a block of up to 32 rows. Rows beyond
    // them are left as they are, since no row of a product depends on another.
    void pack_left(int block, bfloat16 *out) const {
        const int here = std::min(SIDE, rows - block * SIDE);
        LeftPacking{x + block * SIDE * step, step, here, width / SIDE, out}.pack(0, here);
    }

    // For the right of a product, whose depth is the width: blocks of 32 rows, one after the other.
    const bfloat16 *as_columns(AlignedBuffer<bfloat16> &buffer) const {
        const int depth = width / SIDE, blocks = blocks_of(rows);
        bfloat16 *out = buffer.reserve(static_cast<size_t>(blocks) * depth * BLOCK);
        for (int b = 0; b < blocks; b++)
            for (int d = 0; d < depth; d++)
                pack_columns(x + b * SIDE * step + d * SIDE, step, rows - b * SIDE,
                             out + (static_cast<size_t>(b) * depth + d) * BLOCK);
        return out;
    }

    // For the right of a product, whose depth is the rows: blocks of 32 columns, one after the
    // other.
    const bfloat16 *as_rows(AlignedBuffer<bfloat16> &buffer) const {
        const int depth = blocks_of(rows);
        const size_t stride = static_cast<size_t>(depth) * BLOCK;
        bfloat16 *out = buffer.reserve(width / SIDE * stride);
        for (int b = 0; b < depth; b++)
            pack_rows(x + b * SIDE * step, step, rows - b * SIDE, width, out + b * BLOCK, stride);
        return out;
    }
};

// A block of a product, of which only the first rows and columns are needed; tiles without any of
// them are not computed.
inline void accumulate_block(const bfloat16 *left, const bfloat16 *right, int depth, int rows,
                             int columns, float *sums) {
    if (rows > 16 && columns > 16) return accumulate(left, right, depth, true, sums, nothing);
    if (rows > 16) return accumulate<2, 1>(left, right, depth, true, sums, nothing);
    if (columns > 16) return accumulate<1, 2>(left, right, depth, true, sums, nothing);
    accumulate<1, 1>(left, right, depth, true, sums, nothing);
}

// A block of sums times `scale` -> its first rows, and 32 columns, of a tensor.
BFLOAT16_VECTORS inline void store_block(const float *sums, float scale, int rows, bfloat16 *out,
                                         int64_t step) {
    for (int r = 0; r < std::min(rows, SIDE); r++, sums += SIDE, out += step) {
        store_pair(out, multiply(load(sums), broadcast(scale)),
                   multiply(load(sums + 16), broadcast(scale)));
    }
}

struct TiledHead {
    int queries, keys, width;
    bool causal;
    float scale;
    Rows query, key, value;
    AlignedBuffer<bfloat16> key_columns, key_rows, value_columns, value_rows, query_rows,
        gradient_rows;
    AlignedBuffer<bfloat16> left, weight_left, weights_transposed, gradients_transposed;
    AlignedBuffer<float> bias, weights, gradients, sums;
    bool biased;
    OffsetBias offset_bias;

    int query_blocks() const { return blocks_of(queries); }
    int key_blocks() const { return blocks_of(keys); }
    int depth() const { return width / SIDE; }

    // The number of blocks of keys that a block of queries attends to, and of vectors in them.
    int visible_blocks(int block) const { return causal ? block + 1 : key_blocks(); }
    int visible_vectors(int blocks) const { return std::min(2 * blocks, (keys + 15) / 16); }
    int queries_of(int block) const { return std::min(SIDE, queries - block * SIDE); }

    void read(const AttentionShape &shape, int64_t n, int64_t h, const Heads &q, const Heads &k,
              const Heads &v) {
        queries = q.count(n), keys = k.count(n), width = shape.width;
        causal = shape.causal, scale = shape.scale;
        const uint8_t *mask = shape.mask ? shape.mask + n * keys : nullptr;
        if (mask)
            while (keys > 1 && !mask[keys - 1]) keys--;  // does not read padding at the end
        query = {q.at<bfloat16>(n, h), q.token, queries, width};
        key = {k.at<bfloat16>(n, h), k.token, keys, width};
        value = {v.at<bfloat16>(n, h), v.token, keys, width};
        // What is added to scores: 0, or -inf for masked keys. If causal it is zeros, then as many
        // -inf, and each query starts one further to the left.
        const int wide = key_blocks() * SIDE;
        float *own = bias.reserve(2 * static_cast<size_t>(wide));
        for (int i = 0; i < wide; i++) {
            own[i] = causal || (i < keys && (!mask || mask[i])) ? 0.0f : -INFINITY;
            own[wide + i] = -INFINITY;
        }
        biased = shape.bias;
        if (biased) offset_bias.read(shape, h, queries, keys, wide);
    }

    // Computes the weights of a block of queries, as blocks (32, 32) of queries and keys.
    void compute_weights(int block, const bfloat16 *columns) {
        const int blocks = visible_blocks(block), wide = key_blocks() * SIDE;
        const int rows = queries_of(block);
        const int vectors = visible_vectors(blocks);
        float *p = weights.reserve(static_cast<size_t>(blocks) * SUMS);
        bfloat16 *own = left.reserve(static_cast<size_t>(depth()) * BLOCK);
        query.pack_left(block, own);
        for (int b = 0; b < blocks; b++)
            accumulate_block(own, columns + static_cast<size_t>(b) * depth() * BLOCK, depth(), rows,
                             keys - b * SIDE, p + static_cast<size_t>(b) * SUMS);
        for (int r = 0; r < rows; r++) {
            const int query = block * SIDE + r;
            const float *own_bias = causal ? bias.data + wide - 1 - query : bias.data;
            if (biased)
                softmax<true>(p + r * SIDE, own_bias, offset_bias.of_query(query), vectors);
            else
                softmax<false>(p + r * SIDE, own_bias, nullptr, vectors);
        }
    }

    // The address of vector j of a row, whose keys are in blocks.
    static float *vector_at(float *row, int j) { return row + j / 2 * SUMS + j % 2 * 16; }

    // One row of products of queries and keys, with a bias by offset if BIASED -> its weights, in
    // place.
    template <bool BIASED>
    void softmax(float *row, const float *row_bias, const float *by_offset, int vectors) const {
        Floats most = broadcast(-INFINITY), sum = broadcast(0);
        for (int j = 0; j < vectors; j++) {
            float *x = vector_at(row, j);
            Floats score = multiply_add(load(x), broadcast(scale), load(row_bias + 16 * j));
            if constexpr (BIASED) score = add(score, load(by_offset + 16 * j));
            store(x, score);
            most = max(most, score);
        }
        const Floats negative_largest = broadcast(-reduce_max(most));
        for (int j = 0; j < vectors; j++) {
            float *x = vector_at(row, j);
            const Floats e = exponential(add(load(x), negative_largest));
            store(x, e);
            sum = add(sum, e);
        }
        const Floats factor = broadcast(1 / reduce_add(sum));
        for (int j = 0; j < vectors; j++) {
            float *x = vector_at(row, j);
            store(x, multiply(load(x), factor));
        }
    }

    // Adds gradients of the scores of a block of queries to those of their bias.
    void add_to_bias(float *gradients, int block, int vectors) const {
        for (int r = 0; r < queries_of(block); r++) {
            float *out = offset_bias.sums_of_query(block * SIDE + r);
            for (int j = 0; j < vectors; j++)
                store(out + 16 * j,
                      add(load(out + 16 * j), load(vector_at(gradients + r * SIDE, j))));
        }
    }

    // Packs numbers of a block of queries and its keys, rounded, for the left of a product.
    const bfloat16 *pack_rounded(float *x, int block) {
        const int blocks = visible_blocks(block), rows = queries_of(block);
        bfloat16 *out = weight_left.reserve(static_cast<size_t>(blocks) * BLOCK);
        if (visible_vectors(blocks) < 2 * blocks)  // zeros beyond the last key
            for (int r = 0; r < rows; r++)
                store(x + static_cast<size_t>(blocks - 1) * SUMS + r * SIDE + 16, broadcast(0));
        for (int b = 0; b < blocks; b++)
            store_block(x + static_cast<size_t>(b) * SUMS, 1, rows,
                        out + static_cast<size_t>(b) * BLOCK, SIDE);
        return out;
    }

    // Packs the same transposed: those of the block b of keys become the row b of blocks.
    void pack_transposed(const float *x, int block, bfloat16 *out) const {
        for (int b = 0; b < visible_blocks(block); b++) {
            bfloat16 *own = out + (static_cast<size_t>(b) * query_blocks() + block) * BLOCK;
            const int columns = keys - b * SIDE > 16 ? SIDE : 16;
            pack_rows(x + static_cast<size_t>(b) * SUMS, SIDE, queries_of(block), columns, own, 0);
            transpose_block(own, columns / 16);
        }
    }

    // The product of a packed left side with packed rows -> the first `rows` of 32 rows of a
    // tensor.
    void multiply_rows(const bfloat16 *own, int count, const bfloat16 *right, int right_depth,
                       float factor, int rows, bfloat16 *out, int64_t step) {
        float *buffer = sums.reserve(SUMS);
        for (int d = 0; d < depth(); d++) {
            accumulate_block(own, right + static_cast<size_t>(d) * right_depth * BLOCK, count, rows,
                             SIDE, buffer);
            store_block(buffer, factor, rows, out + d * SIDE, step);
        }
    }
};

thread_local TiledHead tiled_head;

// Gradients store two numbers for each query and key of a head. Beyond this many, vectors do the
// work, which store nothing transposed.
constexpr int64_t MOST_WEIGHTS = 1 << 20;

bool fits(const AttentionShape &shape) {
    return tiles_multiply_bfloat16() && shape.width % SIDE == 0;
}

int64_t most_weights(const AttentionShape &shape, const Heads &query, const Heads &key) {
    int64_t most = 0;
    for (int n = 0; n < shape.rows; n++)
        most = std::max(most, int64_t{query.count(n)} * key.count(n));
    return most;
}

// Calls work(n, h) for each head of each row, with configured tiles. A task is all heads of a row,
// or one head if there are few rows.
template <typename Work> void each_head(const AttentionShape &shape, int threads, Work &&work) {
    const int together = shape.rows >= 4 * threads ? shape.heads : 1;
    parallel_for(int64_t{shape.rows} * shape.heads / together, threads, [&](int64_t task) {
        configure_tiles(TILE_ROWS);
        for (int64_t i = task * together; i < (task + 1) * together; i++)
            work(i / shape.heads, i % shape.heads);
        release_tiles();
    });
}

void zero_rest(const Heads &to, int64_t n, int64_t h, int begin, int end, int width) {
    for (int t = begin; t < end; t++)
        std::memset(to.at<bfloat16>(n, h) + t * to.token, 0, width * sizeof(bfloat16));
}

}  // namespace

bool seq2seq::attend_in_tiles(const AttentionShape &shape, const Heads &query, const Heads &key,
                              const Heads &value, const Heads &out, int threads) {
    if (!fits(shape)) return false;
    each_head(shape, threads, [&](int64_t n, int64_t h) {
        TiledHead &own = tiled_head;
        own.read(shape, n, h, query, key, value);
        const bfloat16 *keys = own.key.as_columns(own.key_columns);
        const bfloat16 *values = own.value.as_rows(own.value_rows);
        for (int block = 0; block < own.query_blocks(); block++) {
            const int visible = own.visible_blocks(block), first = block * SIDE;
            own.compute_weights(block, keys);
            own.multiply_rows(own.pack_rounded(own.weights.data, block), visible, values,
                              own.key_blocks(), 1, own.queries - first,
                              out.at<bfloat16>(n, h) + first * out.token, out.token);
        }
    });
    return true;
}

namespace {

// Gradients of weights -> gradients of scores, for the first rows of a block of queries, in place.
void softmax_backward(float *weights, float *gradients, int rows, int vectors) {
    for (int r = 0; r < rows; r++) {
        float *weight = weights + r * SIDE, *gradient = gradients + r * SIDE;
        Floats sum = broadcast(0);
        for (int j = 0; j < vectors; j++)
            sum = multiply_add(load(TiledHead::vector_at(weight, j)),
                               load(TiledHead::vector_at(gradient, j)), sum);
        const Floats mean = broadcast(-reduce_add(sum));
        for (int j = 0; j < vectors; j++) {
            float *x = TiledHead::vector_at(gradient, j);
            store(x, multiply(load(TiledHead::vector_at(weight, j)), add(load(x), mean)));
        }
    }
}

// One head of one row: the tensors' gradients from that of the output.
void head_backward(TiledHead &head, int64_t n, int64_t h, const Heads &grad_out,
                   const Heads &grad_query, const Heads &grad_key, const Heads &grad_value) {
    const Rows gradient{grad_out.at<bfloat16>(n, h), grad_out.token, head.queries, head.width};
    const bfloat16 *keys = head.key.as_columns(head.key_columns);
    const bfloat16 *key_rows = head.key.as_rows(head.key_rows);
    const bfloat16 *values = head.value.as_columns(head.value_columns);
    const bfloat16 *query_rows = head.query.as_rows(head.query_rows);
    const bfloat16 *gradient_rows = gradient.as_rows(head.gradient_rows);
    const int query_blocks = head.query_blocks(), key_blocks = head.key_blocks();
    const size_t all = static_cast<size_t>(query_blocks) * key_blocks * BLOCK;
    bfloat16 *weights_transposed = head.weights_transposed.reserve(all);
    bfloat16 *gradients_transposed = head.gradients_transposed.reserve(all);
    if (head.biased) head.offset_bias.begin_sums();
    for (int block = 0; block < query_blocks; block++) {
        const int visible = head.visible_blocks(block), first = block * SIDE;
        head.compute_weights(block, keys);
        head.pack_transposed(head.weights.data, block, weights_transposed);
        float *gradients = head.gradients.reserve(static_cast<size_t>(visible) * SUMS);
        gradient.pack_left(block, head.left.data);
        for (int b = 0; b < visible; b++)
            accumulate_block(head.left.data, values + static_cast<size_t>(b) * head.depth() * BLOCK,
                             head.depth(), head.queries_of(block), head.keys - b * SIDE,
                             gradients + static_cast<size_t>(b) * SUMS);
        softmax_backward(head.weights.data, gradients, head.queries_of(block),
                         head.visible_vectors(visible));
        if (head.biased) head.add_to_bias(gradients, block, head.visible_vectors(visible));
        head.pack_transposed(gradients, block, gradients_transposed);
        head.multiply_rows(head.pack_rounded(gradients, block), visible, key_rows, key_blocks,
                           head.scale, head.queries - first,
                           grad_query.at<bfloat16>(n, h) + first * grad_query.token,
                           grad_query.token);
    }
    for (int b = 0; b < key_blocks; b++) {
        // If causal, earlier blocks of queries do not attend to this block of keys.
        const int from = head.causal ? b : 0, count = query_blocks - from, first = b * SIDE;
        const size_t skipped = static_cast<size_t>(from) * BLOCK;
        const size_t at = static_cast<size_t>(b) * query_blocks * BLOCK + skipped;
        head.multiply_rows(weights_transposed + at, count, gradient_rows + skipped, query_blocks, 1,
                           head.keys - first,
                           grad_value.at<bfloat16>(n, h) + first * grad_value.token,
                           grad_value.token);
        head.multiply_rows(gradients_transposed + at, count, query_rows + skipped, query_blocks,
                           head.scale, head.keys - first,
                           grad_key.at<bfloat16>(n, h) + first * grad_key.token, grad_key.token);
    }
}

}  // namespace

bool seq2seq::attend_in_tiles_backward(const AttentionShape &shape, const Heads &query,
                                       const Heads &key, const Heads &value, const Heads &grad_out,
                                       const Heads &grad_query, const Heads &grad_key,
                                       const Heads &grad_value, int threads) {
    if (!fits(shape) || most_weights(shape, query, key) > MOST_WEIGHTS) return false;
    each_head(shape, threads, [&](int64_t n, int64_t h) {
        TiledHead &head = tiled_head;
        head.read(shape, n, h, query, key, value);
        head_backward(head, n, h, grad_out, grad_query, grad_key, grad_value);
        if (head.biased) head.offset_bias.write(shape, n, h, head.keys);
        zero_rest(grad_key, n, h, head.keys, key.count(n), head.width);
        zero_rest(grad_value, n, h, head.keys, value.count(n), head.width);
    });
    return true;
}

#else

bool seq2seq::attend_in_tiles(const AttentionShape &, const Heads &, const Heads &, const Heads &,
                              const Heads &, int) {
    return false;
}

bool seq2seq::attend_in_tiles_backward(const AttentionShape &, const Heads &, const Heads &,
                                       const Heads &, const Heads &, const Heads &, const Heads &,
                                       const Heads &, int) {
    return false;
}

#endif
