// Blocks of matrix products of bfloat16 numbers in matrix tiles (Intel AMX).
//
// Tiles multiply pairs of numbers and add them up in float32. A block of a product is two tiles in
// each direction, so that as many tiles are loaded as multiplied. On the left of a product a tile
// has 16 rows and 32 of the depth, on the right 16 pairs of the depth and 16 columns.
//
// Functions marked BFLOAT16_VECTORS are compiled for processors that have the tiles, and so must be
// what calls them if they are to be inlined.

#pragma once

#include "tiles.h"

#ifdef HAS_TILES

#define BFLOAT16_VECTORS __attribute__((target("avx512bf16")))
#define BFLOAT16_TILES __attribute__((target("amx-tile,amx-bf16,avx512bf16")))

namespace {

constexpr int SIDE = 32;           // rows, columns and depth of a block
constexpr int TILE = 16 * 32;      // numbers
constexpr int BLOCK = 2 * TILE;    // numbers of one side of a block
constexpr int SUMS = SIDE * SIDE;  // of a block

inline int blocks_of(int64_t count) { return static_cast<int>((count + SIDE - 1) / SIDE); }

// Adds up the products of `depth` blocks -> sums (32, 32), or only the first 16 rows or columns;
// `begins` starts from zero. While the tiles work, meanwhile(k, depth) does other work, a share of
// it for each block; sums are written after it.
template <int ROW_TILES = 2, int COLUMN_TILES = 2, typename Meanwhile>
BFLOAT16_TILES inline void accumulate(const bfloat16 *left, const bfloat16 *right, int depth,
                                      bool begins, float *sums, Meanwhile &&meanwhile) {
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
// Stores of a part of a row. Subnormal numbers become zero, unlike in `store`.

BFLOAT16_VECTORS inline __m256i rounded_to_bfloat16(__m512 x) {
    return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x));
}

// 32 numbers, as bfloat16.
BFLOAT16_VECTORS inline __m512i rounded_pair(Floats first, Floats rest) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(rounded_to_bfloat16(first)),
                              rounded_to_bfloat16(rest), 1);
}

BFLOAT16_VECTORS inline void store_pair(bfloat16 *p, Floats first, Floats rest) {
    _mm512_storeu_si512(p, rounded_pair(first, rest));
}

// Only the first numbers of a pair are stored, those whose bit is set.
inline uint32_t first_of_pair(int count) { return count >= SIDE ? ~0u : (1u << count) - 1; }

BFLOAT16_VECTORS inline void store_pair(bfloat16 *p, Floats first, Floats rest, uint32_t stored) {
    _mm512_mask_storeu_epi16(p, stored, rounded_pair(first, rest));
}

inline void store_first(float *p, Floats x, int count) {  // the first `count` of 16, at least 1
    _mm512_mask_storeu_ps(p, count >= 16 ? 0xffff : (1u << count) - 1, x);
}

// ---------------------------------------------------------------------------------------------
// Packing

inline __m512i low_halves(const bfloat16 *x, int count) {
    const __mmask16 real = count >= 16 ? 0xffff : (1u << std::max(count, 0)) - 1;
    return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(real, x));
}

BFLOAT16_VECTORS inline __m512i low_halves(const float *x, int count) {
    const __mmask16 real = count >= 16 ? 0xffff : (1u << std::max(count, 0)) - 1;
    return _mm512_cvtepu16_epi32(rounded_to_bfloat16(_mm512_maskz_loadu_ps(real, x)));
}

// Pairs of numbers of two rows that follow each other, in 16 columns, of which `count` exist.
template <typename T>
BFLOAT16_VECTORS inline __m512i pairs_of_rows(const T *x, int64_t step, int rows, int count) {
    if (rows <= 0) return _mm512_setzero_si512();
    const __m512i first = low_halves(x, count);
    if (rows == 1) return first;
    return _mm512_or_si512(first, _mm512_slli_epi32(low_halves(x + step, count), 16));
}

inline void transpose(__m512i (&x)[16]) {
    Floats floats[16];
    for (int i = 0; i < 16; i++) floats[i] = _mm512_castsi512_ps(x[i]);
    ::transpose(floats);
    for (int i = 0; i < 16; i++) x[i] = _mm512_castps_si512(floats[i]);
}

// Packs (rows, columns) of x whose rows are the depth -> blocks whose tiles have 16 of the columns
// each, `stride` apart. Rows are read from end to end, since processors read ahead. With ADD_SUMS
// they are also added to `sums` (columns,).
template <bool ADD_SUMS = false, typename T>
BFLOAT16_VECTORS void pack_rows(const T *x, int64_t step, int rows, int columns, bfloat16 *out,
                                size_t stride, float *sums = nullptr) {
    const int blocks = blocks_of(columns);
    for (int i = 0; i < 16; i++, x += 2 * step, rows -= 2)
        for (int n = 0; n < blocks; n++)
            for (int half = 0; half < 2; half++) {
                const int first = n * SIDE + 16 * half;
                const __m512i pairs = pairs_of_rows(x + first, step, rows, columns - first);
                _mm512_store_si512(out + n * stride + half * TILE + 32 * i, pairs);
                if constexpr (ADD_SUMS) {
                    const __m512i upper = _mm512_and_si512(pairs, _mm512_set1_epi32(0xffff0000));
                    const Floats one = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
                    const Floats both = add(one, _mm512_castsi512_ps(upper));
                    store(sums + first, add(load(sums + first), both));
                }
            }
}

// Turns the columns of a packed block, or of its first tile, into rows of tiles, as the left of a
// product needs them.
inline void transpose_block(bfloat16 *block, int tiles = 2) {
    for (int half = 0; half < tiles; half++, block += TILE) {
        __m512i tile[16];
        for (int i = 0; i < 16; i++) tile[i] = _mm512_load_si512(block + 32 * i);
        transpose(tile);
        for (int i = 0; i < 16; i++) _mm512_store_si512(block + 32 * i, tile[i]);
    }
}

// Packs (rows, 32) of x whose columns are the depth -> a block whose tiles have 16 of the rows
// each. A tile without any row is left unchanged.
template <typename T>
BFLOAT16_VECTORS void pack_columns(const T *x, int64_t step, int rows, bfloat16 *out) {
    for (int half = 0; half < 2 && 16 * half < rows; half++, out += TILE) {
        __m512i tile[16];
        for (int i = 0; i < 16; i++) {
            const int index = 16 * half + i;
            if (index >= rows) {
                tile[i] = _mm512_setzero_si512();
                continue;
            }
            const T *row = x + index * step;
            if constexpr (sizeof(T) == 2)
                tile[i] = _mm512_loadu_si512(row);
            else
                tile[i] = rounded_pair(load(row), load(row + 16));
        }
        transpose(tile);
        for (int i = 0; i < 16; i++) _mm512_store_si512(out + 32 * i, tile[i]);
    }
}

// The left of a product: 32 rows of x, unchanged -> `depth` blocks. Rows that x does not have are
// zero.
struct LeftPacking {
    const bfloat16 *x;
    int64_t step;
    int rows, depth;
    bfloat16 *out;

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
