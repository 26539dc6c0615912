// Applies a vector function once, for tests of builds that another processor runs:
//
//     vectors_driver NAME COUNT BYTES_OF_RESULT BYTES_OF_A BYTES_OF_B BYTES_OF_C
//
// reads the arrays from standard input and writes the result. NAME "lanes" and "input_limit" print
// a number.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

extern "C" {
int32_t vectors_lanes();
float vectors_input_limit();
int32_t vectors_apply(const char *name, const void *a, const void *b, const void *c, int32_t count,
                      void *out);
}

int main(int count, char **arguments) {
    if (count > 1 && !std::strcmp(arguments[1], "lanes")) return !std::printf("%d", vectors_lanes());
    if (count > 1 && !std::strcmp(arguments[1], "input_limit"))
        return !std::printf("%g", static_cast<double>(vectors_input_limit()));
    if (count != 7) return 2;
    void *arrays[4];
    size_t sizes[4];
    for (int i = 0; i < 4; i++) {
        sizes[i] = std::strtoull(arguments[3 + i], nullptr, 10);
        arrays[i] = std::calloc(1, sizes[i] + 64);
        if (i && std::fread(arrays[i], 1, sizes[i], stdin) != sizes[i]) return 3;
    }
    if (!vectors_apply(arguments[1], arrays[1], arrays[2], arrays[3], std::atoi(arguments[2]),
                       arrays[0]))
        return 4;
    return std::fwrite(arrays[0], 1, sizes[0], stdout) != sizes[0];
}
