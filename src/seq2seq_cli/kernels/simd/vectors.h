// Vectors, and memory for them: the only part of the compiled functions that differs between
// processors. Built once for AVX2 and once for AVX-512 with its 8-bit dot products.

#pragma once

#include <immintrin.h>

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

namespace {

using Half = uint16_t;  // a float16
struct Brain {          // a bfloat16: the upper half of a float32
    uint16_t bits;
};
constexpr int NEAREST = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

// ---------------------------------------------------------------------------------------------
// Vectors: the only part that differs between processors

#ifdef __AVX512VNNI__
constexpr int LANES = 16;            // floats in a vector
constexpr int ROWS = 6, BLOCKS = 4;  // of a tile: 24 sums stay in registers
constexpr float INPUT_LIMIT = 127;
using Floats = __m512;
using Sums = __m512i;  // 32-bit integers
using Bytes = __m512i;

inline Floats load(const float *p) { return _mm512_loadu_ps(p); }
inline Floats spread(float x) { return _mm512_set1_ps(x); }
inline Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
inline Floats multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
inline Floats multiply_add(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
// Of NaN and a number both give the second: a bound stands first where NaN should come through.
inline Floats greater(Floats a, Floats b) { return _mm512_max_ps(a, b); }
inline Floats lesser(Floats a, Floats b) { return _mm512_min_ps(a, b); }
inline Floats reciprocal(Floats x) { return _mm512_div_ps(_mm512_set1_ps(1), x); }
inline void store(float *p, Floats x) { _mm512_storeu_ps(p, x); }
inline Floats load(const Half *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(p)));
}
inline void store(Half *p, Floats x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(p), _mm512_cvtps_ph(x, NEAREST));
}
inline Floats load(const Brain *p) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}
inline void store(Brain *p, Floats x) {  // rounded to the nearest, halves to even
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i sum = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(p),
                        _mm512_cvtepi32_epi16(_mm512_srli_epi32(sum, 16)));
}
inline float sum_of(Floats x) { return _mm512_reduce_add_ps(x); }
inline void four_sums_of(Floats a, Floats b, Floats c, Floats d, float *sums) {
    const Floats ab = add(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const Floats cd = add(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    const Floats all = add(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
    _mm_storeu_ps(sums, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}
inline float greatest_of(Floats x) { return _mm512_reduce_max_ps(x); }
inline void turn(Floats (&x)[LANES]) {  // rows become columns
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
inline Floats without_sign(Floats x) { return _mm512_abs_ps(x); }
inline Floats rounded(Floats x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT); }
inline Floats two_to_the(Floats x) {  // a whole number
    const __m512i exponent = _mm512_add_epi32(_mm512_cvtps_epi32(x), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(exponent, 23));
}
inline Floats zero_below(Floats x, Floats bound, Floats otherwise) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, bound, _CMP_NLT_UQ), otherwise);
}
inline Floats where_positive(Floats x, Floats otherwise) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ), otherwise);
}
using Words = __m512i;  // of 64 bits
inline Words load_words(const uint64_t *p) { return _mm512_load_si512(p); }
inline Words added(Words a, Words b) { return _mm512_add_epi64(a, b); }
template <int bits> inline Words shifted_left(Words x) { return _mm512_slli_epi64(x, bits); }
template <int bits> inline Words shifted_right(Words x) { return _mm512_srli_epi64(x, bits); }
struct Kept {  // which bytes are not below a threshold
    uint64_t mask;

