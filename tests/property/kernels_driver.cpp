// Calls functions of a library of kernels for another process, in tests of builds that only an
// emulator runs:
//
//     kernels_driver LIBRARY MEMORY
//
// MEMORY is a file that both processes map. The first line of the output is its address here. Each
// line of input is a call: "integer" or "float", which the function returns, its name, and its
// arguments, integers or addresses. Each further line of output is its result, or "failed" and why.

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstdint>
#include <iostream>
#include <sstream>
#include <string>

// A function ignores the registers that it has no arguments for, and the upper half of those whose
// arguments have 32 bits.
constexpr int REGISTERS = 8;

template <typename Result> Result call(void *function, const uint64_t (&x)[REGISTERS]) {
    using Function = Result (*)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                                uint64_t, uint64_t);
    return reinterpret_cast<Function>(function)(x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]);
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    void *library = dlopen(arguments[1], RTLD_NOW);
    if (!library) {
        std::cerr << dlerror() << std::endl;
        return 1;
    }
    const int file = open(arguments[2], O_RDWR);
    struct stat facts;
    if (file < 0 || fstat(file, &facts)) return 1;
    void *memory = mmap(nullptr, facts.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED) return 1;
    std::cout << reinterpret_cast<uint64_t>(memory) << std::endl;
    auto *take_failure =
        reinterpret_cast<int32_t (*)(char *, int32_t)>(dlsym(library, "take_failure"));
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream words(line);
        std::string result, name;
        words >> result >> name;
        uint64_t registers[REGISTERS] = {};
        for (uint64_t &each : registers) words >> each;
        void *function = dlsym(library, name.c_str());
        if (!function) return 1;
        std::ostringstream answer;
        if (result == "float")
            answer << call<float>(function, registers);
        else
            answer << call<uint64_t>(function, registers);
        char reason[256];
        if (take_failure(reason, sizeof(reason)))
            std::cout << "failed: " << reason << std::endl;
        else
            std::cout << answer.str() << std::endl;
    }
}
