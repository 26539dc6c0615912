// Random bytes for dropout.

#pragma once

#include "step.h"

namespace {

inline uint64_t mix(uint64_t x) {  // SplitMix64 (Steele 2014)
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

// One xorshift128+ generator (Vigna 2017) for each 64-bit word of a vector, seeded by a seed and
// the number of a block.
struct Random {
    Words first, second;

    Random(int64_t seed, int64_t block) {
        alignas(64) uint64_t states[2][sizeof(Words) / 8];
        uint64_t x = mix(static_cast<uint64_t>(seed) ^ mix(static_cast<uint64_t>(block)));
        for (auto &state : states)
            for (auto &word : state) word = x = mix(x);
        first = load_words(states[0]);
        second = load_words(states[1]);
    }

    Words next() {
        Words x = first;
        const Words y = second;
        first = y;
        x = xor_words(x, shift_left<23>(x));
        second = xor_words(xor_words(xor_words(x, y), shift_right<17>(x)), shift_right<26>(y));
        return add_words(second, y);
    }
};

// Dropout drops random bytes below a threshold; what remains is multiplied with this.
inline float scale_of(int threshold) { return 256.0f / (256 - threshold); }

}  // namespace