    Kept(Words bytes, int threshold)
        : mask(_mm512_cmpge_epu8_mask(bytes, _mm512_set1_epi8(static_cast<char>(threshold)))) {}
    bool at(int i) const { return mask >> i & 1; }
    Floats of(int group, Floats x) const {
        return _mm512_maskz_mov_ps(static_cast<__mmask16>(mask >> (16 * group)), x);
    }
};
// Numbers of at most 127 as bytes, and as integers.
inline Sums store_bytes(int8_t *p, Floats x) {
    const __m512i whole = _mm512_cvtps_epi32(x);
    _mm_storeu_si128(reinterpret_cast<__m128i *>(p), _mm512_cvtepi32_epi8(whole));
    return whole;
}
inline Sums add(Sums a, Sums b) { return _mm512_add_epi32(a, b); }
inline int32_t sum_of(Sums x) { return _mm512_reduce_add_epi32(x); }
inline Bytes load_bytes(const uint8_t *p) { return _mm512_loadu_si512(p); }
inline Bytes spread_four(const int8_t *p) {
    int32_t four;
    std::memcpy(&four, p, 4);
    return _mm512_set1_epi32(four);
}
inline Sums dot(Sums sum, Bytes weights, Bytes inputs) {
    // By hand: compilers copy the sums around the built-in function, and lose half the speed.
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(weights), "v"(inputs));
    return sum;
}
inline Sums no_sum() { return _mm512_setzero_si512(); }
inline Floats less(Sums sum, int32_t offset) {
    return _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, _mm512_set1_epi32(offset)));
}
#else
constexpr int LANES = 8;
constexpr int ROWS = 4, BLOCKS = 2;
// Two products of 8-bit numbers are first added in 16 bits: 2 x 255 x 63 just fits.
constexpr float INPUT_LIMIT = 63;
using Floats = __m256;
using Sums = __m256i;
using Bytes = __m256i;

inline Floats load(const float *p) { return _mm256_loadu_ps(p); }
inline Floats spread(float x) { return _mm256_set1_ps(x); }
inline Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
inline Floats multiply(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
inline Floats multiply_add(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
inline Floats greater(Floats a, Floats b) { return _mm256_max_ps(a, b); }
inline Floats lesser(Floats a, Floats b) { return _mm256_min_ps(a, b); }
inline Floats reciprocal(Floats x) { return _mm256_div_ps(_mm256_set1_ps(1), x); }
inline void store(float *p, Floats x) { _mm256_storeu_ps(p, x); }
inline Floats load(const Half *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p)));
}
inline void store(Half *p, Floats x) {
    _mm_storeu_si128(reinterpret_cast<__m128i *>(p), _mm256_cvtps_ph(x, NEAREST));
}
inline Floats load(const Brain *p) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i *>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}
inline void store(Brain *p, Floats x) {  // rounded to the nearest, halves to even
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i sum = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    const __m256i words = _mm256_srli_epi32(sum, 16);
    _mm_storeu_si128(
        reinterpret_cast<__m128i *>(p),
        _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}
inline float sum_of(Floats x) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}
inline void four_sums_of(Floats a, Floats b, Floats c, Floats d, float *sums) {
    const Floats ab = add(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    const Floats cd = add(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    const Floats all = add(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
    _mm_storeu_ps(sums, _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1)));
}
inline float greatest_of(Floats x) {
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}
inline void turn(Floats (&x)[LANES]) {  // rows become columns
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
inline Floats without_sign(Floats x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
inline Floats rounded(Floats x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT); }
inline Floats two_to_the(Floats x) {  // a whole number
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(x), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}
inline Floats zero_below(Floats x, Floats bound, Floats otherwise) {
    return _mm256_and_ps(_mm256_cmp_ps(x, bound, _CMP_NLT_UQ), otherwise);
}
inline Floats where_positive(Floats x, Floats otherwise) {
    return _mm256_and_ps(_mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GT_OQ), otherwise);
}
using Words = __m256i;  // of 64 bits
inline Words load_words(const uint64_t *p) {
    return _mm256_load_si256(reinterpret_cast<const __m256i *>(p));
}
inline Words added(Words a, Words b) { return _mm256_add_epi64(a, b); }
template <int bits> inline Words shifted_left(Words x) { return _mm256_slli_epi64(x, bits); }
template <int bits> inline Words shifted_right(Words x) { return _mm256_srli_epi64(x, bits); }
struct Kept {  // which bytes are not below a threshold
    uint32_t mask;

    Kept(Words bytes, int threshold) {
        const __m256i least = _mm256_set1_epi8(static_cast<char>(threshold));
        const __m256i reached = _mm256_cmpeq_epi8(_mm256_max_epu8(bytes, least), bytes);
        mask = static_cast<uint32_t>(_mm256_movemask_epi8(reached));
    }
    bool at(int i) const { return mask >> i & 1; }
    Floats of(int group, Floats x) const {
        const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
        const __m256i own = _mm256_set1_epi32(static_cast<int>(mask >> (8 * group)));
        const __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(own, bits), bits);
        return _mm256_and_ps(_mm256_castsi256_ps(set), x);
    }
};
// Numbers of at most 127 as bytes, and as integers.
inline Sums store_bytes(int8_t *p, Floats x) {
    const __m256i whole = _mm256_cvtps_epi32(x);
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i *>(p), _mm_packs_epi16(words, words));
    return whole;
}
inline Sums add(Sums a, Sums b) { return _mm256_add_epi32(a, b); }
inline int32_t sum_of(Sums x) {
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1)));
}
inline Bytes load_bytes(const uint8_t *p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p));
}
inline Bytes spread_four(const int8_t *p) {
    int32_t four;
    std::memcpy(&four, p, 4);
    return _mm256_set1_epi32(four);
}
inline Sums dot(Sums sum, Bytes weights, Bytes inputs) {
    const __m256i pairs = _mm256_maddubs_epi16(weights, inputs);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
inline Sums no_sum() { return _mm256_setzero_si256(); }
inline Floats less(Sums sum, int32_t offset) {
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(sum, _mm256_set1_epi32(offset)));
}
#endif

