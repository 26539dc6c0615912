// The vector functions over arrays, under their names, so that a test can compare the builds.

#include "vectors.h"

namespace {

// Arrays of one call, and the index of the first number that a vector function is applied to.
struct Arguments {
    const void *a, *b, *c;
    void *out;
    int i;

    template <typename T> const T *in(const void *array) const {
        return static_cast<const T *>(array) + i;
    }
    Floats first() const { return load(in<float>(a)); }
    Floats second() const { return load(in<float>(b)); }
    Floats third() const { return load(in<float>(c)); }
    template <typename T = float> T *results() const { return static_cast<T *>(out) + i; }
    float *result_of_vector() const { return static_cast<float *>(out) + i / LANES; }
};

Words words(const Arguments &given, const void *array) {
    alignas(64) uint64_t aligned[LANES / 2];
    std::memcpy(aligned, given.in<float>(array), sizeof(aligned));
    return load_words(aligned);
}

Words bytes(const Arguments &given) {
    alignas(64) uint64_t aligned[LANES / 2];
    std::memcpy(aligned, given.in<uint8_t>(given.a), sizeof(aligned));
    return load_words(aligned);
}

Ints ints(const Arguments &given, const void *array) {
    alignas(64) int32_t aligned[LANES];
    std::memcpy(aligned, given.in<int32_t>(array), sizeof(aligned));
    return load_ints(aligned);
}

void store_words(const Arguments &given, Words x) { std::memcpy(given.results(), &x, sizeof(x)); }
void store_ints(const Arguments &given, Ints x) { store(given.results(), subtract(x, 0)); }

struct Function {
    const char *name;
    int vectors;  // read at a time
    void (*apply)(const Arguments &);
};

#define ON_VECTORS(NAME, RESULT) {NAME, 1, [](const Arguments &x) { store(x.results(), RESULT); }}

const Function FUNCTIONS[] = {
    ON_VECTORS("load_float16", load(x.in<float16>(x.a))),
    ON_VECTORS("load_bfloat16", load(x.in<bfloat16>(x.a))),
    {"store_float16", 1, [](const Arguments &x) { store(x.results<float16>(), x.first()); }},
    {"store_bfloat16", 1, [](const Arguments &x) { store(x.results<bfloat16>(), x.first()); }},
    {"to_float_of_float16", 1,
     [](const Arguments &x) {
         for (int k = 0; k < LANES; k++) x.results()[k] = to_float(x.in<float16>(x.a)[k]);
     }},
    {"from_float_to_float16", 1,
     [](const Arguments &x) {
         for (int k = 0; k < LANES; k++)
             x.results<float16>()[k] = from_float<float16>(x.in<float>(x.a)[k]);
     }},
    {"broadcast", 1,
     [](const Arguments &x) { store(x.results(), broadcast(*static_cast<const float *>(x.a))); }},
    ON_VECTORS("add", add(x.first(), x.second())),
    ON_VECTORS("multiply", multiply(x.first(), x.second())),
    ON_VECTORS("multiply_add", multiply_add(x.first(), x.second(), x.third())),
    ON_VECTORS("reciprocal", reciprocal(x.first())),
    ON_VECTORS("max", max(x.first(), x.second())),
    ON_VECTORS("min", min(x.first(), x.second())),
    ON_VECTORS("abs", abs(x.first())),
    ON_VECTORS("round", round(x.first())),
    ON_VECTORS("power_of_two", power_of_two(x.first())),
    ON_VECTORS("zero_if_less", zero_if_less(x.first(), x.second(), x.third())),
    ON_VECTORS("zero_unless_positive", zero_unless_positive(x.first(), x.second())),
    ON_VECTORS("exponential", exponential(x.first())),
    ON_VECTORS("fast_exponential", fast_exponential(x.first())),
    ON_VECTORS("sigmoid", sigmoid(x.first())),
    ON_VECTORS("hyperbolic_tangent", hyperbolic_tangent(x.first())),
    {"reduce_add", 1, [](const Arguments &x) { *x.result_of_vector() = reduce_add(x.first()); }},
    {"reduce_add_four", 4,
     [](const Arguments &x) {
         const float *p = x.in<float>(x.a);
         reduce_add_four(load(p), load(p + LANES), load(p + 2 * LANES), load(p + 3 * LANES),
                         x.result_of_vector());
     }},
    {"reduce_max", 1, [](const Arguments &x) { *x.result_of_vector() = reduce_max(x.first()); }},
    {"transpose", LANES,
     [](const Arguments &x) {
         Floats rows[LANES];
         for (int k = 0; k < LANES; k++) rows[k] = load(x.in<float>(x.a) + k * LANES);
         transpose(rows);
         for (int k = 0; k < LANES; k++) store(x.results() + k * LANES, rows[k]);
     }},
    {"add_words", 1,
     [](const Arguments &x) { store_words(x, add_words(words(x, x.a), words(x, x.b))); }},
    {"xor_words", 1,
     [](const Arguments &x) { store_words(x, xor_words(words(x, x.a), words(x, x.b))); }},
    {"shift_left", 1, [](const Arguments &x) { store_words(x, shift_left<23>(words(x, x.a))); }},
    {"shift_right", 1, [](const Arguments &x) { store_words(x, shift_right<17>(words(x, x.a))); }},
    {"is_set", 4,
     [](const Arguments &x) {
         const Mask mask = bytes_at_least(bytes(x), *static_cast<const int32_t *>(x.c));
         for (int k = 0; k < 4 * LANES; k++) x.results()[k] = is_set(mask, k);
     }},
    {"zero_unset", 4,
     [](const Arguments &x) {
         const Mask mask = bytes_at_least(bytes(x), *static_cast<const int32_t *>(x.c));
         for (int group = 0; group < 4; group++) {
             const Floats own = load(x.in<float>(x.b) + group * LANES);
             store(x.results() + group * LANES, zero_unset(mask, group, own));
         }
     }},
    {"add_ints", 1, [](const Arguments &x) { store_ints(x, add(ints(x, x.a), ints(x, x.b))); }},
    {"zero_ints", 1, [](const Arguments &x) { store_ints(x, zero_ints()); }},
    {"reduce_add_ints", 1,
     [](const Arguments &x) {
         *x.result_of_vector() = static_cast<float>(reduce_add(ints(x, x.a)));
     }},
    ON_VECTORS("subtract", subtract(ints(x, x.a), *static_cast<const int32_t *>(x.b))),
    {"store_int8", 1, [](const Arguments &x) { store_int8(x.results<int8_t>(), x.first()); }},
    {"result_of_store_int8", 1,
     [](const Arguments &x) {
         int8_t unused[LANES];
         store_ints(x, store_int8(unused, x.first()));
     }},
    {"dot", 1,
     [](const Arguments &x) {
         const Bytes weights = load_bytes(static_cast<const uint8_t *>(x.a) + 4 * x.i);
         const Bytes inputs = broadcast_four(static_cast<const int8_t *>(x.b));
         store_ints(x, dot(ints(x, x.c), weights, inputs));
     }},
};

}  // namespace

extern "C" {

int32_t vectors_lanes() {
    return guarded([&]() -> int32_t { return LANES; });
}

float vectors_input_limit() {
    return guarded([&]() -> float { return INPUT_LIMIT; });
}

// Applies a function to arrays of `count` numbers, a multiple of 256; returns whether there is one
// of this name.
int32_t vectors_apply(const char *name, const void *a, const void *b, const void *c, int32_t count,
                      void *out) {
    return guarded([&]() -> int32_t {
        for (const Function &function : FUNCTIONS)
            if (!std::strcmp(function.name, name)) {
                for (int i = 0; i < count; i += function.vectors * LANES)
                    function.apply({a, b, c, out, i});
                return 1;
            }
        return 0;
    });
}

}  // extern "C"
