// What Python calls for any decoder.

#include "decoding.h"

extern "C" {

void decoder_sizes(const void *decoder, DecoderSizes *sizes) {
    guarded([&] { *sizes = static_cast<const Decoder *>(decoder)->sizes; });
}

void decoder_step(const void *decoder, const StepInput *input, float *hidden) {
    guarded([&] { static_cast<const Decoder *>(decoder)->step(*input, hidden); });
}

void decoder_free(void *decoder) {
    guarded([&] { delete static_cast<Decoder *>(decoder); });
}

}  // extern "C"
