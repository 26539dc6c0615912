// Vectors of float32, the same for each processor, and memory for them.
//
// Kernels are written in the functions that scalar.h specifies, and contain nothing that depends on
// the processor. The header of a processor defines the same functions; setup.py compiles the
// kernels once with each, and library.py chooses a build. To add a processor, write its header, add
// it to BUILDS in setup.py, with the compiler's flags, to processor.cpp, with the question whether
// it is this processor, and to BUILDS in library.py. tests/property/test_vectors.py then compares
// the header with scalar.h.

#pragma once

#ifndef VECTORS_HEADER
#define VECTORS_HEADER "scalar.h"
#endif
#include VECTORS_HEADER

#include "guard.h"

namespace {

inline float reduce_max(const float *x, int count) {
    Floats most = broadcast(-INFINITY);
    int i = 0;
    for (; i + LANES <= count; i += LANES) most = max(most, load(x + i));
    float result = reduce_max(most);
    for (; i < count; i++) result = std::max(result, x[i]);
    return result;
}

// e to the power of x, to a relative error of 1e-7; 0 below e^-87. x is at most 88.
inline Floats exponential(Floats x) {
    const Floats lowest = broadcast(-87.0f);
    const Floats bounded = max(lowest, x);
    const Floats power = round(multiply(bounded, broadcast(1.44269504f)));
    // The logarithm of 2 in two summands, the first with few digits, so that the rest is exact.
    Floats rest = multiply_add(power, broadcast(-0.693359375f), bounded);
    rest = multiply_add(power, broadcast(2.12194440e-4f), rest);
    Floats sum = broadcast(1.0f / 5040);
    for (float factor : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f})
        sum = multiply_add(sum, rest, broadcast(factor));
    return zero_if_less(x, lowest, multiply(sum, power_of_two(power)));
}

// The same to a relative error of 5e-6, for numbers of at most 0, in half the steps; e^-87 below
// that.
inline Floats fast_exponential(Floats x) {
    const Floats scaled = multiply(max(broadcast(-87.0f), x), broadcast(1.44269504f));
    const Floats power = round(scaled);
    const Floats rest = add(scaled, multiply(power, broadcast(-1)));
    Floats sum = broadcast(1.3333558e-3f);
    for (float factor : {9.6181291e-3f, 5.5504109e-2f, 0.24022651f, 0.69314718f, 1.0f})
        sum = multiply_add(sum, rest, broadcast(factor));
    return multiply(sum, power_of_two(power));
}

inline float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

inline Floats sigmoid(Floats x) {
    const Floats negative = multiply(max(broadcast(-80), x), broadcast(-1));
    return reciprocal(add(broadcast(1), exponential(negative)));
}

inline float hyperbolic_tangent(float x) { return std::tanh(x); }

inline Floats hyperbolic_tangent(Floats x) {
    return multiply_add(sigmoid(add(x, x)), broadcast(2), broadcast(-1));
}

}  // namespace

// ---------------------------------------------------------------------------------------------
// Memory

namespace seq2seq {

// An array that starts at a multiple of 64 bytes and only grows.
template <typename T> struct AlignedBuffer {
    T *data = nullptr;
    size_t size = 0;

    AlignedBuffer() = default;
    AlignedBuffer(const AlignedBuffer &) = delete;
    AlignedBuffer &operator=(const AlignedBuffer &) = delete;
    ~AlignedBuffer() { std::free(data); }

    // Makes room for at least `count` elements; the contents are lost if it has to grow. Throws
    // std::bad_alloc.
    T *reserve(size_t count) {
        if (count > size) {
            std::free(data);
            size = 0;
            data = static_cast<T *>(std::aligned_alloc(64, (count * sizeof(T) + 63) / 64 * 64));
            if (!data) throw std::bad_alloc();
            size = count;
        }
        return data;
    }
};

}  // namespace seq2seq

using namespace seq2seq;
