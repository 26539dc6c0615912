#!/usr/bin/env bash
# On a CPU, LayerNorm sums the gradients of its weights in bfloat16.
#
# Under autocast, or in a bfloat16 model, `layer_norm` reads bfloat16 rows. Its backward pass adds what each
# row contributes to the gradients of weight and bias in bfloat16, whatever type these have: once a sum
# is 256, adding 1 no longer changes it. RMSNorm, linear layers and embeddings sum in float32.
#
# Seen with torch 2.13.0: with gradients of 1 the bias should have the number of rows; it has 256 for
# 1,000 rows and for 10,000. So a large batch trains biases more slowly than the sum of its parts.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" torch==2.13.0 numpy
cat >"$folder/norm.py" <<'END'
import torch

for rows in (100, 1000, 10000):
    bias = torch.zeros(8, requires_grad=True)
    x = torch.randn(rows, 8, dtype=torch.bfloat16)
    torch.nn.functional.layer_norm(x, (8,), torch.ones(8), bias).sum().backward()
    print(rows, bias.grad[0].item())
END
found=$(python "$folder/norm.py")
echo "$found"
[ "$(echo $found)" = "100 100.0 1000 256.0 10000 256.0" ] ||
    { echo "this has changed" >&2; exit 1; }