inline float greatest_of(const float *x, int count) {
    Floats most = spread(-INFINITY);
    int i = 0;
    for (; i + LANES <= count; i += LANES) most = greater(most, load(x + i));
    float result = greatest_of(most);
    for (; i < count; i++) result = std::max(result, x[i]);
    return result;
}

inline float number(float x) { return x; }
inline float number(Half x) { return _cvtsh_ss(x); }
inline float number(Brain x) {
    const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
    float result;
    std::memcpy(&result, &bits, 4);
    return result;
}

template <typename T> T as(float x);
template <> inline float as<float>(float x) { return x; }
template <> inline Brain as<Brain>(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

// e to the x, to a relative error of 1e-7; 0 below e^-87.
inline Floats exponential(Floats x) {
    const Floats lowest = spread(-87.0f);
    const Floats bounded = greater(lowest, x);
    const Floats power = rounded(multiply(bounded, spread(1.44269504f)));
    // The logarithm of 2 in two parts, the first with few digits, so that the rest is exact.
    Floats rest = multiply_add(power, spread(-0.693359375f), bounded);
    rest = multiply_add(power, spread(2.12194440e-4f), rest);
    Floats sum = spread(1.0f / 5040);
    for (float factor : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f})
        sum = multiply_add(sum, rest, spread(factor));
    return zero_below(x, lowest, multiply(sum, two_to_the(power)));
}

// The same to a relative error of 3e-6, for numbers of at most 0, in half the steps.
inline Floats roughly_exponential(Floats x) {
    const Floats scaled = multiply(greater(spread(-87.0f), x), spread(1.44269504f));
    const Floats power = rounded(scaled);
    const Floats rest = add(scaled, multiply(power, spread(-1)));
    Floats sum = spread(1.3333558e-3f);
    for (float factor : {9.6181291e-3f, 5.5504109e-2f, 0.24022651f, 0.69314718f, 1.0f})
        sum = multiply_add(sum, rest, spread(factor));
    return multiply(sum, two_to_the(power));
}

inline float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

inline Floats sigmoid(Floats x) {
    return reciprocal(add(spread(1), exponential(multiply(greater(spread(-80), x), spread(-1)))));
}

inline Floats tangent(Floats x) {
    return multiply_add(sigmoid(add(x, x)), spread(2), spread(-1));
}

inline float tangent(float x) { return std::tanh(x); }

}  // namespace

// ---------------------------------------------------------------------------------------------
// Memory

namespace seq2seq {

template <typename T> struct Aligned {
    T *data = nullptr;
    size_t size = 0;

    Aligned() = default;
    Aligned(const Aligned &) = delete;
    Aligned &operator=(const Aligned &) = delete;
    ~Aligned() { std::free(data); }

    // At least this many elements; what was there is lost.
    T *room(size_t count) {
        if (count > size) {
            std::free(data);
            data = static_cast<T *>(std::aligned_alloc(64, (count * sizeof(T) + 63) / 64 * 64));
            if (!data) {
                std::fputs("seq2seq: memory is used up\n", stderr);
                std::abort();
            }
            size = count;
        }
        return data;
    }
};

}  // namespace seq2seq

using namespace seq2seq;
