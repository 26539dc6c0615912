// Parts of a training step on a CPU, as compiled functions with a C interface.
//
// Matrix products are torch's own; here is what stands between them, where PyTorch's operators
// would each read and write whole tensors. Numbers are float32 or bfloat16 outside and float32
// inside. Work is divided the same way for any number of threads, so that results do not depend on
// it, and runs in the threads that torch has already.
//
// Dimensions: N rows, H heads, Q queries, S keys, D width of a head, V columns of logits.

#include <atomic>

#include "vectors.h"

namespace {

// ---------------------------------------------------------------------------------------------
// Threads

// GOMP_parallel of the OpenMP library that torch has loaded.
using Parallel = void (*)(void (*)(void *), void *, unsigned, unsigned);
Parallel in_parallel = nullptr;

// Call work(i) for i below `count`, each once, in any order and by any thread.
template <typename Work> void each(int64_t count, int threads, Work &&work) {
    if (threads <= 1 || count <= 1 || !in_parallel) {
        for (int64_t i = 0; i < count; i++) work(i);
        return;
    }
    struct Shared {
        std::atomic<int64_t> next{0};
        int64_t count;
        Work *work;
    } shared;
    shared.count = count;
    shared.work = &work;
    in_parallel(
        [](void *data) {
            auto *own = static_cast<Shared *>(data);
            for (int64_t i; (i = own->next.fetch_add(1, std::memory_order_relaxed)) < own->count;)
                (*own->work)(i);
        },
        &shared, static_cast<unsigned>(threads), 0);
}

// ---------------------------------------------------------------------------------------------
// Numbers in memory

template <typename T> void load_row(const T *x, int count, int padded, float *out) {
    int i = 0;
    for (; i + LANES <= count; i += LANES) store(out + i, load(x + i));
    for (; i < count; i++) out[i] = number(x[i]);
    std::fill(out + count, out + padded, 0.0f);
}

template <typename T> void store_row(const float *x, int count, T *out) {
    int i = 0;
    for (; i + LANES <= count; i += LANES) store(out + i, load(x + i));
    for (; i < count; i++) out[i] = as<T>(x[i]);
}

inline int padded(int count) { return (count + LANES - 1) / LANES * LANES; }

// ---------------------------------------------------------------------------------------------
// Cross-entropy

// e to the power of each number less the greatest, into `out`; returns log-sum-exp, and the sum of
// the numbers through `plain`. After it, out times the returned factor is a softmax.
struct Softmax {
    float normaliser, factor, plain;
};

template <typename T> Softmax exponentials(const T *logits, int columns, float *out) {
    Floats most = spread(-INFINITY), all = spread(0);
    int i = 0;
    for (; i + LANES <= columns; i += LANES) {
        const Floats x = load(logits + i);
        store(out + i, x);
        most = greater(most, x);
        all = add(all, x);
    }
    float greatest = greatest_of(most), plain = sum_of(all);
    for (; i < columns; i++) {
        out[i] = number(logits[i]);
        greatest = std::max(greatest, out[i]);
        plain += out[i];
    }
    Floats total = spread(0);
    for (i = 0; i + LANES <= columns; i += LANES) {
        const Floats e = roughly_exponential(add(load(out + i), spread(-greatest)));
        store(out + i, e);
        total = add(total, e);
    }
    float sum = sum_of(total);
    for (; i < columns; i++) sum += out[i] = std::exp(out[i] - greatest);
    return {greatest + std::log(sum), 1 / sum, plain};
}

// Logits (rows, V) become the slopes of the smoothed loss; losses (2, rows) are the plain loss and
// the one against a uniform distribution.
template <typename T>
void cross_entropy(T *logits, int rows, int columns, const int64_t *gold, float smoothing,
                   float *losses, int threads) {
    each(rows, threads, [&](int64_t row) {
        thread_local Aligned<float> room;
        float *e = room.room(columns);
        T *own = logits + row * columns;
        const float right = number(own[gold[row]]);
        const Softmax softmax = exponentials(own, columns, e);
        losses[row] = softmax.normaliser - right;
        losses[rows + row] = softmax.normaliser - softmax.plain / columns;
        const float off = smoothing / columns;
        const float at_gold = e[gold[row]] * softmax.factor - off + smoothing - 1;
        int i = 0;
        for (; i + LANES <= columns; i += LANES)
            store(own + i, multiply_add(load(e + i), spread(softmax.factor), spread(-off)));
        for (; i < columns; i++) own[i] = as<T>(e[i] * softmax.factor - off);
        own[gold[row]] = as<T>(at_gold);
    });
}

// Two passes of logits (2, rows, V) become the slopes of R-Drop's loss, half of the paper's; losses
// (3, rows) are the plain loss, the one against a uniform distribution, and the divergence.
template <typename T>
void r_drop(T *logits, int rows, int columns, const int64_t *gold, float smoothing, float alpha,
            float *losses, int threads) {
    each(rows, threads, [&](int64_t row) {
        thread_local Aligned<float> room;
        float *e[2] = {room.room(2 * static_cast<size_t>(padded(columns))),
                       room.data + padded(columns)};
        T *own[2];
        Softmax softmax[2];
        float right = 0;
        for (int pass = 0; pass < 2; pass++) {
            own[pass] = logits + (static_cast<int64_t>(pass) * rows + row) * columns;
            right += number(own[pass][gold[row]]);
            softmax[pass] = exponentials(own[pass], columns, e[pass]);
        }
        const float plain = softmax[0].plain + softmax[1].plain;
        const float normaliser = softmax[0].normaliser + softmax[1].normaliser;
        losses[row] = 0.5f * (normaliser - right);
        losses[rows + row] = 0.5f * (normaliser - plain / columns);
        // Of p log p/q + q log q/p, whose slopes in the logits of p are
        // p (log p/q - KL(p, q)) + p - q, and the same of q.
        const float shift = softmax[1].normaliser - softmax[0].normaliser;
        Floats sums[2] = {spread(0), spread(0)};
        float rest[2] = {0, 0};
        int i = 0;
        for (; i + LANES <= columns; i += LANES) {
            const Floats gap = add(multiply_add(load(own[1] + i), spread(-1), load(own[0] + i)),
                                   spread(shift));
            for (int pass = 0; pass < 2; pass++)
                sums[pass] = multiply_add(gap, load(e[pass] + i), sums[pass]);
        }
        for (; i < columns; i++)
            for (int pass = 0; pass < 2; pass++)
                rest[pass] += (number(own[0][i]) - number(own[1][i]) + shift) * e[pass][i];
        const float to = (sum_of(sums[0]) + rest[0]) * softmax[0].factor;
        const float back = -(sum_of(sums[1]) + rest[1]) * softmax[1].factor;
        losses[2 * rows + row] = to + back;
        const float share = 0.25f * alpha, off = 0.5f * smoothing / columns;
        const float own_to = 0.5f + share * (1 - to), own_back = 0.5f + share * (1 - back);
        float at_gold[2];
        const auto narrow = [&](int column, float &first, float &second) {
            const float p = e[0][column] * softmax[0].factor, q = e[1][column] * softmax[1].factor;
            const float gap = number(own[0][column]) - number(own[1][column]) + shift;
            first = p * (own_to + share * gap) - share * q - off;
            second = q * (own_back - share * gap) - share * p - off;
        };
        narrow(static_cast<int>(gold[row]), at_gold[0], at_gold[1]);
        for (i = 0; i + LANES <= columns; i += LANES) {
            const Floats p = multiply(load(e[0] + i), spread(softmax[0].factor));
            const Floats q = multiply(load(e[1] + i), spread(softmax[1].factor));
            const Floats gap = add(multiply_add(load(own[1] + i), spread(-1), load(own[0] + i)),
                                   spread(shift));
            const Floats far = multiply(spread(share), gap), less = multiply(spread(-share), gap);
            const Floats from_q = multiply_add(q, spread(-share), spread(-off));
            const Floats from_p = multiply_add(p, spread(-share), spread(-off));
            store(own[0] + i, multiply_add(p, add(spread(own_to), far), from_q));
            store(own[1] + i, multiply_add(q, add(spread(own_back), less), from_p));
        }
        for (; i < columns; i++) {
            float first, second;
            narrow(i, first, second);
            own[0][i] = as<T>(first);
            own[1][i] = as<T>(second);
        }
        for (int pass = 0; pass < 2; pass++)
            own[pass][gold[row]] = as<T>(at_gold[pass] + 0.5f * (smoothing - 1));
    });
}

// ---------------------------------------------------------------------------------------------
// Dropout

// Elements that are worked on at a time; each such block has a stream of random bytes of its own,
// which depends on the seed and its place alone, and so is the same in the backward pass.
constexpr int64_t BLOCK = 8192;

inline uint64_t mixed(uint64_t x) {  // SplitMix64 (Steele 2014)
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

// As many generators xorshift128+ (Vigna 2017) as fit a vector.
struct Random {
    Words first, second;

    Random(int64_t seed, int64_t block) {
        alignas(64) uint64_t states[2][sizeof(Words) / 8];
        uint64_t x = mixed(static_cast<uint64_t>(seed) ^ mixed(static_cast<uint64_t>(block)));
        for (auto &state : states)
            for (auto &each : state) each = x = mixed(x);
        first = load_words(states[0]);
        second = load_words(states[1]);
    }

    Words next() {
        Words x = first;
        const Words y = second;
        first = y;
        x = x ^ shifted_left<23>(x);
        second = x ^ y ^ shifted_right<17>(x) ^ shifted_right<26>(y);
        return added(second, y);
    }
};

constexpr int GROUPS = sizeof(Words) / LANES;  // vectors of floats for the bytes of one of random

// Give work(place, kept, group) vectors of a block and which of their elements are kept, and
// rest(place, kept) what is left at the end.
template <typename Work, typename Rest>
void dropping(int64_t count, int threshold, int64_t seed, int threads, Work &&work, Rest &&rest) {
    each((count + BLOCK - 1) / BLOCK, threads, [&](int64_t block) {
        Random random(seed, block);
        int64_t at = block * BLOCK;
        const int64_t end = std::min(count, at + BLOCK);
        for (; at < end; at += GROUPS * LANES) {
            const Kept kept(random.next(), threshold);
            if (at + GROUPS * LANES <= end)
                for (int group = 0; group < GROUPS; group++) work(at + group * LANES, kept, group);
            else
                for (int64_t i = at; i < end; i++) rest(i, kept.at(static_cast<int>(i - at)));
        }
    });
}

inline float scale_of(int threshold) { return 256.0f / (256 - threshold); }

template <typename T>
void dropped(const T *x, T *out, int64_t count, int threshold, int64_t seed, int threads) {
    const float scale = scale_of(threshold);
    dropping(
        count, threshold, seed, threads,
        [&](int64_t i, const Kept &kept, int group) {
            store(out + i, kept.of(group, multiply(load(x + i), spread(scale))));
        },
        [&](int64_t i, bool kept) { out[i] = as<T>(kept ? number(x[i]) * scale : 0.0f); });
}

template <typename T>
void dropped_sum(const T *residual, const T *x, T *out, int64_t count, int threshold, int64_t seed,
                 int threads) {
    const float scale = scale_of(threshold);
    dropping(
        count, threshold, seed, threads,
        [&](int64_t i, const Kept &kept, int group) {
            const Floats some = kept.of(group, multiply(load(x + i), spread(scale)));
            store(out + i, add(load(residual + i), some));
        },
        [&](int64_t i, bool kept) {
            out[i] = as<T>(number(residual[i]) + (kept ? number(x[i]) * scale : 0.0f));
        });
}

template <typename T>
void dropped_relu(const T *x, T *out, int64_t count, int threshold, int64_t seed, int threads) {
    const float scale = scale_of(threshold);
    dropping(
        count, threshold, seed, threads,
        [&](int64_t i, const Kept &kept, int group) {
            const Floats positive = greater(spread(0), load(x + i));
            store(out + i, kept.of(group, multiply(positive, spread(scale))));
        },
        [&](int64_t i, bool kept) {
            out[i] = as<T>(kept ? (number(x[i]) < 0 ? 0.0f : number(x[i])) * scale : 0.0f);
        });
}

// What a slope becomes on its way back through `dropped_relu`, whose result says what passed.
template <typename T>
void passed(const T *gradient, const T *result, T *out, int64_t count, float scale, int threads) {
    each((count + BLOCK - 1) / BLOCK, threads, [&](int64_t block) {
        int64_t i = block * BLOCK;
        const int64_t end = std::min(count, i + BLOCK);
        for (; i + LANES <= end; i += LANES) {
            const Floats slope = multiply(load(gradient + i), spread(scale));
            store(out + i, where_positive(load(result + i), slope));
        }
        for (; i < end; i++)
            out[i] = as<T>(number(result[i]) > 0 ? number(gradient[i]) * scale : 0.0f);
    });
}

// ---------------------------------------------------------------------------------------------
// Norms

constexpr int NORM_ROWS = 64;  // worked on at a time

// LayerNorm, or without a bias RMSNorm, of rows (N, width). Statistics (N, 2): mean, 1 / deviation.
template <typename T>
void norm(const T *x, const float *weight, const float *bias, float epsilon, T *out,
          float *statistics, int64_t rows, int width, int threads) {
    each((rows + NORM_ROWS - 1) / NORM_ROWS, threads, [&](int64_t block) {
        thread_local Aligned<float> room;
        const int wide = padded(width);
        float *own = room.room(wide);
        const int64_t end = std::min(rows, (block + 1) * NORM_ROWS);
        for (int64_t row = block * NORM_ROWS; row < end; row++) {
            load_row(x + row * width, width, wide, own);
            float mean = 0;
            if (bias) {
                Floats sum = spread(0);
                for (int i = 0; i < wide; i += LANES) sum = add(sum, load(own + i));
                mean = sum_of(sum) / width;
                for (int i = 0; i < wide; i += LANES) store(own + i, add(load(own + i), spread(-mean)));
                std::fill(own + width, own + wide, 0.0f);
            }
            Floats squares = spread(0);
            for (int i = 0; i < wide; i += LANES) {
                const Floats each = load(own + i);
                squares = multiply_add(each, each, squares);
            }
            const float inverse = 1 / std::sqrt(sum_of(squares) / width + epsilon);
            statistics[2 * row] = mean;
            statistics[2 * row + 1] = inverse;
            T *result = out + row * width;
            int i = 0;
            for (; i + LANES <= width; i += LANES) {
                const Floats scaled = multiply(multiply(load(own + i), spread(inverse)), load(weight + i));
                store(result + i, bias ? add(scaled, load(bias + i)) : scaled);
            }
            for (; i < width; i++)
                result[i] = as<T>(own[i] * inverse * weight[i] + (bias ? bias[i] : 0.0f));
        }
    });
}

// Gradients of `norm`: of x (N, width), and of weight and bias as sums of each block of NORM_ROWS
// rows, (blocks, 2, width).
template <typename T>
void norm_backward(const T *gradient, const T *x, const float *weight, const float *statistics,
                   bool centred, T *out, float *sums, int64_t rows, int width, int threads) {
    each((rows + NORM_ROWS - 1) / NORM_ROWS, threads, [&](int64_t block) {
        thread_local Aligned<float> room;
        const int wide = padded(width);
        float *normed = room.room(5 * static_cast<size_t>(wide)), *slope = normed + wide;
        float *weights = slope + wide, *of_weight = weights + wide, *of_bias = of_weight + wide;
        load_row(weight, width, wide, weights);
        std::fill_n(of_weight, 2 * wide, 0.0f);
        const int64_t end = std::min(rows, (block + 1) * NORM_ROWS);
        for (int64_t row = block * NORM_ROWS; row < end; row++) {
            load_row(x + row * width, width, wide, normed);
            load_row(gradient + row * width, width, wide, slope);
            const Floats mean = spread(-statistics[2 * row]), inverse = spread(statistics[2 * row + 1]);
            Floats all = spread(0), along = spread(0);
            for (int i = 0; i < wide; i += LANES) {
                const Floats z = multiply(add(load(normed + i), mean), inverse);
                const Floats g = load(slope + i);
                store(of_weight + i, multiply_add(g, z, load(of_weight + i)));
                store(of_bias + i, add(g, load(of_bias + i)));
                const Floats weighted = multiply(g, load(weights + i));  // 0 beyond the width
                store(normed + i, z);
                store(slope + i, weighted);
                all = add(all, weighted);
                along = multiply_add(weighted, z, along);
            }
            const Floats mean_slope = spread(centred ? -sum_of(all) / width : 0.0f);
            const Floats mean_along = spread(-sum_of(along) / width);
            for (int i = 0; i < wide; i += LANES) {
                const Floats less = multiply_add(load(normed + i), mean_along, load(slope + i));
                store(slope + i, multiply(add(less, mean_slope), inverse));
            }
            store_row(slope, width, out + row * width);
        }
        std::copy_n(of_weight, width, sums + block * 2 * width);
        std::copy_n(of_bias, width, sums + (block * 2 + 1) * width);
    });
}

// Sums of the columns of each block of NORM_ROWS rows, (blocks, width), of x (N, width).
template <typename T>
void column_sums(const T *x, float *sums, int64_t rows, int width, int threads) {
    each((rows + NORM_ROWS - 1) / NORM_ROWS, threads, [&](int64_t block) {
        const int64_t end = std::min(rows, (block + 1) * NORM_ROWS);
        float *own = sums + block * width;
        std::fill_n(own, width, 0.0f);
        for (int64_t row = block * NORM_ROWS; row < end; row++) {
            const T *from = x + row * width;
            int i = 0;
            for (; i + LANES <= width; i += LANES) store(own + i, add(load(own + i), load(from + i)));
            for (; i < width; i++) own[i] += number(from[i]);
        }
    });
}

// ---------------------------------------------------------------------------------------------
// Recurrent cells

constexpr int CELL_ROWS = 16;  // worked on at a time

// Calls work(row, place, count) for each vector of each row of units; count is LANES, but for those
// at the end that fill none.
template <typename Work> void each_unit(int rows, int units, int threads, Work &&work) {
    each((rows + CELL_ROWS - 1) / CELL_ROWS, threads, [&](int64_t block) {
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

inline Floats less_than_one(Floats x) { return multiply_add(x, spread(-1), spread(1)); }

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
            gate[g] = g == 2 ? tangent(sum) : sigmoid(sum);
            store_some(gates + at, gate[g], count);
        }
        const int64_t at = row * units + i;
        const Floats kept = multiply(gate[1], load_some(cell + at, count));
        const Floats after = multiply_add(gate[0], gate[2], kept);
        store_some(cell_after + at, after, count);
        store_some(hidden + at, multiply(gate[3], tangent(after)), count);
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
        const Floats shown = tangent(load_some(cell_after + at, count));
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

// ---------------------------------------------------------------------------------------------
// Attention

// C (rows, columns) = A (rows, depth) B (depth, columns), or with `turned` A as (depth, rows).
// Columns are a multiple of LANES; all is in the nearest cache.
template <bool turned, int HEIGHT, int WIDTH>
inline void tile(const float *a, int a_step, const float *b, int b_step, float *c, int c_step,
                 int depth) {
    Floats sums[HEIGHT][WIDTH];
    for (auto &row : sums)
        for (auto &sum : row) sum = spread(0);
    for (int k = 0; k < depth; k++) {
        Floats right[WIDTH];
        for (int j = 0; j < WIDTH; j++) right[j] = load(b + k * b_step + j * LANES);
        for (int i = 0; i < HEIGHT; i++) {
            const Floats left = spread(turned ? a[k * a_step + i] : a[i * a_step + k]);
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
    constexpr int HEIGHT = LANES == 16 || WIDTH == 1 ? 8 : 4;  // whose sums fit the registers
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

// A tensor (N, H, tokens, D), whose D numbers stand side by side; steps are in numbers.
struct Heads {
    void *data;
    int64_t row, head, token;

    template <typename T> T *at(int64_t n, int64_t h) const {
        return static_cast<T *>(data) + n * row + h * head;
    }
};

struct AttentionShape {
    int32_t rows, heads, queries, keys, width, causal;
    float scale;          // of scores
    const uint8_t *seen;  // (N, S), which keys may be looked at; null: all
};

constexpr int FEW_QUERIES = 4;  // for which turning keys takes longer than it gains

// One head of one row, all in float32 and in reach.
struct Head {
    int queries, keys, width, wide, keys_wide;
    float scale;
    Aligned<float> query, key, value, turned, weights, out, slope, hidden;

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
        for (int t = count; t < all; t++) std::fill_n(out + t * to.token, width, as<T>(0.0f));
    }

    // (keys, wide) -> (wide, keys_wide), the keys beyond the last zero.
    void turn(const float *x) {
        float *y = turned.room(static_cast<size_t>(wide) * keys_wide);
        Floats block[LANES];
        for (int k = 0; k < keys; k += LANES)
            for (int d = 0; d < wide; d += LANES) {
                for (int i = 0; i < LANES; i++)
                    block[i] = k + i < keys ? load(x + (k + i) * wide + d) : spread(0);
                ::turn(block);
                for (int i = 0; i < LANES; i++) store(y + (d + i) * keys_wide + k, block[i]);
            }
    }

    // Of each query with each key, one by one, so that keys need not be turned.
    void dot_products(float *scores) const {
        for (int i = 0; i < queries; i++)
            for (int k = 0; k < keys_wide; k++) {
                Floats sum = spread(0);
                if (k < keys)
                    for (int d = 0; d < wide; d += LANES)
                        sum = multiply_add(load(query.data + i * wide + d),
                                           load(key.data + k * wide + d), sum);
                scores[i * keys_wide + k] = sum_of(sum);
            }
    }

    // Read queries, times the scale, keys and values; compute the weights.
    template <typename T>
    void look(const AttentionShape &shape, int64_t n, int64_t h, const Heads &q, const Heads &k,
              const Heads &v) {
        queries = shape.queries, keys = shape.keys, width = shape.width, wide = padded(width);
        const uint8_t *seen = shape.seen ? shape.seen + n * keys : nullptr;
        if (seen)
            while (keys > 1 && !seen[keys - 1]) keys--;  // padding at the end is not even read
        keys_wide = padded(keys);
        scale = shape.scale;
        read<T>(q, n, h, queries, width, wide, query.room(static_cast<size_t>(queries) * wide));
        read<T>(k, n, h, keys, width, wide, key.room(static_cast<size_t>(keys) * wide));
        read<T>(v, n, h, keys, width, wide, value.room(static_cast<size_t>(keys) * wide));
        for (int i = 0; i < queries * wide; i += LANES)
            store(query.data + i, multiply(load(query.data + i), spread(scale)));
        float *p = weights.room(static_cast<size_t>(queries) * keys_wide);
        if (queries < FEW_QUERIES) {
            dot_products(p);
        } else {
            turn(key.data);
            product(query.data, wide, turned.data, keys_wide, p, keys_wide, queries, width,
                    keys_wide);
        }
        // Where causal, as many zeros as keys, then as many -inf: each query begins one further to
        // the left; there are as many keys as queries.
        float *bias = hidden.room(2 * static_cast<size_t>(keys_wide));
        for (int i = 0; i < keys_wide; i++) {
            bias[i] = shape.causal || (i < keys && (!seen || seen[i])) ? 0.0f : -INFINITY;
            bias[keys_wide + i] = -INFINITY;
        }
        for (int i = 0; i < queries; i++) {
            float *own = p + i * keys_wide;
            const float *own_bias = shape.causal ? bias + keys_wide - 1 - i : bias;
            Floats most = spread(-INFINITY), sum = spread(0);
            for (int j = 0; j < keys_wide; j += LANES) {
                const Floats x = add(load(own + j), load(own_bias + j));
                store(own + j, x);
                most = greater(most, x);
            }
            const Floats greatest = spread(-greatest_of(most));
            for (int j = 0; j < keys_wide; j += LANES) {
                const Floats x = exponential(add(load(own + j), greatest));
                store(own + j, x);
                sum = add(sum, x);
            }
            const Floats factor = spread(1 / sum_of(sum));
            for (int j = 0; j < keys_wide; j += LANES)
                store(own + j, multiply(load(own + j), factor));
        }
    }
};

thread_local Head head;

// Calls work(n, h) for each head of each row.
template <typename Work> void each_head(const AttentionShape &shape, int threads, Work &&work) {
    each(shape.rows, threads, [&](int64_t n) {
        for (int64_t h = 0; h < shape.heads; h++) work(n, h);
    });
}

template <typename T>
void attention(const AttentionShape &shape, const Heads &query, const Heads &key,
               const Heads &value, const Heads &out, int threads) {
    each_head(shape, threads, [&](int64_t n, int64_t h) {
        Head &own = head;
        own.look<T>(shape, n, h, query, key, value);
        float *result = own.out.room(static_cast<size_t>(own.queries) * own.wide);
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
    each_head(shape, threads, [&](int64_t n, int64_t h) {
        Head &own = head;
        own.look<T>(shape, n, h, query, key, value);
        const int queries = own.queries, keys = own.keys, wide = own.wide;
        const int keys_wide = own.keys_wide, longest = std::max(queries, keys);
        float *given = own.slope.room(static_cast<size_t>(queries) * (wide + keys_wide));
        float *slope = given + queries * wide;  // of weights, then of scores
        Head::read<T>(gradient, n, h, queries, own.width, wide, given);
        float *p = own.weights.data, *result = own.out.room(static_cast<size_t>(longest) * wide);
        product<true>(p, keys_wide, given, wide, result, wide, keys, queries, wide);
        Head::write<T>(result, wide, keys, shape.keys, own.width, of_value, n, h);
        own.turn(own.value.data);
        product(given, wide, own.turned.data, keys_wide, slope, keys_wide, queries, own.width,
                keys_wide);
        for (int i = 0; i < queries; i++) {
            float *weight = p + i * keys_wide, *each = slope + i * keys_wide;
            Floats sum = spread(0);
            for (int j = 0; j < keys_wide; j += LANES)
                sum = multiply_add(load(weight + j), load(each + j), sum);
            const Floats mean = spread(-sum_of(sum));
            for (int j = 0; j < keys_wide; j += LANES)
                store(each + j, multiply(load(weight + j), add(load(each + j), mean)));
        }
        product<true>(slope, keys_wide, own.query.data, wide, result, wide, keys, queries, wide);
        Head::write<T>(result, wide, keys, shape.keys, own.width, of_key, n, h);
        product(slope, keys_wide, own.key.data, wide, result, wide, queries, keys, wide);
        for (int i = 0; i < queries * wide; i += LANES)
            store(result + i, multiply(load(result + i), spread(own.scale)));
        Head::write<T>(result, wide, queries, queries, own.width, of_query, n, h);
    });
}

}  // namespace

// ---------------------------------------------------------------------------------------------
// The interface: each function for numbers of either type

// CALL stands for a call with numbers of type T.
#define OF_EITHER_TYPE(brain, CALL)                                                                \
    if (brain) {                                                                                   \
        using T = Brain;                                                                           \
        CALL;                                                                                      \
    } else {                                                                                       \
        using T = float;                                                                           \
        CALL;                                                                                      \
    }

extern "C" {

void use_threads(void *parallel) { in_parallel = reinterpret_cast<Parallel>(parallel); }

void train_cross_entropy(int32_t brain, void *logits, int32_t rows, int32_t columns,
                         const int64_t *gold, float smoothing, float *losses, int32_t threads) {
    OF_EITHER_TYPE(brain, cross_entropy(static_cast<T *>(logits), rows, columns, gold, smoothing,
                                        losses, threads))
}

void train_r_drop(int32_t brain, void *logits, int32_t rows, int32_t columns, const int64_t *gold,
                  float smoothing, float alpha, float *losses, int32_t threads) {
    OF_EITHER_TYPE(brain, r_drop(static_cast<T *>(logits), rows, columns, gold, smoothing, alpha,
                                 losses, threads))
}

void train_dropped(int32_t brain, const void *x, void *out, int64_t count, int32_t threshold,
                   int64_t seed, int32_t threads) {
    OF_EITHER_TYPE(brain, dropped(static_cast<const T *>(x), static_cast<T *>(out), count,
                                  threshold, seed, threads))
}

void train_dropped_sum(int32_t brain, const void *residual, const void *x, void *out, int64_t count,
                       int32_t threshold, int64_t seed, int32_t threads) {
    OF_EITHER_TYPE(brain, dropped_sum(static_cast<const T *>(residual), static_cast<const T *>(x),
                                      static_cast<T *>(out), count, threshold, seed, threads))
}

void train_dropped_relu(int32_t brain, const void *x, void *out, int64_t count, int32_t threshold,
                        int64_t seed, int32_t threads) {
    OF_EITHER_TYPE(brain, dropped_relu(static_cast<const T *>(x), static_cast<T *>(out), count,
                                       threshold, seed, threads))
}

void train_passed(int32_t brain, const void *gradient, const void *result, void *out, int64_t count,
                  float scale, int32_t threads) {
    OF_EITHER_TYPE(brain, passed(static_cast<const T *>(gradient), static_cast<const T *>(result),
                                 static_cast<T *>(out), count, scale, threads))
}

void train_norm(int32_t brain, const void *x, const float *weight, const float *bias, float epsilon,
                void *out, float *statistics, int64_t rows, int32_t width, int32_t threads) {
    OF_EITHER_TYPE(brain, norm(static_cast<const T *>(x), weight, bias, epsilon,
                               static_cast<T *>(out), statistics, rows, width, threads))
}

void train_norm_backward(int32_t brain, const void *gradient, const void *x, const float *weight,
                         const float *statistics, int32_t centred, void *out, float *sums,
                         int64_t rows, int32_t width, int32_t threads) {
    OF_EITHER_TYPE(brain, norm_backward(static_cast<const T *>(gradient), static_cast<const T *>(x),
                                        weight, statistics, centred != 0, static_cast<T *>(out),
                                        sums, rows, width, threads))
}

void train_column_sums(int32_t brain, const void *x, float *sums, int64_t rows, int32_t width,
                       int32_t threads) {
    OF_EITHER_TYPE(brain, column_sums(static_cast<const T *>(x), sums, rows, width, threads))
}

void train_lstm(int32_t brain, void *gates, const void *inputs, const float *cell,
                float *cell_after, void *hidden, int32_t rows, int32_t units, int32_t threads) {
    OF_EITHER_TYPE(brain, lstm(static_cast<T *>(gates), static_cast<const T *>(inputs), cell,
                               cell_after, static_cast<T *>(hidden), rows, units, threads))
}

void train_lstm_backward(int32_t brain, const void *gates, const float *cell,
                         const float *cell_after, const void *above, const void *carried,
                         float *of_cell, void *slopes, int32_t rows, int32_t units,
                         int32_t threads) {
    OF_EITHER_TYPE(brain,
                   lstm_backward(static_cast<const T *>(gates), cell, cell_after,
                                 static_cast<const T *>(above), static_cast<const T *>(carried),
                                 of_cell, static_cast<T *>(slopes), rows, units, threads))
}

void train_attention(int32_t brain, const AttentionShape *shape, const Heads *query,
                     const Heads *key, const Heads *value, const Heads *out, int32_t threads) {
    OF_EITHER_TYPE(brain, attention<T>(*shape, *query, *key, *value, *out, threads))
}

void train_attention_backward(int32_t brain, const AttentionShape *shape, const Heads *query,
                              const Heads *key, const Heads *value, const Heads *gradient,
                              const Heads *of_query, const Heads *of_key, const Heads *of_value,
                              int32_t threads) {
    OF_EITHER_TYPE(brain, attention_backward<T>(*shape, *query, *key, *value, *gradient, *of_query,
                                                *of_key, *of_value, threads))
}

}  // extern "C"
