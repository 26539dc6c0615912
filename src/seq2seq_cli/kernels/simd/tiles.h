// Matrix tiles (AMX), on processors that have them, and products of 8-bit numbers in them.
//
// These give the same sums of integers as dot products of vectors do, and so the same results; what
// differs is the speed with many rows.

#pragma once

#include "vectors.h"

#if defined(__AVX512VNNI__) && defined(__linux__) && defined(__has_include)
#if __has_include(<amxint8intrin.h>)
#define HAS_TILES
#endif
#endif

#ifdef HAS_TILES

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace seq2seq {

extern bool tiles_are_used;

}  // namespace seq2seq

namespace {

constexpr int TILE_ROWS = 16, TILE_BYTES = 64;  // 64 inputs of a row, or 16 sums

// Let this process use tiles; returns whether it can.
bool permit_tiles() {
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    constexpr unsigned TILES = 1u << 24, EIGHT_BITS = 1u << 25;
    if (!(d & TILES) || !(d & EIGHT_BITS)) return false;
    constexpr long REQUEST = 0x1023, DATA = 18;  // ARCH_REQ_XCOMP_PERM, of the tiles' data
    return syscall(SYS_arch_prctl, REQUEST, DATA) == 0;
}

// Tiles 0 to 3 are sums and 4 is inputs, of so many rows each; 5 is weights. With TILE_ROWS all eight are
// alike.
__attribute__((target("amx-tile"))) inline void shape_tiles(int rows) {
    struct alignas(64) {
        uint8_t palette = 1, start = 0, reserved[14] = {};
        uint16_t bytes[16] = {};
        uint8_t rows[16] = {};
    } shapes;
    for (int i = 0; i < 8; i++) {
        shapes.bytes[i] = TILE_BYTES;
        shapes.rows[i] = static_cast<uint8_t>(i >= 5 ? TILE_ROWS : rows);
    }
    asm volatile("" : : "r"(&shapes) : "memory");  // or compilers keep only what they see is read
    _tile_loadconfig(&shapes);
}

__attribute__((target("amx-tile"))) inline void leave_tiles() { _tile_release(); }

// Sums of products of some rows of signed inputs, `depth` apart, with C blocks of 16 outputs, whose
// unsigned weights are `size` apart: (rows, 64), C x 16 of which are set. Tiles have been shaped.
template <int C>
__attribute__((target("amx-tile,amx-int8"))) inline void
tile_sums(const int8_t *inputs, int depth, const uint8_t *weights, size_t size, int32_t *sums) {
    constexpr int STEP = 4 * TILE_BYTES;  // bytes between rows of sums
    asm volatile("" : : "r"(inputs), "r"(weights), "r"(sums) : "memory");
    _tile_zero(0);
    if constexpr (C > 1) _tile_zero(1);
    if constexpr (C > 2) _tile_zero(2);
    if constexpr (C > 3) _tile_zero(3);
    for (int i = 0; i < depth; i += TILE_BYTES) {
        _tile_loadd(4, inputs + i, depth);
        const uint8_t *own = weights + static_cast<size_t>(i) * TILE_ROWS;
        _tile_loadd(5, own, TILE_BYTES);
        _tile_dpbsud(0, 4, 5);
        if constexpr (C > 1) {
            _tile_loadd(5, own + size, TILE_BYTES);
            _tile_dpbsud(1, 4, 5);
        }
        if constexpr (C > 2) {
            _tile_loadd(5, own + 2 * size, TILE_BYTES);
            _tile_dpbsud(2, 4, 5);
        }
        if constexpr (C > 3) {
            _tile_loadd(5, own + 3 * size, TILE_BYTES);
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

#endif
