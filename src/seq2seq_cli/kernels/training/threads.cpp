// The threads that kernels of training run in.

#include "step.h"

namespace seq2seq {

Parallel run_in_threads = nullptr;

}  // namespace seq2seq

extern "C" {

void use_threads(void *parallel) {
    guarded([&] { run_in_threads = reinterpret_cast<Parallel>(parallel); });
}

}  // extern "C"
