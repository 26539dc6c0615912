// Attention and its gradients in matrix tiles: what attention.cpp does with vectors, for bfloat16.
//
// Weights and their slopes are rounded to bfloat16 where they are multiplied; sums and the softmax are
// float32. Queries come a block of 32 at a time.
//
// Dimensions: as in attention.h.

#include "attention.h"
#include "../simd/bfloat16_tiles.h"

#ifdef HAS_TILES

namespace {

const auto nothing = [](int, int) {};

// The rows of one head, and what is packed of them.
struct Side {
    const bfloat16 *x;
    int64_t step;
    int rows, width;

    // On the left of a product: a block of up to 32 rows, whose depth is the width. What is in the place
    // of others matters to no other row.
    void pack_left(int block, bfloat16 *out) const {
        const int here = std::min(SIDE, rows - block * SIDE);
        LeftPacking{x + block * SIDE * step, step, here, width / SIDE, out}.pack(0, here);
    }

    // On the right, the width as the depth: blocks of 32 rows, one after the other.
    const bfloat16 *as_columns(AlignedBuffer<bfloat16> &room) const {
        const int depth = width / SIDE, blocks = blocks_of(rows);
        bfloat16 *out = room.reserve(static_cast<size_t>(blocks) * depth * BLOCK);
        for (int b = 0; b < blocks; b++)
            for (int d = 0; d < depth; d++)
                pack_columns(x + b * SIDE * step + d * SIDE, step, rows - b * SIDE,
                             out + (static_cast<size_t>(b) * depth + d) * BLOCK);
        return out;
    }

