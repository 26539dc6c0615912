// What this processor can run, and what a library was compiled from: asked before anything else of a
// library is called. Python asks the scalar build, which every processor of the family can run.

#include <cstdint>
#include <cstring>

#include "guard.h"

#ifndef KERNELS_STAMP
#define KERNELS_STAMP 0
#endif

#if defined(__x86_64__)
#include <cpuid.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace {

#if defined(__x86_64__)

// The registers of vectors and tiles that the system saves, a bit for each kind.
uint64_t saved_registers() {
    uint32_t low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return static_cast<uint64_t>(high) << 32 | low;
}

// Whether Linux grants the registers of tiles to processes that ask for them, as `request_tiles` of
// tiles.cpp does.
bool tiles_can_be_requested() {
#ifdef __linux__
    constexpr long SUPPORTED = 0x1021, TILE_DATA = 18;  // ARCH_GET_XCOMP_SUPP, XFEATURE_XTILEDATA
    uint64_t supported = 0;
    return syscall(SYS_arch_prctl, SUPPORTED, &supported) == 0 && (supported >> TILE_DATA & 1);
#else
    return false;
#endif
}

bool runs(const char *build) {
    const auto is = [&](const char *name) { return !std::strcmp(build, name); };
    if (is("scalar")) return true;
    struct {
        unsigned a, b, c, d;
    } basic{}, more{}, most{};  // leaf 1, leaf 7 and leaf 7.1 of the instruction cpuid
    if (!__get_cpuid(1, &basic.a, &basic.b, &basic.c, &basic.d)) return false;
    if (!__get_cpuid_count(7, 0, &more.a, &more.b, &more.c, &more.d)) return false;
    if (more.a >= 1) __get_cpuid_count(7, 1, &most.a, &most.b, &most.c, &most.d);
    constexpr unsigned FMA = 1u << 12, XGETBV = 1u << 27, AVX = 1u << 28, F16C = 1u << 29;
    constexpr unsigned FIRST = FMA | XGETBV | AVX | F16C, AVX2 = 1u << 5;
    if ((basic.c & FIRST) != FIRST || !(more.b & AVX2)) return false;
    const uint64_t saved = saved_registers();
    constexpr uint64_t VECTORS = 0x6, LARGE_VECTORS = 0xe6, TILES = 0x60000;
    if ((saved & VECTORS) != VECTORS) return false;
    if (is("avx2")) return true;
    if (is("avx2_vnni")) return most.a >> 4 & 1;
    constexpr unsigned AVX512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // F, DQ, BW, VL
    const bool dot_products = more.c >> 11 & 1;
    if ((more.b & AVX512) != AVX512 || !dot_products || (saved & LARGE_VECTORS) != LARGE_VECTORS)
        return false;
    if (is("avx512")) return true;
    constexpr unsigned AMX = 1u << 24 | 1u << 25;  // tiles, and their 8-bit products
    return is("amx") && (more.d & AMX) == AMX && (saved & TILES) == TILES &&
           tiles_can_be_requested();
}

#elif defined(__aarch64__)

// Instructions for 8-bit numbers: dot products, which all but the first processors have, and those
// and matrix products of mixed signs (i8mm).
#if defined(__linux__)

bool has_dot_products() { return getauxval(AT_HWCAP) >> 20 & 1; }  // HWCAP_ASIMDDP
bool has_i8mm() { return getauxval(AT_HWCAP2) >> 13 & 1; }         // HWCAP2_I8MM

#elif defined(__APPLE__)

bool has(const char *feature) {
    int found = 0;
    size_t size = sizeof(found);
    return sysctlbyname(feature, &found, &size, nullptr, 0) == 0 && found;
}
bool has_dot_products() { return has("hw.optional.arm.FEAT_DotProd"); }
bool has_i8mm() { return has("hw.optional.arm.FEAT_I8MM"); }

#else

bool has_dot_products() { return false; }
bool has_i8mm() { return false; }

#endif

bool runs(const char *build) {
    const auto is = [&](const char *name) { return !std::strcmp(build, name); };
    if (is("neon")) return has_dot_products();
    if (is("neon_i8mm")) return has_dot_products() && has_i8mm();
    return is("scalar");
}

#else

bool runs(const char *build) { return !std::strcmp(build, "scalar"); }

#endif

}  // namespace

using namespace seq2seq;

extern "C" {

// Whether this processor, and its system, can run the build of this name.
int32_t processor_runs(const char *build) {
    return guarded([&]() -> int32_t { return runs(build); });
}

// The stamp of kernels/stamp.py that the library was compiled with; 0 if it was compiled by hand.
int64_t kernels_stamp() {
    return guarded([&]() -> int64_t { return KERNELS_STAMP; });
}

}  // extern "C"
