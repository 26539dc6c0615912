// Blocks of matrix products of bfloat16 numbers, in matrix tiles (AMX).
//
// The tiles multiply pairs of numbers and add them up in float32. A block is two tiles each way, which
// loads as many tiles as it multiplies. On the left of a product a tile has 16 rows and 32 of the depth, on
// the right 16 pairs of the depth and 16 columns.

#pragma once

#include "../simd/tiles.h"
#include "step.h"

#ifdef HAS_TILES

namespace {

constexpr int SIDE = 32;           // rows, columns and depth of a block
constexpr int TILE = 16 * 32;      // numbers
constexpr int BLOCK = 2 * TILE;    // numbers of one side of a block
constexpr int SUMS = SIDE * SIDE;  // of a block

inline int blocks_of(int64_t count) { return static_cast<int>((count + SIDE - 1) / SIDE); }

__attribute__((target("avx512bf16"))) inline __m256i rounded_halves(__m512 x) {
    return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x));
}

// Add up the products of `depth` blocks: (32, 32), or only the first 16 of its rows, or columns. While the
// tiles work, meanwhile(k, depth) does other work, a part of it for each block; sums are written after it.
template <int ROW_TILES = 2, int COLUMN_TILES = 2, typename Meanwhile>
__attribute__((target("amx-tile,amx-bf16,avx512bf16"))) inline void
add_up(const Brain *left, const Brain *right, int depth, bool begins, float *sums,
       Meanwhile &&meanwhile) {
    constexpr int ROW = SIDE * sizeof(float);
    constexpr bool BELOW = ROW_TILES == 2, BESIDE = COLUMN_TILES == 2;
    asm volatile("" : : "r"(left), "r"(right), "r"(sums) : "memory");
    if (begins) {
        _tile_zero(0);
        if constexpr (BESIDE) _tile_zero(1);
        if constexpr (BELOW) _tile_zero(2);
        if constexpr (BELOW && BESIDE) _tile_zero(3);
    } else {
        _tile_loadd(0, sums, ROW);
        if constexpr (BESIDE) _tile_loadd(1, sums + 16, ROW);
        if constexpr (BELOW) _tile_loadd(2, sums + SUMS / 2, ROW);
        if constexpr (BELOW && BESIDE) _tile_loadd(3, sums + SUMS / 2 + 16, ROW);
    }
    for (int k = 0; k < depth; k++) {
        _tile_loadd(6, right, TILE_BYTES);
        _tile_loadd(4, left, TILE_BYTES);
        if constexpr (BESIDE) _tile_loadd(7, right + TILE, TILE_BYTES);
        _tile_dpbf16ps(0, 4, 6);
        if constexpr (BELOW) _tile_loadd(5, left + TILE, TILE_BYTES);
        if constexpr (BESIDE) _tile_dpbf16ps(1, 4, 7);
        if constexpr (BELOW) _tile_dpbf16ps(2, 5, 6);
        if constexpr (BELOW && BESIDE) _tile_dpbf16ps(3, 5, 7);
        left += BLOCK;
        right += BLOCK;
        meanwhile(k, depth);
    }
    _tile_stored(0, sums, ROW);
    if constexpr (BESIDE) _tile_stored(1, sums + 16, ROW);
    if constexpr (BELOW) _tile_stored(2, sums + SUMS / 2, ROW);
    if constexpr (BELOW && BESIDE) _tile_stored(3, sums + SUMS / 2 + 16, ROW);
    asm volatile("" : : : "memory");
}

// ---------------------------------------------------------------------------------------------
// Packing

inline __m512i low_halves(const Brain *x, int count) {
    const __mmask16 real = count >= 16 ? 0xffff : (1u << std::max(count, 0)) - 1;
    return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(real, x));
}

__attribute__((target("avx512bf16"))) inline __m512i low_halves(const float *x, int count) {
    const __mmask16 real = count >= 16 ? 0xffff : (1u << std::max(count, 0)) - 1;
    return _mm512_cvtepu16_epi32(rounded_halves(_mm512_maskz_loadu_ps(real, x)));
}

// A pair of rows beside each other, 16 columns of them, of which `count` are real.
template <typename T>
__attribute__((target("avx512bf16"))) inline __m512i pairs_of_rows(const T *x, int64_t step, int rows,
                                                                   int count) {
    if (rows <= 0) return _mm512_setzero_si512();
    const __m512i first = low_halves(x, count);
    if (rows == 1) return first;
    return _mm512_or_si512(first, _mm512_slli_epi32(low_halves(x + step, count), 16));
}

