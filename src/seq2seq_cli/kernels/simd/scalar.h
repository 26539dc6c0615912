// Vectors in plain C++17: the specification of the functions that kernels are written in, and the
// build for processors without a header of their own.
//
// Every other header of this folder defines the same constants, types and functions, and
// tests/property/test_vectors.py compares its results with these. Results are equal to the bit
// unless a comment here allows more than one. Compilers turn operations on all lanes into whatever
// vectors the processor has.

#pragma once

#include "numbers.h"

namespace {

// ---------------------------------------------------------------------------------------------
// Sizes

constexpr int LANES = 4;  // floats in a vector; a power of two, at most 16

// Register tile of a linear layer: ROWS rows x BLOCKS vectors of outputs, at most 6 x 4. Its
// accumulators, a vector of weights for each block and one input must fit the registers.
constexpr int ROWS = 1, BLOCKS = 4;  // GCC keeps no larger tile in registers

// Rows of the register tile of attention, which is one or two vectors wide.
constexpr int NARROW_TILE_ROWS = 4, WIDE_TILE_ROWS = 2;

// Largest absolute value of 8-bit inputs, so that `dot` stays exact.
constexpr float INPUT_LIMIT = 127;

// ---------------------------------------------------------------------------------------------
// Types: each fills one vector. Headers may use one type of their processor for several of them.

struct Floats {
    float lanes[LANES];
};
struct Ints {
    int32_t lanes[LANES];
};
struct Bytes {  // four for each lane, the first one lowest; only `dot` says whether they are signed
    uint32_t lanes[LANES];
};
struct Words {  // 64-bit numbers without a sign
    uint64_t lanes[LANES / 2];
};
struct Mask {  // a bit for each byte of `Words`
    uint32_t bits;
};

// A vector whose lane i is function(i). Without a loop, because compilers then see vectors more
// often.
template <typename Function, size_t... LANE>
inline Floats for_lanes(Function function, std::index_sequence<LANE...>) {
    return {{static_cast<float>(function(LANE))...}};
}

template <typename Function> inline Floats for_lanes(Function function) {
    return for_lanes(function, std::make_index_sequence<LANES>());
}

// ---------------------------------------------------------------------------------------------
// Loads and stores, without any alignment; numbers of 16 bits are float32 in vectors

// float16 -> float32 is exact; NaN stays NaN, perhaps another one.
inline float to_float(float16 x) {
    const uint32_t exponent_and_mantissa = (x.bits & 0x7fffu) << 13;
    const uint32_t exponent = exponent_and_mantissa & 0x0f800000u;
    uint32_t bits = exponent_and_mantissa + ((127 - 15) << 23);
    if (exponent == 0x0f800000u) bits += (128 - 16) << 23;  // infinities and NaN
    if (exponent == 0) {                                    // zeros and subnormal numbers
        const float smallest_normal = 6.103515625e-5f;
        bits = bits_of(float_of(bits + (1 << 23)) - smallest_normal);
    }
    return float_of(bits | (x.bits & 0x8000u) << 16);
}

// float32 -> float16 rounds to the nearest, halves to even; what is too large becomes infinite, and
// NaN stays NaN.
template <> inline float16 from_float<float16>(float x) {
    const uint32_t sign = bits_of(x) & 0x80000000u;
    uint32_t bits = bits_of(x) ^ sign;
    if (bits >= (127 + 16) << 23) {
        bits = bits > 0x7f800000u ? 0x7e00 : 0x7c00;
    } else if (bits < (127 - 14) << 23) {  // the sum rounds to the last bit of a subnormal number
        bits = bits_of(float_of(bits) + 0.5f) - bits_of(0.5f);
    } else {
        bits = (bits - ((127 - 15) << 23) + 0xfff + (bits >> 13 & 1)) >> 13;
    }
    return {static_cast<uint16_t>(bits | sign >> 16)};
}

inline Floats load(const float *p) {
    Floats result;
    std::memcpy(result.lanes, p, sizeof(result));
    return result;
}
inline Floats load(const float16 *p) {
    return for_lanes([&](int i) { return to_float(p[i]); });
}
inline Floats load(const bfloat16 *p) {
    return for_lanes([&](int i) { return to_float(p[i]); });
}
inline void store(float *p, Floats x) { std::memcpy(p, x.lanes, sizeof(x)); }
inline void store(float16 *p, Floats x) {
    for (int i = 0; i < LANES; i++) p[i] = from_float<float16>(x.lanes[i]);
}
inline void store(bfloat16 *p, Floats x) {
    for (int i = 0; i < LANES; i++) p[i] = from_float<bfloat16>(x.lanes[i]);
}

// ---------------------------------------------------------------------------------------------
// Arithmetic on float32

inline Floats broadcast(float x) {
    return for_lanes([&](int) { return x; });
}
inline Floats add(Floats a, Floats b) {
    return for_lanes([&](int i) { return a.lanes[i] + b.lanes[i]; });
}
inline Floats multiply(Floats a, Floats b) {
    return for_lanes([&](int i) { return a.lanes[i] * b.lanes[i]; });
}
// a b + c, rounded once or twice: here twice, unless the compiler finds an instruction for it.
inline Floats multiply_add(Floats a, Floats b, Floats c) {
    return for_lanes([&](int i) { return a.lanes[i] * b.lanes[i] + c.lanes[i]; });
}
inline Floats reciprocal(Floats x) {  // exactly rounded
    return for_lanes([&](int i) { return 1 / x.lanes[i]; });
}
// If either is NaN, or both are zeros, the result is `b`: a bound comes first if NaN should pass.
inline Floats max(Floats a, Floats b) {
    return for_lanes([&](int i) { return a.lanes[i] > b.lanes[i] ? a.lanes[i] : b.lanes[i]; });
}
inline Floats min(Floats a, Floats b) {
    return for_lanes([&](int i) { return a.lanes[i] < b.lanes[i] ? a.lanes[i] : b.lanes[i]; });
}
inline Floats abs(Floats x) {  // clears the sign, also that of NaN
    return for_lanes([&](int i) { return std::fabs(x.lanes[i]); });
}
inline float round_lane(
    float x) {  // to the nearest whole number, halves to even; keeps the sign of zeros
    constexpr float WHOLE = 8388608;  // 2^23: float32 has no fractions from here on
    const float size = std::fabs(x);
    return size < WHOLE ? std::copysign(size + WHOLE - WHOLE, x) : x;
}
inline Floats round(Floats x) {
    return for_lanes([&](int i) { return round_lane(x.lanes[i]); });
}
// 2 to the power of whole numbers from -126 to 127; anything for others.
inline Floats power_of_two(Floats x) {
    return for_lanes([&](int i) {
        const float power = x.lanes[i] >= -127 && x.lanes[i] <= 128 ? x.lanes[i] : 0;
        return float_of(static_cast<uint32_t>(static_cast<int32_t>(power) + 127) << 23);
    });
}
// 0 where x < bound, `value` elsewhere and where either is NaN.
inline Floats zero_if_less(Floats x, Floats bound, Floats value) {
    return for_lanes([&](int i) { return x.lanes[i] < bound.lanes[i] ? 0 : value.lanes[i]; });
}
// `value` where x > 0, 0 elsewhere and where x is NaN.
inline Floats zero_unless_positive(Floats x, Floats value) {
    return for_lanes([&](int i) { return x.lanes[i] > 0 ? value.lanes[i] : 0; });
}

// ---------------------------------------------------------------------------------------------
// Across lanes

inline float reduce_add(Floats x) {  // in any order
    float sums[LANES];
    std::copy_n(x.lanes, LANES, sums);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) sums[i] += sums[half + i];
    return sums[0];
}
// Writes four numbers: the sums of the lanes of each vector, in any order.
inline void reduce_add_four(Floats a, Floats b, Floats c, Floats d, float *sums) {
    sums[0] = reduce_add(a);
    sums[1] = reduce_add(b);
    sums[2] = reduce_add(c);
    sums[3] = reduce_add(d);
}
inline float reduce_max(Floats x) {  // anything if a lane is NaN
    float result = x.lanes[0];
    for (int i = 1; i < LANES; i++) result = std::max(result, x.lanes[i]);
    return result;
}
inline void transpose(Floats (&x)[LANES]) {  // rows become columns
    for (int i = 0; i < LANES; i++)
        for (int j = 0; j < i; j++) std::swap(x[i].lanes[j], x[j].lanes[i]);
}

