// Vectors of x86 processors with AVX-512 and its 8-bit dot products (VNNI). What each function does
// is said in scalar.h.

#pragma once

#include <immintrin.h>

#include "numbers.h"

// The build of these processors also contains the kernels of tiles.h, if the compiler can make
// them.
#if defined(__linux__) && defined(__has_include)
#if __has_include(<amxint8intrin.h>)
#define HAS_TILES
#endif
#endif

namespace {

constexpr int LANES = 16;
constexpr int ROWS = 6, BLOCKS = 4;  // 24 accumulators fit the 32 registers
constexpr int NARROW_TILE_ROWS = 8, WIDE_TILE_ROWS = 8;
constexpr float INPUT_LIMIT = 127;

using Floats = __m512;
using Ints = __m512i;
using Bytes = __m512i;
using Words = __m512i;
struct Mask {
    uint64_t bits;
};

// ---------------------------------------------------------------------------------------------
// Loads and stores

constexpr int TO_NEAREST = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

inline float to_float(float16 x) { return _cvtsh_ss(x.bits); }
template <> inline float16 from_float<float16>(float x) { return {_cvtss_sh(x, TO_NEAREST)}; }

inline Floats load(const float *p) { return _mm512_loadu_ps(p); }
inline Floats load(const float16 *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(p)));
}
inline Floats load(const bfloat16 *p) {
    const __m256i upper = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(upper), 16));
}
inline void store(float *p, Floats x) { _mm512_storeu_ps(p, x); }
inline void store(float16 *p, Floats x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(p), _mm512_cvtps_ph(x, TO_NEAREST));
}
inline void store(bfloat16 *p, Floats x) {
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i sum = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(p),
                        _mm512_cvtepi32_epi16(_mm512_srli_epi32(sum, 16)));
}

// ---------------------------------------------------------------------------------------------
// Arithmetic on float32

inline Floats broadcast(float x) { return _mm512_set1_ps(x); }
inline Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
inline Floats multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
inline Floats multiply_add(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
inline Floats reciprocal(Floats x) { return _mm512_div_ps(_mm512_set1_ps(1), x); }
inline Floats max(Floats a, Floats b) { return _mm512_max_ps(a, b); }
inline Floats min(Floats a, Floats b) { return _mm512_min_ps(a, b); }
inline Floats abs(Floats x) { return _mm512_abs_ps(x); }
inline Floats round(Floats x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT); }
inline Floats power_of_two(Floats x) {
    const __m512i exponent = _mm512_add_epi32(_mm512_cvtps_epi32(x), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(exponent, 23));
}
inline Floats zero_if_less(Floats x, Floats bound, Floats value) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, bound, _CMP_NLT_UQ), value);
}
inline Floats zero_unless_positive(Floats x, Floats value) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ), value);
}

// ---------------------------------------------------------------------------------------------
// Across lanes

inline float reduce_add(Floats x) { return _mm512_reduce_add_ps(x); }
inline void reduce_add_four(Floats a, Floats b, Floats c, Floats d, float *sums) {
    const Floats ab = add(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const Floats cd = add(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    const Floats all = add(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
    _mm_storeu_ps(sums, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}
inline float reduce_max(Floats x) { return _mm512_reduce_max_ps(x); }
inline void transpose(Floats (&x)[LANES]) {
    Floats y[LANES];
    const auto doubles = [](Floats row) { return _mm512_castps_pd(row); };
    for (int i = 0; i < LANES; i += 2) {
        y[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
    }
    for (int i = 0; i < LANES; i += 4)
        for (int j = 0; j < 2; j++) {
            const __m512d first = doubles(y[i + j]), second = doubles(y[i + j + 2]);
            x[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(first, second));
            x[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(first, second));
        }
    // x[i + j] holds columns j, 4 + j, 8 + j and 12 + j of rows i to i + 3.
    for (int j = 0; j < 4; j++) {
        const Floats even = _mm512_shuffle_f32x4(x[j], x[4 + j], 0x88);
        const Floats even_below = _mm512_shuffle_f32x4(x[8 + j], x[12 + j], 0x88);
        const Floats odd = _mm512_shuffle_f32x4(x[j], x[4 + j], 0xdd);
        const Floats odd_below = _mm512_shuffle_f32x4(x[8 + j], x[12 + j], 0xdd);
        y[j] = _mm512_shuffle_f32x4(even, even_below, 0x88);
        y[4 + j] = _mm512_shuffle_f32x4(odd, odd_below, 0x88);
        y[8 + j] = _mm512_shuffle_f32x4(even, even_below, 0xdd);
        y[12 + j] = _mm512_shuffle_f32x4(odd, odd_below, 0xdd);
    }
    std::copy_n(y, LANES, x);
}

// ---------------------------------------------------------------------------------------------
// Random bits

inline Words load_words(const uint64_t *p) { return _mm512_load_si512(p); }
inline Words add_words(Words a, Words b) { return _mm512_add_epi64(a, b); }
inline Words xor_words(Words a, Words b) { return _mm512_xor_si512(a, b); }
template <int bits> inline Words shift_left(Words x) { return _mm512_slli_epi64(x, bits); }
template <int bits> inline Words shift_right(Words x) { return _mm512_srli_epi64(x, bits); }
inline Mask bytes_at_least(Words words, int threshold) {
    return {_mm512_cmpge_epu8_mask(words, _mm512_set1_epi8(static_cast<char>(threshold)))};
}
inline bool is_set(Mask mask, int i) { return mask.bits >> i & 1; }
inline Floats zero_unset(Mask mask, int group, Floats x) {
    return _mm512_maskz_mov_ps(static_cast<__mmask16>(mask.bits >> (LANES * group)), x);
}

// ---------------------------------------------------------------------------------------------
// Integers

inline Ints load_ints(const int32_t *p) { return _mm512_load_si512(p); }
inline Ints zero_ints() { return _mm512_setzero_si512(); }
inline Ints add(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
inline int32_t reduce_add(Ints x) { return _mm512_reduce_add_epi32(x); }
inline Floats subtract(Ints a, int32_t b) {
    return _mm512_cvtepi32_ps(_mm512_sub_epi32(a, _mm512_set1_epi32(b)));
}
inline Ints store_int8(int8_t *p, Floats x) {
    const __m512i whole = _mm512_cvtps_epi32(x);
    _mm_storeu_si128(reinterpret_cast<__m128i *>(p), _mm512_cvtepi32_epi8(whole));
    return whole;
}
inline Bytes load_bytes(const uint8_t *p) { return _mm512_loadu_si512(p); }
inline Bytes broadcast_four(const int8_t *p) {
    int32_t four;
    std::memcpy(&four, p, 4);
    return _mm512_set1_epi32(four);
}
inline Ints dot(Ints sum, Bytes weights, Bytes inputs) {
    // In assembler because compilers copy the sums around the intrinsic, which costs half the
    // speed.
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(weights), "v"(inputs));
    return sum;
}

}  // namespace
