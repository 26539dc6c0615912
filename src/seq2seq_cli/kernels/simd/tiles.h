// Products of 8-bit numbers by instructions for matrices: those of Intel AMX, in matrix tiles, here,
// and those of 64-bit ARM (i8mm) in neon_tiles.h.
//
// They compute the same sums of integers as `dot` of vectors.h, so results are the same; they are
// faster with several rows. HAS_TILES stands for AMX alone, HAS_MATRIX_PRODUCTS for i8mm; where the
// build has neither, `tiles_enabled` is false.

#pragma once

#include "vectors.h"

namespace seq2seq {

// Lets this process use tiles, or not; returns whether it does.
bool enable_tiles(bool wanted);

// Whether bfloat16 numbers can be multiplied in tiles and tiles are enabled.
bool tiles_multiply_bfloat16();

}  // namespace seq2seq

#if defined(HAS_TILES)

constexpr int TILE_ROWS = 16, TILE_BYTES = 64;  // a row holds 64 8-bit inputs, or 16 sums

namespace seq2seq {

extern bool tiles_enabled;

}  // namespace seq2seq

namespace {

// Tiles 0 to 3 hold sums and tile 4 inputs, with this many rows each; tile 5 holds weights. With
// TILE_ROWS all eight tiles have the same shape.
__attribute__((target("amx-tile"))) inline void configure_tiles(int rows) {
    struct alignas(64) {
        uint8_t palette = 1, start = 0, reserved[14] = {};
        uint16_t bytes[16] = {};
        uint8_t rows[16] = {};
    } shapes;
    for (int i = 0; i < 8; i++) {
        shapes.bytes[i] = TILE_BYTES;
        shapes.rows[i] = static_cast<uint8_t>(i >= 5 ? TILE_ROWS : rows);
    }
    // Compilers do not see that tile instructions read memory, and would leave out the writes
    // above.
    asm volatile("" : : "r"(&shapes) : "memory");
    _tile_loadconfig(&shapes);
}

__attribute__((target("amx-tile"))) inline void release_tiles() { _tile_release(); }

// Multiplies signed inputs, whose rows are `depth` bytes apart, with C blocks of 16 outputs, whose
// unsigned weights are `size` bytes apart -> sums (rows, 64), of which C x 16 columns are set.
// Tiles are configured for the rows; elsewhere `rows` says how many there are.
template <int C>
__attribute__((target("amx-tile,amx-int8"))) inline void
dot_in_tiles(const int8_t *inputs, int depth, const uint8_t *weights, size_t size, int,
             int32_t *sums) {
    constexpr int STEP = 4 * TILE_BYTES;  // bytes between rows of sums
    asm volatile("" : : "r"(inputs), "r"(weights), "r"(sums) : "memory");
    _tile_zero(0);
    if constexpr (C > 1) _tile_zero(1);
    if constexpr (C > 2) _tile_zero(2);
    if constexpr (C > 3) _tile_zero(3);
    for (int i = 0; i < depth; i += TILE_BYTES) {
        _tile_loadd(4, inputs + i, depth);
        const uint8_t *block = weights + static_cast<size_t>(i) * TILE_ROWS;
        _tile_loadd(5, block, TILE_BYTES);
        _tile_dpbsud(0, 4, 5);
        if constexpr (C > 1) {
            _tile_loadd(5, block + size, TILE_BYTES);
            _tile_dpbsud(1, 4, 5);
        }
        if constexpr (C > 2) {
            _tile_loadd(5, block + 2 * size, TILE_BYTES);
            _tile_dpbsud(2, 4, 5);
        }
        if constexpr (C > 3) {
            _tile_loadd(5, block + 3 * size, TILE_BYTES);
            _tile_dpbsud(3, 4, 5);
        }
    }
    _tile_stored(0, sums, STEP);
    if constexpr (C > 1) _tile_stored(1, sums + 16, STEP);
    if constexpr (C > 2) _tile_stored(2, sums + 32, STEP);
    if constexpr (C > 3) _tile_stored(3, sums + 48, STEP);
    asm volatile("" : : : "memory");
}

}  // namespace

#elif defined(HAS_MATRIX_PRODUCTS)

#include "neon_tiles.h"

#else

constexpr int TILE_ROWS = 16, TILE_BYTES = 64;  // that nothing reads

namespace seq2seq {

constexpr bool tiles_enabled = false;

}  // namespace seq2seq

namespace {

inline void configure_tiles(int) {}
inline void release_tiles() {}
template <int C>
inline void dot_in_tiles(const int8_t *, int, const uint8_t *, size_t, int, int32_t *) {}

}  // namespace

#endif
