// Whether this process may use matrix tiles.

#include "tiles.h"

#ifdef HAS_TILES

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace seq2seq {

bool tiles_enabled = false;

}  // namespace seq2seq

namespace {

// Asks Linux for the registers of tiles; returns whether this process has them.
bool request_tiles() {
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    constexpr unsigned TILES = 1u << 24, INT8_IN_TILES = 1u << 25;
    if (!(d & TILES) || !(d & INT8_IN_TILES)) return false;
    constexpr long REQUEST = 0x1023, TILE_DATA = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
}

bool processor_multiplies_bfloat16() {
    unsigned a, b, c, d, of_vectors;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    if (!__get_cpuid_count(7, 1, &of_vectors, &b, &c, &a)) return false;
    constexpr unsigned BFLOAT16_IN_TILES = 1u << 22, BFLOAT16_IN_VECTORS = 1u << 5;
    return (d & BFLOAT16_IN_TILES) && (of_vectors & BFLOAT16_IN_VECTORS);
}

}  // namespace

bool seq2seq::enable_tiles(bool wanted) { return tiles_enabled = wanted && request_tiles(); }

bool seq2seq::tiles_multiply_bfloat16() {
    static const bool able = processor_multiplies_bfloat16();
    return able && tiles_enabled;
}

#else

bool seq2seq::enable_tiles(bool) { return tiles_enabled; }

bool seq2seq::tiles_multiply_bfloat16() { return false; }

#endif
