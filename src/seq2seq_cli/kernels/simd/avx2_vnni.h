// Vectors of x86 processors with AVX2 and AVX-VNNI, which has 8-bit dot products for its vectors. What
// each function does is said in scalar.h.

#pragma once

#define DOT_IN_ONE_INSTRUCTION
#include "avx2.h"

namespace {

constexpr float INPUT_LIMIT = 127;

#ifdef EMULATE_AVX_VNNI  // in tests, so that processors without the instruction run the rest

inline Ints dot(Ints sum, Bytes weights, Bytes inputs) {
    const __m256i even_inputs = _mm256_srai_epi16(_mm256_slli_epi16(inputs, 8), 8);
    const __m256i even_weights = _mm256_and_si256(weights, _mm256_set1_epi16(0xff));
    const __m256i even = _mm256_madd_epi16(even_weights, even_inputs);
    const __m256i odd =
        _mm256_madd_epi16(_mm256_srli_epi16(weights, 8), _mm256_srai_epi16(inputs, 8));
    return _mm256_add_epi32(sum, _mm256_add_epi32(even, odd));
}

#else

inline Ints dot(Ints sum, Bytes weights, Bytes inputs) {
    // In assembler because compilers copy the sums around the intrinsic. {vex} asks for the
    // instruction of AVX-VNNI, not for that of AVX-512.
    asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(weights), "x"(inputs));
    return sum;
}

#endif

}  // namespace
