// Vectors of x86 processors with AVX2, FMA and F16C. What each function does is said in scalar.h.

#pragma once

#include <immintrin.h>

#include "numbers.h"

namespace {

constexpr int LANES = 8;
constexpr int ROWS = 6, BLOCKS = 2;  // 12 accumulators, of 16 registers
constexpr int NARROW_TILE_ROWS = 8, WIDE_TILE_ROWS = 4;
#ifndef DOT_IN_ONE_INSTRUCTION
constexpr float INPUT_LIMIT = 63;  // `dot` first adds two products in 16 bits: 2 x 255 x 63 fits
#endif

using Floats = __m256;
using Ints = __m256i;
using Bytes = __m256i;
using Words = __m256i;
struct Mask {
    uint32_t bits;
};

// ---------------------------------------------------------------------------------------------
// Loads and stores

constexpr int TO_NEAREST = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

inline float to_float(float16 x) { return _cvtsh_ss(x.bits); }
template <> inline float16 from_float<float16>(float x) { return {_cvtss_sh(x, TO_NEAREST)}; }

inline Floats load(const float *p) { return _mm256_loadu_ps(p); }
inline Floats load(const float16 *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p)));
}
inline Floats load(const bfloat16 *p) {
    const __m128i upper = _mm_loadu_si128(reinterpret_cast<const __m128i *>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(upper), 16));
}
inline void store(float *p, Floats x) { _mm256_storeu_ps(p, x); }
inline void store(float16 *p, Floats x) {
    _mm_storeu_si128(reinterpret_cast<__m128i *>(p), _mm256_cvtps_ph(x, TO_NEAREST));
}
inline void store(bfloat16 *p, Floats x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i sum = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    const __m256i words = _mm256_srli_epi32(sum, 16);
    _mm_storeu_si128(
        reinterpret_cast<__m128i *>(p),
        _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}

// ---------------------------------------------------------------------------------------------
// Arithmetic on float32

inline Floats broadcast(float x) { return _mm256_set1_ps(x); }
inline Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
inline Floats multiply(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
inline Floats multiply_add(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
inline Floats reciprocal(Floats x) { return _mm256_div_ps(_mm256_set1_ps(1), x); }
inline Floats max(Floats a, Floats b) { return _mm256_max_ps(a, b); }
inline Floats min(Floats a, Floats b) { return _mm256_min_ps(a, b); }
inline Floats abs(Floats x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
inline Floats round(Floats x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT); }
inline Floats power_of_two(Floats x) {
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(x), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}
inline Floats zero_if_less(Floats x, Floats bound, Floats value) {
    return _mm256_and_ps(_mm256_cmp_ps(x, bound, _CMP_NLT_UQ), value);
}
inline Floats zero_unless_positive(Floats x, Floats value) {
    return _mm256_and_ps(_mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GT_OQ), value);
}

// ---------------------------------------------------------------------------------------------
// Across lanes

inline float reduce_add(Floats x) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}
inline void reduce_add_four(Floats a, Floats b, Floats c, Floats d, float *sums) {
    const Floats ab = add(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    const Floats cd = add(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    const Floats all = add(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
    _mm_storeu_ps(sums, _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1)));
}
inline float reduce_max(Floats x) {
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}
inline void transpose(Floats (&x)[LANES]) {
    Floats y[LANES];
    const auto doubles = [](Floats row) { return _mm256_castps_pd(row); };
    for (int i = 0; i < LANES; i += 2) {
        y[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
    }
    for (int i = 0; i < LANES; i += 4)
        for (int j = 0; j < 2; j++) {
            const __m256d first = doubles(y[i + j]), second = doubles(y[i + j + 2]);
            x[i + 2 * j] = _mm256_castpd_ps(_mm256_unpacklo_pd(first, second));
            x[i + 2 * j + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(first, second));
        }
    // x[i + j] holds columns j and 4 + j of rows i to i + 3.
    for (int j = 0; j < 4; j++) {
        y[j] = _mm256_permute2f128_ps(x[j], x[4 + j], 0x20);
        y[4 + j] = _mm256_permute2f128_ps(x[j], x[4 + j], 0x31);
    }
    std::copy_n(y, LANES, x);
}

// ---------------------------------------------------------------------------------------------
// Random bits

inline Words load_words(const uint64_t *p) {
    return _mm256_load_si256(reinterpret_cast<const __m256i *>(p));
}
inline Words add_words(Words a, Words b) { return _mm256_add_epi64(a, b); }
inline Words xor_words(Words a, Words b) { return _mm256_xor_si256(a, b); }
template <int bits> inline Words shift_left(Words x) { return _mm256_slli_epi64(x, bits); }
template <int bits> inline Words shift_right(Words x) { return _mm256_srli_epi64(x, bits); }
inline Mask bytes_at_least(Words words, int threshold) {
    const __m256i least = _mm256_set1_epi8(static_cast<char>(threshold));
    const __m256i reached = _mm256_cmpeq_epi8(_mm256_max_epu8(words, least), words);
    return {static_cast<uint32_t>(_mm256_movemask_epi8(reached))};
}
inline bool is_set(Mask mask, int i) { return mask.bits >> i & 1; }
inline Floats zero_unset(Mask mask, int group, Floats x) {
    const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i own = _mm256_set1_epi32(static_cast<int>(mask.bits >> (LANES * group)));
    const __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(own, bits), bits);
    return _mm256_and_ps(_mm256_castsi256_ps(set), x);
}

// ---------------------------------------------------------------------------------------------
// Integers

inline Ints load_ints(const int32_t *p) {
    return _mm256_load_si256(reinterpret_cast<const __m256i *>(p));
}
inline Ints zero_ints() { return _mm256_setzero_si256(); }
inline Ints add(Ints a, Ints b) { return _mm256_add_epi32(a, b); }
inline int32_t reduce_add(Ints x) {
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1)));
}
inline Floats subtract(Ints a, int32_t b) {
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(a, _mm256_set1_epi32(b)));
}
inline Ints store_int8(int8_t *p, Floats x) {
    const __m256i whole = _mm256_cvtps_epi32(x);
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i *>(p), _mm_packs_epi16(words, words));
    return whole;
}
inline Bytes load_bytes(const uint8_t *p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p));
}
inline Bytes broadcast_four(const int8_t *p) {
    int32_t four;
    std::memcpy(&four, p, 4);
    return _mm256_set1_epi32(four);
}
#ifndef DOT_IN_ONE_INSTRUCTION  // avx2_vnni.h has it
inline Ints dot(Ints sum, Bytes weights, Bytes inputs) {
    // In assembler because compilers interleave so many of them that they run out of registers.
    __m256i pairs;
    asm("vpmaddubsw %3, %2, %1\n\tvpmaddwd %4, %1, %1\n\tvpaddd %1, %0, %0"
        : "+x"(sum), "=&x"(pairs)
        : "x"(weights), "x"(inputs), "xm"(_mm256_set1_epi16(1)));
    return sum;
}
#endif

}  // namespace