// ---------------------------------------------------------------------------------------------
// Random bits

inline Words load_words(const uint64_t *p) {  // aligned to 64 bytes
    Words result;
    std::copy_n(p, LANES / 2, result.lanes);
    return result;
}
inline Words add_words(Words a, Words b) {  // modulo 2^64
    for (int i = 0; i < LANES / 2; i++) a.lanes[i] += b.lanes[i];
    return a;
}
inline Words xor_words(Words a, Words b) {
    for (int i = 0; i < LANES / 2; i++) a.lanes[i] ^= b.lanes[i];
    return a;
}
template <int bits> inline Words shift_left(Words x) {
    for (uint64_t &lane : x.lanes) lane <<= bits;
    return x;
}
template <int bits> inline Words shift_right(Words x) {
    for (uint64_t &lane : x.lanes) lane >>= bits;
    return x;
}
// Sets the bit of each byte, the lowest of a word first, that is at least `threshold` (0 to 255).
inline Mask bytes_at_least(Words words, int threshold) {
    Mask mask{0};
    for (int i = 0; i < 4 * LANES; i++) {
        const int byte = static_cast<int>(words.lanes[i / 8] >> (8 * (i % 8)) & 0xff);
        mask.bits |= static_cast<uint32_t>(byte >= threshold) << i;
    }
    return mask;
}
inline bool is_set(Mask mask, int i) { return mask.bits >> i & 1; }
// x where the bits from LANES x group on are set, 0 elsewhere.
inline Floats zero_unset(Mask mask, int group, Floats x) {
    return for_lanes([&](int i) { return is_set(mask, LANES * group + i) ? x.lanes[i] : 0; });
}

