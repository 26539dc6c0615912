#!/usr/bin/env bash
# The scores of a search are not the model's log-probabilities of the translation.
#
# `translate_batch` returns the score of each hypothesis; `score_batch` of the same tokens should have the
# log-probabilities that it is the mean of. They disagree in two cases that the documentation does not
# mention:
#
# - What an option forbids is left out before the softmax. `min_decoding_length` is 1 by default, so every
#   score takes the first token's probability among translations that are not empty.
# - Tokens of `target_prefix` add nothing to the log-probability, yet count in the length that divides it.
#
# Seen with ctranslate2 4.8.5 and a made-up model of one layer. Each line has the tokens of a translation,
# its score, the mean of `score_batch`, and the same without the two tokens of the prefix in the sum: by
# default, with min_decoding_length=0, with a prefix.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" ctranslate2==4.8.5 numpy
cat >"$folder/score.py" <<'END'
import sys

import ctranslate2
import numpy as np
from ctranslate2.specs import TransformerSpec, model_spec

VOCABULARY = ["<unk>", "<s>", "</s>", *"abcdefgh"]
WIDTH = 8
draw = np.random.default_rng(9)


def fill(layer, name, value):
    """Draw the weights that the specification lacks."""
    *_, block, part, kind = f"//{name}".split("/")
    if value is not None:
        return
    if kind in ("gamma", "beta"):
        setattr(layer, kind, np.full(WIDTH, kind == "gamma", dtype=np.float32))
        return
    rows = WIDTH
    if part.startswith(("embeddings", "projection")):
        rows = len(VOCABULARY)
    elif block == "self_attention" and part == "linear_0":  # queries, keys and values
        rows = 3 * WIDTH
    elif block == "attention" and part == "linear_1":  # keys and values
        rows = 2 * WIDTH
    layer.weight = draw.normal(size=(rows, WIDTH)).astype(np.float32)


model = TransformerSpec.from_config(1, 2)
model_spec.visit_spec(model, fill)
model.register_source_vocabulary(VOCABULARY)
model.register_target_vocabulary(VOCABULARY)
model.validate()
model.save(sys.argv[1])
translator = ctranslate2.Translator(sys.argv[1], compute_type="float32")
source = list("abc")
for options in ({}, {"min_decoding_length": 0}, {"target_prefix": [["d", "e"]]}):
    [found] = translator.translate_batch([source], beam_size=1, return_scores=True, **options)
    [scored] = translator.score_batch([source], found.hypotheses)
    total, length = sum(scored.log_probs), len(scored.log_probs)
    after = sum(scored.log_probs[2:])
    print(f"{length} {found.scores[0]:.3f} {total / length:.3f} {after / length:.3f}")
END
mkdir "$folder/model"
found=$(python "$folder/score.py" "$folder/model")
echo "$found"
[ "$(echo $found)" = "3 -0.541 -0.548 -0.257 3 -0.548 -0.548 -0.257 7 -0.373 -1.218 -0.373" ] ||
    { echo "this has changed" >&2; exit 1; }
