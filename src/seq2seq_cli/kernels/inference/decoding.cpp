// What Python calls for any decoder.

#include "decoding.h"

extern "C" {

void decoder_sizes(const void *decoder, DecoderSizes *sizes) {
    *sizes = static_cast<const Decoder *>(decoder)->sizes;
}

void decoder_step(const void *decoder, const StepInput *input, float *hidden) {
    static_cast<const Decoder *>(decoder)->step(*input, hidden);
}

void decoder_free(void *decoder) { delete static_cast<Decoder *>(decoder); }

}  // extern "C"
