#!/usr/bin/env bash
# What copy attention is for: names and numbers that training has never shown.
#
#   bash recipes/copying.sh
#
# Trains attention-rnn and transformer-small, each without and with model.copy_attention, on a demo
# corpus in which names are made up and some lines have a number; the test set has others than the
# training text. Writes runs/copying/report.md: of these words, how many each model writes exactly,
# and BLEU.
#
# Ends with exit code 1 unless copy attention raises the share of names written exactly in both
# architectures and lowers that of numbers in none. UPDATES sets how long each model is trained:
# 1,500 updates. Takes about 40 minutes on one CPU core.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/usage.sh"
at_most 0 "$@"
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

updates=${UPDATES:-1500}
report=runs/copying
corpus=$report/corpus
mkdir -p "$report"
seq2seq data demo "$report/demo" --pairs 20000
python recipes/copying_corpus.py "$report/demo" "$corpus"

for preset in attention-rnn transformer-small; do
    for copies in false true; do
        run=$report/$preset-$copies
        seq2seq train --preset "$preset" --output "$run" \
            --source "$corpus/train.en" --target "$corpus/train.de" \
            --valid-source "$corpus/valid.en" --valid-target "$corpus/valid.de" \
            --set "model.copy_attention=$copies" --max-updates "$updates" \
            --set model.width=128 --set model.dropout=0.1 --set training.batch_tokens=1024 \
            --set training.learning_rate=0.002 \
            --set training.warmup_updates=300 --set training.schedule=cosine \
            --set training.average=none --set "training.validate_every=$((updates / 2))"
        seq2seq translate "$run" --input "$corpus/test.en" --output "$run.test"
        seq2seq score --reference "$corpus/test.de" --hypothesis "$run.test" --metrics bleu \
            --format json >"$run.score.json"
    done
done
python recipes/copying_report.py "$report"
