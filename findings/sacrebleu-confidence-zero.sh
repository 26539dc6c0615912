#!/usr/bin/env bash
# chrF with a confidence interval fails where a bootstrap sample matches nothing.
#
# The scores of samples are float32, except that a sample without any match has Python's float 0.0.
# statistics.mean refuses a list of both, so that a text with a few lines that match nothing ends in a
# TypeError; all samples of one type are fine. TER fails in the same way.
#
# Seen with sacrebleu 2.6.0: "don't know how to coerce float and float32".
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" sacrebleu==2.6.0
python - <<'END'
from sacrebleu.metrics import CHRF

hypotheses, reference = ["the cat sat on the mat", "zzzz"], ["the cat sat on the mat", "a dog"]
print(f"without an interval: {CHRF().corpus_score(hypotheses, [reference]).score:.2f}")
try:
    CHRF().corpus_score(hypotheses, [reference], n_bootstrap=100)
except TypeError as error:
    print(f"with one: TypeError: {error}")
else:
    raise SystemExit("this has changed")
END
