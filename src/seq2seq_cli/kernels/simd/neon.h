// Vectors of 64-bit ARM processors with 8-bit dot products. What each function does is said in
// scalar.h.

#pragma once

#include <arm_neon.h>

#include "numbers.h"

namespace {

constexpr int LANES = 4;
constexpr int ROWS = 4, BLOCKS = 4;  // 16 accumulators, of 32 registers
constexpr int NARROW_TILE_ROWS = 8, WIDE_TILE_ROWS = 8;
constexpr float INPUT_LIMIT = 127;

using Floats = float32x4_t;
using Ints = int32x4_t;
using Bytes = uint8x16_t;
using Words = uint64x2_t;
using Mask = uint8x16_t;  // all bits of each byte that is set

// ---------------------------------------------------------------------------------------------
// Loads and stores

inline float to_float(float16 x) {
    return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(x.bits))), 0);
}
template <> inline float16 from_float<float16>(float x) {
    return {vget_lane_u16(vreinterpret_u16_f16(vcvt_f16_f32(vdupq_n_f32(x))), 0)};
}

inline Floats load(const float *p) { return vld1q_f32(p); }
inline Floats load(const float16 *p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(reinterpret_cast<const uint16_t *>(p))));
}
inline Floats load(const bfloat16 *p) {
    const uint16x4_t upper = vld1_u16(reinterpret_cast<const uint16_t *>(p));
    return vreinterpretq_f32_u32(vshll_n_u16(upper, 16));
}
inline void store(float *p, Floats x) { vst1q_f32(p, x); }
inline void store(float16 *p, Floats x) {
    vst1_u16(reinterpret_cast<uint16_t *>(p), vreinterpret_u16_f16(vcvt_f16_f32(x)));
}
inline void store(bfloat16 *p, Floats x) {
    const uint32x4_t bits = vreinterpretq_u32_f32(x);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t sum = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd);
    vst1_u16(reinterpret_cast<uint16_t *>(p), vshrn_n_u32(sum, 16));
}

// ---------------------------------------------------------------------------------------------
// Arithmetic on float32

inline Floats broadcast(float x) { return vdupq_n_f32(x); }
inline Floats add(Floats a, Floats b) { return vaddq_f32(a, b); }
inline Floats multiply(Floats a, Floats b) { return vmulq_f32(a, b); }
inline Floats multiply_add(Floats a, Floats b, Floats c) { return vfmaq_f32(c, a, b); }
inline Floats reciprocal(Floats x) { return vdivq_f32(vdupq_n_f32(1), x); }
// Not vmaxq_f32 and vminq_f32, which return NaN if either is NaN.
inline Floats max(Floats a, Floats b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
inline Floats min(Floats a, Floats b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
inline Floats abs(Floats x) { return vabsq_f32(x); }
inline Floats round(Floats x) { return vrndnq_f32(x); }
inline Floats power_of_two(Floats x) {
    const int32x4_t exponent = vaddq_s32(vcvtq_s32_f32(x), vdupq_n_s32(127));
    return vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23));
}
inline Floats zero_if_less(Floats x, Floats bound, Floats value) {
    const uint32x4_t bits = vreinterpretq_u32_f32(value);
    return vreinterpretq_f32_u32(vbicq_u32(bits, vcltq_f32(x, bound)));
}
inline Floats zero_unless_positive(Floats x, Floats value) {
    const uint32x4_t bits = vreinterpretq_u32_f32(value);
    return vreinterpretq_f32_u32(vandq_u32(bits, vcgtzq_f32(x)));
}

// ---------------------------------------------------------------------------------------------
// Across lanes

