// The failures of calls: how many there are that no thread has taken, and the last one of each
// thread.

#include "guard.h"

#include <atomic>
#include <cstring>

namespace {

struct Noted {
    int kind = 0;  // 0: there is none
    char reason[256] = "";
};

thread_local Noted noted;

}  // namespace

extern "C" {

// Python reads it after each call without calling anything.
std::atomic<int32_t> failure_count{0};

// Takes the failure of this thread: writes up to `size` bytes of its reason, and returns its kind, 0
// if there is none.
int32_t take_failure(char *reason, int32_t size) {
    const int kind = noted.kind;
    if (!kind) return 0;
    std::strncpy(reason, noted.reason, static_cast<size_t>(size) - 1);
    reason[size - 1] = 0;
    noted.kind = 0;
    failure_count.fetch_sub(1);
    return kind;
}

}  // extern "C"

void seq2seq::note_failure(Failure kind, const char *reason) {
    if (!noted.kind) failure_count.fetch_add(1);
    noted.kind = kind;
    std::strncpy(noted.reason, reason, sizeof(noted.reason) - 1);
}
