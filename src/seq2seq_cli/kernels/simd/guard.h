// Exceptions in functions that Python calls: none leaves C++, where it would end the process. Python
// asks for a failure after each call and raises it (library.py).

#pragma once

#include <cstdint>
#include <exception>
#include <new>

namespace seq2seq {

enum Failure { OUT_OF_MEMORY = 1, OTHER_FAILURE = 2 };

// Notes that a call of this thread failed.
void note_failure(Failure kind, const char *reason);

// Calls work() and returns its result; if it throws, notes the failure and returns 0, null or
// nothing.
template <typename Work> auto guarded(Work &&work) -> decltype(work()) {
    try {
        return work();
    } catch (const std::bad_alloc &) {
        note_failure(OUT_OF_MEMORY, "");
    } catch (const std::exception &error) {
        note_failure(OTHER_FAILURE, error.what());
    } catch (...) {
        note_failure(OTHER_FAILURE, "an unknown exception");
    }
    return decltype(work())();
}

}  // namespace seq2seq
