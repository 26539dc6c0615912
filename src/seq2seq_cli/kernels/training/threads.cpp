// Where the threads come from.

#include "step.h"

namespace seq2seq {

Parallel in_parallel = nullptr;

}  // namespace seq2seq

extern "C" {

void use_threads(void *parallel) { in_parallel = reinterpret_cast<Parallel>(parallel); }

}  // extern "C"