inline float reduce_add(Floats x) { return vaddvq_f32(x); }
inline void reduce_add_four(Floats a, Floats b, Floats c, Floats d, float *sums) {
    vst1q_f32(sums, vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)));
}
inline float reduce_max(Floats x) { return vmaxvq_f32(x); }
inline void transpose(Floats (&x)[LANES]) {
    const auto doubles = [](Floats row) { return vreinterpretq_f64_f32(row); };
    const Floats even = vtrn1q_f32(x[0], x[1]), odd = vtrn2q_f32(x[0], x[1]);
    const Floats even_below = vtrn1q_f32(x[2], x[3]), odd_below = vtrn2q_f32(x[2], x[3]);
    x[0] = vreinterpretq_f32_f64(vzip1q_f64(doubles(even), doubles(even_below)));
    x[1] = vreinterpretq_f32_f64(vzip1q_f64(doubles(odd), doubles(odd_below)));
    x[2] = vreinterpretq_f32_f64(vzip2q_f64(doubles(even), doubles(even_below)));
    x[3] = vreinterpretq_f32_f64(vzip2q_f64(doubles(odd), doubles(odd_below)));
}

// ---------------------------------------------------------------------------------------------
// Random bits

inline Words load_words(const uint64_t *p) { return vld1q_u64(p); }
inline Words add_words(Words a, Words b) { return vaddq_u64(a, b); }
inline Words xor_words(Words a, Words b) { return veorq_u64(a, b); }
template <int bits> inline Words shift_left(Words x) { return vshlq_n_u64(x, bits); }
template <int bits> inline Words shift_right(Words x) { return vshrq_n_u64(x, bits); }
inline Mask bytes_at_least(Words words, int threshold) {
    return vcgeq_u8(vreinterpretq_u8_u64(words), vdupq_n_u8(static_cast<uint8_t>(threshold)));
}
inline bool is_set(Mask mask, int i) {
    uint8_t bytes[16];
    vst1q_u8(bytes, mask);
    return bytes[i] != 0;
}
inline Floats zero_unset(Mask mask, int group, Floats x) {
    // Each byte of the group four times; an index past the end gives zeros.
    const uint8x16_t lanes = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3};
    const uint8_t first = static_cast<uint8_t>(LANES * group);
    const uint8x16_t set = vqtbl1q_u8(mask, vaddq_u8(lanes, vdupq_n_u8(first)));
    return vreinterpretq_f32_u8(vandq_u8(vreinterpretq_u8_f32(x), set));
}

// ---------------------------------------------------------------------------------------------
// Integers

inline Ints load_ints(const int32_t *p) { return vld1q_s32(p); }
inline Ints zero_ints() { return vdupq_n_s32(0); }
inline Ints add(Ints a, Ints b) { return vaddq_s32(a, b); }
inline int32_t reduce_add(Ints x) { return vaddvq_s32(x); }
inline Floats subtract(Ints a, int32_t b) { return vcvtq_f32_s32(vsubq_s32(a, vdupq_n_s32(b))); }
inline Ints store_int8(int8_t *p, Floats x) {
    const int32x4_t whole = vcvtnq_s32_f32(x);
    const int16x4_t words = vmovn_s32(whole);
    const int8x8_t bytes = vmovn_s16(vcombine_s16(words, words));
    const int32_t four = vget_lane_s32(vreinterpret_s32_s8(bytes), 0);
    std::memcpy(p, &four, 4);
    return whole;
}
inline Bytes load_bytes(const uint8_t *p) { return vld1q_u8(p); }
inline Bytes broadcast_four(const int8_t *p) {
    uint32_t four;
    std::memcpy(&four, p, 4);
    return vreinterpretq_u8_u32(vdupq_n_u32(four));
}
inline Ints dot(Ints sum, Bytes weights, Bytes inputs) {
    const int8x16_t signed_inputs = vreinterpretq_s8_u8(inputs);
#ifdef __ARM_FEATURE_MATMUL_INT8
    return vusdotq_s32(sum, weights, signed_inputs);
#else
    // Both sides need signs: (weights - 128) inputs, and then (-128) (-inputs).
    const int8x16_t less = vreinterpretq_s8_u8(veorq_u8(weights, vdupq_n_u8(128)));
    sum = vdotq_s32(sum, less, signed_inputs);
    return vdotq_s32(sum, vdupq_n_s8(-128), vnegq_s8(signed_inputs));
#endif
}

}  // namespace
