#!/usr/bin/env bash
# Every way in which an RNN's decoder can attend to the source, with the same budget.
#
#   bash recipes/attentions.sh [SCORE...]
#
# Trains attention-rnn with each score function (additive, dot, scaled-dot, general, location-base,
# content-base, multi-head; or only those given) in each scope (global, local-m, local-p) on sentences
# of at most 12 words from the demo grammar, which knows which words say the same. Writes
# runs/attentions/report.md: BLEU, alignment error rate of attention, speed of training and of
# translating, and what each looked at in the same sentence; and figures.json.
#
# Ends with exit code 1 unless, in the global scope, additive, general and multi-head attention have
# a lower alignment error rate than location-base, which cannot see the words.
# UPDATES sets how long each model is trained: 1,500 updates. All 19 take about 50 minutes on one
# CPU core.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/usage.sh"
at_most 7 "$@"
known=(additive dot scaled-dot general location-base content-base multi-head)
for score in "$@"; do
    [[ " ${known[*]} " = *" $score "* ]] || refuse "$score: allowed are ${known[*]}"
done
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

scores=("$@")
[ $# -gt 0 ] || scores=("${known[@]}")
updates=${UPDATES:-1500}
report=runs/attentions
corpus=$report/corpus
mkdir -p "$report"
seq2seq data demo "$corpus" --pairs 20000 --max-words 12 --trees

for scope in global local-m local-p; do
    for score in "${scores[@]}"; do
        # It chooses positions by itself, and a window elsewhere would hide them.
        if [ "$score" = location-base ] && [ "$scope" != global ]; then continue; fi
        run=$report/$score-$scope
        seq2seq train --preset attention-rnn --output "$run" \
            --source "$corpus/train.en" --target "$corpus/train.de" \
            --valid-source "$corpus/valid.en" --valid-target "$corpus/valid.de" \
            --set "model.score=$score" --set "model.scope=$scope" --max-updates "$updates" \
            --set model.width=96 --set model.units=192 --set model.dropout=0 \
            --set training.batch_tokens=1024 --set training.learning_rate=0.003 \
            --set training.warmup_updates=200 --set training.schedule=cosine \
            --set training.average=none --set "training.validate_every=$((updates / 2))"
        seq2seq translate "$run" --input "$corpus/test.en" --output "$run.test"
        seq2seq score --reference "$corpus/test.de" --hypothesis "$run.test" --metrics bleu \
            --format json >"$run.score.json"
        sed -n 7p "$corpus/test.en" | seq2seq inspect attention "$run" --output "$run.png"
    done
done
python recipes/attentions_report.py "$report" "${scores[@]}"
