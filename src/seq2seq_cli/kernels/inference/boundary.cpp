// The sizes of the structs that Python fills, for the test that compares both sides.

#include <cstring>

#include "../simd/guard.h"
#include "../training/attention.h"
#include "boundary.h"

namespace {

struct SizeOf {
    const char *name;
    size_t bytes;
};

constexpr SizeOf SIZES[] = {
    {"SourceTokens", sizeof(SourceTokens)},
    {"StepInput", sizeof(StepInput)},
    {"DecoderSizes", sizeof(DecoderSizes)},
    {"TransformerSettings", sizeof(TransformerSettings)},
    {"EndNorms", sizeof(EndNorms)},
    {"LayerWeights", sizeof(LayerWeights)},
    {"ConvolutionSettings", sizeof(ConvolutionSettings)},
    {"ConvolutionWeights", sizeof(ConvolutionWeights)},
    {"RecurrentSettings", sizeof(RecurrentSettings)},
    {"RecurrentAttention", sizeof(RecurrentAttention)},
    {"CellWeights", sizeof(CellWeights)},
    {"SearchSettings", sizeof(SearchSettings)},
    {"SearchModel", sizeof(SearchModel)},
    {"ForcedTargets", sizeof(ForcedTargets)},
    {"PositionTables", sizeof(PositionTables)},
    {"Heads", sizeof(Heads)},
    {"AttentionShape", sizeof(AttentionShape)},
};

}  // namespace

using namespace seq2seq;

extern "C" {

// Bytes of a struct; -1 for one that has no entry above.
int64_t size_of_struct(const char *name) {
    return guarded([&]() -> int64_t {
        for (const SizeOf &entry : SIZES)
            if (!std::strcmp(entry.name, name)) return static_cast<int64_t>(entry.bytes);
        return -1;
    });
}

}  // extern "C"
