#!/usr/bin/env bash
# chrF over several references depends on the order in which they are given.
#
# sacreBLEU takes for each line the reference with the best sentence score, and adds up the counts of
# n-grams of these references. Where a line matches none of them, all sentence scores are 0, and
# the first one given is taken: a short one costs little, a long one much. Its BLEU and TER do not
# depend on the order.
#
# Seen with sacrebleu 2.6.0: 43.11 with the long reference first, 95.63 with the short one first.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" sacrebleu==2.6.0
python - <<'END'
from sacrebleu.metrics import CHRF

hypotheses = ["the cat sat on the mat", "zzzz qqqq"]
long_one = ["the cat sat on the mat", "a dog barks loudly in the night"]
short_one = ["the cat sat on the mat", "hi"]
long_first = CHRF().corpus_score(hypotheses, [long_one, short_one]).score
short_first = CHRF().corpus_score(hypotheses, [short_one, long_one]).score
print(f"long reference first: {long_first:.2f}, short reference first: {short_first:.2f}")
assert (round(long_first, 2), round(short_first, 2)) == (43.11, 95.63), "this has changed"
END