// ---------------------------------------------------------------------------------------------
// Integers: sums of products of 8-bit numbers

inline Ints load_ints(const int32_t *p) {  // aligned to 64 bytes
    Ints result;
    std::copy_n(p, LANES, result.lanes);
    return result;
}
inline Ints zero_ints() { return Ints{}; }
inline Ints add(Ints a, Ints b) {
    for (int i = 0; i < LANES; i++) a.lanes[i] += b.lanes[i];
    return a;
}
inline int32_t reduce_add(Ints x) {
    int32_t sum = 0;
    for (int32_t lane : x.lanes) sum += lane;
    return sum;
}
inline Floats subtract(Ints a, int32_t b) {  // a - b as float32, rounded
    return for_lanes([&](int i) { return static_cast<float>(a.lanes[i] - b); });
}
// Rounds x, of absolute values up to 127, as `round` does; stores and returns it. Anything for NaN.
inline Ints store_int8(int8_t *p, Floats x) {
    Ints result;
    for (int i = 0; i < LANES; i++) {
        const float whole = round_lane(x.lanes[i]);
        result.lanes[i] = std::fabs(whole) <= 128 ? static_cast<int32_t>(whole) : 0;
        p[i] = static_cast<int8_t>(result.lanes[i]);
    }
    return result;
}
inline uint32_t four_bytes(const void *p) {
    uint8_t bytes[4];
    std::memcpy(bytes, p, 4);
    return bytes[0] | bytes[1] << 8 | bytes[2] << 16 | static_cast<uint32_t>(bytes[3]) << 24;
}
inline Bytes load_bytes(const uint8_t *p) {
    Bytes result;
    for (int i = 0; i < LANES; i++) result.lanes[i] = four_bytes(p + 4 * i);
    return result;
}
inline Bytes broadcast_four(const int8_t *p) {  // the same four bytes in each lane
    Bytes result;
    for (int i = 0; i < LANES; i++) result.lanes[i] = four_bytes(p);
    return result;
}
// To each lane of `sum` adds the four products of weights, without a sign, and inputs, with one.
// Exact for inputs of absolute values up to INPUT_LIMIT.
inline Ints dot(Ints sum, Bytes weights, Bytes inputs) {
    // As float32, which is exact below 2^24, since some processors cannot multiply vectors of
    // integers.
    for (int i = 0; i < LANES; i++) {
        float products = 0;
        for (int bits = 0; bits < 32; bits += 8) {
            const int32_t weight = static_cast<int32_t>(weights.lanes[i] >> bits & 0xff);
            const int32_t input = static_cast<int32_t>(inputs.lanes[i] << (24 - bits)) >> 24;
            products += static_cast<float>(weight) * static_cast<float>(input);
        }
        sum.lanes[i] += static_cast<int32_t>(products);
    }
    return sum;
}

}  // namespace
