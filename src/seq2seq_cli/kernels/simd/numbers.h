// Floating-point numbers of 16 bits, and how float32 lies in memory.

#pragma once

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

namespace {

struct float16 {  // IEEE 754: 5 bits of exponent, 10 of mantissa
    uint16_t bits;
};
struct bfloat16 {  // the upper half of a float32
    uint16_t bits;
};

inline uint32_t bits_of(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    return bits;
}

inline float float_of(uint32_t bits) {
    float x;
    std::memcpy(&x, &bits, 4);
    return x;
}

inline float to_float(float x) { return x; }
inline float to_float(bfloat16 x) { return float_of(static_cast<uint32_t>(x.bits) << 16); }

template <typename T> T from_float(float x);
template <> inline float from_float<float>(float x) { return x; }
// Rounds to the nearest, halves to even. The NaN that arithmetic produces stays NaN; others may
// not.
template <> inline bfloat16 from_float<bfloat16>(float x) {
    const uint32_t bits = bits_of(x);
    return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

}  // namespace