    // On the right, the rows as the depth: blocks of 32 columns, one after the other.
    const bfloat16 *as_rows(AlignedBuffer<bfloat16> &room) const {
        const int depth = blocks_of(rows);
        const size_t apart = static_cast<size_t>(depth) * BLOCK;
        bfloat16 *out = room.reserve(width / SIDE * apart);
        for (int b = 0; b < depth; b++)
            pack_rows(x + b * SIDE * step, step, rows - b * SIDE, width, out + b * BLOCK, apart);
        return out;
    }
};

// The block of a product of which only some rows and columns are wanted; the others' tiles are not computed.
inline void accumulate_block(const bfloat16 *left, const bfloat16 *right, int depth, int rows, int columns,
                        float *sums) {
    if (rows > 16 && columns > 16) return accumulate(left, right, depth, true, sums, nothing);
    if (rows > 16) return accumulate<2, 1>(left, right, depth, true, sums, nothing);
    if (columns > 16) return accumulate<1, 2>(left, right, depth, true, sums, nothing);
    accumulate<1, 1>(left, right, depth, true, sums, nothing);
}

// A block of sums -> some rows and 32 columns of a tensor.
BFLOAT16_VECTORS inline void write(const float *sums, float scale, int rows, bfloat16 *out,
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
    Side query, key, value;
    AlignedBuffer<bfloat16> key_columns, key_rows, value_columns, value_rows, query_rows, gradient_rows;
    AlignedBuffer<bfloat16> left, weight_left, weights_turned, slopes_turned;
    AlignedBuffer<float> bias, weights, slopes, sums;

    int query_blocks() const { return blocks_of(queries); }
    int key_blocks() const { return blocks_of(keys); }
    int depth() const { return width / SIDE; }

    // How many blocks of keys a block of queries sees, and how many vectors of them.
    int seen_by(int block) const { return causal ? block + 1 : key_blocks(); }
    int vectors_seen(int seen) const { return std::min(2 * seen, (keys + 15) / 16); }
    int queries_of(int block) const { return std::min(SIDE, queries - block * SIDE); }

    void read(const AttentionShape &shape, int64_t n, int64_t h, const Heads &q, const Heads &k,
              const Heads &v) {
        queries = q.count(n), keys = k.count(n), width = shape.width;
        causal = shape.causal, scale = shape.scale;
        const uint8_t *seen = shape.seen ? shape.seen + n * keys : nullptr;
        if (seen)
            while (keys > 1 && !seen[keys - 1]) keys--;  // padding at the end is not even read
        query = {q.at<bfloat16>(n, h), q.token, queries, width};
        key = {k.at<bfloat16>(n, h), k.token, keys, width};
        value = {v.at<bfloat16>(n, h), v.token, keys, width};
        // Where causal, zeros for all that stand before the query's own, then -inf: each query begins
        // one further to the left.
        const int wide = key_blocks() * SIDE;
        float *own = bias.reserve(2 * static_cast<size_t>(wide));
        for (int i = 0; i < wide; i++) {
            own[i] = causal || (i < keys && (!seen || seen[i])) ? 0.0f : -INFINITY;
            own[wide + i] = -INFINITY;
        }
    }

    // The weights of a block of queries, in blocks of keys: (32, 32) each.
    void look(int block, const bfloat16 *columns) {
        const int blocks = seen_by(block), wide = key_blocks() * SIDE, rows = queries_of(block);
        const int vectors = vectors_seen(blocks);
        float *p = weights.reserve(static_cast<size_t>(blocks) * SUMS);
        bfloat16 *own = left.reserve(static_cast<size_t>(depth()) * BLOCK);
        query.pack_left(block, own);
        for (int b = 0; b < blocks; b++)
            accumulate_block(own, columns + static_cast<size_t>(b) * depth() * BLOCK, depth(), rows,
                        keys - b * SIDE, p + static_cast<size_t>(b) * SUMS);
        for (int r = 0; r < rows; r++) {
            const int place = block * SIDE + r;
            const float *own_bias = causal ? bias.data + wide - 1 - place : bias.data;
            Floats most = broadcast(-INFINITY), sum = broadcast(0);
            for (int j = 0; j < vectors; j++) {
                float *x = p + j / 2 * SUMS + r * SIDE + j % 2 * 16;
                const Floats score = multiply_add(load(x), broadcast(scale), load(own_bias + 16 * j));
                store(x, score);
                most = max(most, score);
            }
            const Floats greatest = broadcast(-reduce_max(most));
            for (int j = 0; j < vectors; j++) {
                float *x = p + j / 2 * SUMS + r * SIDE + j % 2 * 16;
                const Floats raised = exponential(add(load(x), greatest));
                store(x, raised);
                sum = add(sum, raised);
            }
            const Floats factor = broadcast(1 / reduce_add(sum));
            for (int j = 0; j < vectors; j++) {
                float *x = p + j / 2 * SUMS + r * SIDE + j % 2 * 16;
                store(x, multiply(load(x), factor));
            }
        }
    }

    // What a block of queries has for its keys, rounded, for the left of a product.
    const bfloat16 *rounded(float *x, int block) {
        const int blocks = seen_by(block), rows = queries_of(block);
        bfloat16 *out = weight_left.reserve(static_cast<size_t>(blocks) * BLOCK);
        if (vectors_seen(blocks) < 2 * blocks)  // keys that there are not
            for (int r = 0; r < rows; r++)
                store(x + static_cast<size_t>(blocks - 1) * SUMS + r * SIDE + 16, broadcast(0));
        for (int b = 0; b < blocks; b++)
            write(x + static_cast<size_t>(b) * SUMS, 1, rows, out + static_cast<size_t>(b) * BLOCK, SIDE);
        return out;
    }

    // The same, turned: that for the block b of keys comes to the row b of blocks.
    void turn_over(const float *x, int block, bfloat16 *out) const {
        for (int b = 0; b < seen_by(block); b++) {
            bfloat16 *own = out + (static_cast<size_t>(b) * query_blocks() + block) * BLOCK;
            const int columns = keys - b * SIDE > 16 ? SIDE : 16;
            pack_rows(x + static_cast<size_t>(b) * SUMS, SIDE, queries_of(block), columns, own, 0);
            transpose_block(own, columns / 16);
        }
    }

    // The product of what is on the left with packed rows -> 32 rows of a tensor, `rows` of them real.
    void multiply_rows(const bfloat16 *own, int count, const bfloat16 *right, int right_depth, float factor,
                       int rows, bfloat16 *out, int64_t step) {
        float *room = sums.reserve(SUMS);
        for (int d = 0; d < depth(); d++) {
            accumulate_block(own, right + static_cast<size_t>(d) * right_depth * BLOCK, count, rows, SIDE,
                        room);
            write(room, factor, rows, out + d * SIDE, step);
        }
    }
};

thread_local TiledHead tiled_head;

// Gradients keep two numbers for each query and key; with more of them vectors, which keep none turned,
// do the work.
constexpr int64_t MOST_WEIGHTS = 1 << 20;

bool fits(const AttentionShape &shape) { return tiles_multiply_bfloat16() && shape.width % SIDE == 0; }

int64_t most_weights(const AttentionShape &shape, const Heads &query, const Heads &key) {
    int64_t most = 0;
    for (int n = 0; n < shape.rows; n++)
        most = std::max(most, int64_t{query.count(n)} * key.count(n));
    return most;
}

// Calls work(n, h) for each head of each row, with tiles in shape: for those of a row at once, or where
// there are few rows for each apart.
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
            const int seen = own.seen_by(block), first = block * SIDE;
            own.look(block, keys);
            own.multiply_rows(own.rounded(own.weights.data, block), seen, values, own.key_blocks(), 1,
                              own.queries - first, out.at<bfloat16>(n, h) + first * out.token, out.token);
        }
    });
    return true;
}

