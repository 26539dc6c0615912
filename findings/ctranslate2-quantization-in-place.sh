#!/usr/bin/env bash
# Quantizing a specification changes the arrays that its weights were made from.
#
# A converter sets `layer.weight = array` and calls `specification.optimize(quantization="int8")`. The
# documentation says that weights are quantized on conversion; it does not say that the caller's array
# is scaled in place: numpy arrays, and PyTorch tensors through the memory that they share. A model
# that is exported twice, or used after its export, then computes with other weights, in silence.
#
# Seen with ctranslate2 4.8.5: a weight of 0.5 is 127 in the array afterwards (int8) or 1024 (int16);
# float16 and no quantization leave it as it was.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" ctranslate2==4.8.5 numpy
cat >"$folder/quantize.py" <<'END'
import numpy as np
from ctranslate2.specs import common_spec

for quantization in (None, "float16", "int8", "int16"):
    weight = np.full((2, 2), 0.5, dtype=np.float32)
    layer = common_spec.LinearSpec()
    layer.weight = weight
    layer.validate()
    layer.optimize(quantization=quantization)
    print(quantization, weight[0, 0])
END
found=$(python "$folder/quantize.py")
echo "$found"
[ "$(echo $found)" = "None 0.5 float16 0.5 int8 127.0 int16 1024.0" ] ||
    { echo "this has changed" >&2; exit 1; }