inline void turn(__m512i (&x)[16]) {
    Floats floats[16];
    for (int i = 0; i < 16; i++) floats[i] = _mm512_castsi512_ps(x[i]);
    ::turn(floats);
    for (int i = 0; i < 16; i++) x[i] = _mm512_castps_si512(floats[i]);
}

// Rows are the depth: (rows, columns) of x -> blocks whose tiles have 16 of the columns each, `apart` from
// each other. Rows are read from end to end, as processors read ahead. `summed` adds them to sums.
template <bool summed = false, typename T>
__attribute__((target("avx512bf16"))) void pack_rows(const T *x, int64_t step, int rows, int columns,
                                                     Brain *out, size_t apart, float *sums = nullptr) {
    const int blocks = blocks_of(columns);
    for (int i = 0; i < 16; i++, x += 2 * step, rows -= 2)
        for (int n = 0; n < blocks; n++)
            for (int half = 0; half < 2; half++) {
                const int first = n * SIDE + 16 * half;
                const __m512i pairs = pairs_of_rows(x + first, step, rows, columns - first);
                _mm512_store_si512(out + n * apart + half * TILE + 32 * i, pairs);
                if constexpr (summed) {
                    const __m512i upper = _mm512_and_si512(pairs, _mm512_set1_epi32(0xffff0000));
                    const Floats one = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
                    const Floats both = add(one, _mm512_castsi512_ps(upper));
                    store(sums + first, add(load(sums + first), both));
                }
            }
}

// Let the columns of a block, or of its first tile, be the rows of its tiles, as of what is on the left.
inline void turn_block(Brain *block, int tiles = 2) {
    for (int half = 0; half < tiles; half++, block += TILE) {
        __m512i tile[16];
        for (int i = 0; i < 16; i++) tile[i] = _mm512_load_si512(block + 32 * i);
        turn(tile);
        for (int i = 0; i < 16; i++) _mm512_store_si512(block + 32 * i, tile[i]);
    }
}

// Columns are the depth, 32 of them: (rows, 32) of x -> a block whose tiles have 16 of the rows each. A
// tile without any row is left as it was.
template <typename T>
__attribute__((target("avx512bf16"))) void pack_columns(const T *x, int64_t step, int rows, Brain *out) {
    for (int half = 0; half < 2 && 16 * half < rows; half++, out += TILE) {
        __m512i tile[16];
        for (int i = 0; i < 16; i++) {
            const int row = 16 * half + i;
            if (row >= rows) {
                tile[i] = _mm512_setzero_si512();
                continue;
            }
            const T *own = x + row * step;
            if constexpr (sizeof(T) == 2) {
                tile[i] = _mm512_loadu_si512(own);
            } else {
                const __m256i first = rounded_halves(load(own)), rest = rounded_halves(load(own + 16));
                tile[i] = _mm512_inserti64x4(_mm512_castsi256_si512(first), rest, 1);
            }
        }
        turn(tile);
        for (int i = 0; i < 16; i++) _mm512_store_si512(out + 32 * i, tile[i]);
    }
}

// 32 rows of x as they are -> `depth` blocks; those beyond the last are zero.
struct Left {
    const Brain *x;
    int64_t step;
    int rows, depth;
    Brain *out;

    void pack(int begin, int end) const {
        for (int r = begin; r < end; r++)
            for (int k = 0; k < depth; k++)
                _mm512_store_si512(out + static_cast<size_t>(k) * BLOCK + r * SIDE,
                                   r < rows ? _mm512_loadu_si512(x + r * step + k * SIDE)
                                            : _mm512_setzero_si512());
    }
};

}  // namespace

#endif

namespace seq2seq {

// Whether this processor can do such products, and may.
inline bool multiplies() {
#ifdef HAS_TILES
    static const bool able = [] {
        unsigned a, b, c, d, of_vectors;
        if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
        if (!__get_cpuid_count(7, 1, &of_vectors, &b, &c, &a)) return false;
        constexpr unsigned BRAINS_IN_TILES = 1u << 22, BRAINS_IN_VECTORS = 1u << 5;
        return (d & BRAINS_IN_TILES) && (of_vectors & BRAINS_IN_VECTORS);
    }();
    return able && tiles_are_used;
#else
    return false;
#endif
}

}  // namespace seq2seq
