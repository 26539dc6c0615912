#!/usr/bin/env bash
# The paired bootstrap test says that a system differs from itself, and marks it as significant.
#
# The p-value counts resamples whose difference is greater than the one observed. For two identical
# outputs every difference is 0, none is greater than 0, and p is 1 / (trials + 1): the smallest value
# that the test can print. Ties in few lines make p too small in the same way.
#
# Seen with sacrebleu 2.6.0 and 200 trials: p = 0.0050, marked with a star.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" sacrebleu==2.6.0
seq 1 50 | sed 's/.*/line number & of the text here/' >"$folder/system"
cp "$folder/system" "$folder/same"
sed 's/text/book/' "$folder/system" >"$folder/reference"
python -m sacrebleu "$folder/reference" -i "$folder/system" "$folder/same" \
    --paired-bs --paired-bs-n 200 --format json >"$folder/result.json" 2>/dev/null
python - "$folder/result.json" <<'END'
import json, sys

found = json.load(open(sys.argv[1]))
p = found[1]["BLEU"]["p_value"]
print(f"a system compared with a copy of itself: p = {p:.4f}")
assert round(p, 4) == round(1 / 201, 4), "this has changed"
END