bool seq2seq::attend_in_tiles_backward(const AttentionShape &shape, const Heads &query, const Heads &key,
                                       const Heads &value, const Heads &gradient, const Heads &of_query,
                                       const Heads &of_key, const Heads &of_value, int threads) {
    if (!fits(shape) || most_weights(shape, query, key) > MOST_WEIGHTS) return false;
    each_head(shape, threads, [&](int64_t n, int64_t h) {
        TiledHead &own = tiled_head;
        own.read(shape, n, h, query, key, value);
        const Side given{gradient.at<bfloat16>(n, h), gradient.token, own.queries, own.width};
        const bfloat16 *keys = own.key.as_columns(own.key_columns);
        const bfloat16 *key_rows = own.key.as_rows(own.key_rows);
        const bfloat16 *values = own.value.as_columns(own.value_columns);
        const bfloat16 *query_rows = own.query.as_rows(own.query_rows);
        const bfloat16 *gradient_rows = given.as_rows(own.gradient_rows);
        const int query_blocks = own.query_blocks(), key_blocks = own.key_blocks();
        const size_t all = static_cast<size_t>(query_blocks) * key_blocks * BLOCK;
        bfloat16 *weights_turned = own.weights_turned.reserve(all);
        bfloat16 *slopes_turned = own.slopes_turned.reserve(all);
        for (int block = 0; block < query_blocks; block++) {
            const int seen = own.seen_by(block), first = block * SIDE;
            own.look(block, keys);
            own.turn_over(own.weights.data, block, weights_turned);
            float *slopes = own.slopes.reserve(static_cast<size_t>(seen) * SUMS);
            given.pack_left(block, own.left.data);
            for (int b = 0; b < seen; b++)
                accumulate_block(own.left.data, values + static_cast<size_t>(b) * own.depth() * BLOCK,
                            own.depth(), own.queries_of(block), own.keys - b * SIDE,
                            slopes + static_cast<size_t>(b) * SUMS);
            const int vectors = own.vectors_seen(seen);
            for (int r = 0; r < own.queries_of(block); r++) {
                Floats sum = broadcast(0);
                for (int j = 0; j < vectors; j++) {
                    const int at = j / 2 * SUMS + r * SIDE + j % 2 * 16;
                    sum = multiply_add(load(own.weights.data + at), load(slopes + at), sum);
                }
                const Floats mean = broadcast(-reduce_add(sum));
                for (int j = 0; j < vectors; j++) {
                    const int at = j / 2 * SUMS + r * SIDE + j % 2 * 16;
                    store(slopes + at, multiply(load(own.weights.data + at),
                                                add(load(slopes + at), mean)));
                }
            }
            own.turn_over(slopes, block, slopes_turned);
            own.multiply_rows(own.rounded(slopes, block), seen, key_rows, key_blocks, own.scale,
                              own.queries - first, of_query.at<bfloat16>(n, h) + first * of_query.token,
                              of_query.token);
        }
        for (int b = 0; b < key_blocks; b++) {
            // Blocks of queries before this one do not see it where causal.
            const int from = own.causal ? b : 0, count = query_blocks - from, first = b * SIDE;
            const size_t skipped = static_cast<size_t>(from) * BLOCK;
            const size_t at = static_cast<size_t>(b) * query_blocks * BLOCK + skipped;
            own.multiply_rows(weights_turned + at, count, gradient_rows + skipped, query_blocks, 1,
                              own.keys - first, of_value.at<bfloat16>(n, h) + first * of_value.token,
                              of_value.token);
            own.multiply_rows(slopes_turned + at, count, query_rows + skipped, query_blocks,
                              own.scale, own.keys - first,
                              of_key.at<bfloat16>(n, h) + first * of_key.token, of_key.token);
        }
        zero_rest(of_key, n, h, own.keys, key.count(n), own.width);
        zero_rest(of_value, n, h, own.keys, key.count(n), own.width);
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
