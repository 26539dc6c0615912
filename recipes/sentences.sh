#!/usr/bin/env bash
# Lines of two sentences, for a model that was trained on lines of one.
#
#   [MINUTES=3] bash recipes/sentences.sh
#
# Trains transformer-tiny twice on the demo corpus, for at most MINUTES each: as it is, and with
# data.join_sentences=0.2. Then it translates the test text, and the same text with two sentences a
# line: by the first model as a whole and split into sentences, and by the second model as a whole.
#
# Range to reach: split lines of two sentences are right at least 0.9 times as often as two lines of one
# in a row, and after joined training a tenth more of them are right as a whole than before it. Ends
# with exit code 1 if not. Takes at most 7 minutes on 2 CPU cores.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/usage.sh"
at_most 0 "$@"
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

work=runs/sentences
corpus=$work/corpus
seq2seq data demo "$corpus" --pairs 20000 --seed 1
seq2seq tokenizer train "$corpus/train.en" "$corpus/train.de" --output "$corpus/joint.model" --force
for language in en de; do
    paste -d ' ' - - <"$corpus/test.$language" >"$corpus/two.$language"
done

train() { # RUN OPTION...
    local run=$1
    shift
    seq2seq train --output "$work/$run" --preset transformer-tiny \
        --source "$corpus/train.en" --target "$corpus/train.de" \
        --valid-source "$corpus/valid.en" --valid-target "$corpus/valid.de" \
        --source-tokenizer "$corpus/joint.model" --target-tokenizer "$corpus/joint.model" \
        --max-minutes "${MINUTES:-3}" --max-updates 1600 --set training.validate_every=200 \
        --set training.schedule=inverse-sqrt --set training.learning_rate=0.004 \
        --set training.warmup_updates=200 --set training.ema_decay=0.98 \
        --set training.average=none --set model.dropout=0 --set training.label_smoothing=0.05 "$@"
}
train single --restart
train joined --restart --set data.join_sentences=0.2

for text in test two; do
    seq2seq translate "$work/single" --split-sentences off \
        --input "$corpus/$text.en" --output "$work/single-off.$text"
    seq2seq translate "$work/single" --split-sentences on \
        --input "$corpus/$text.en" --output "$work/single-on.$text"
    seq2seq translate "$work/joined" --split-sentences off \
        --input "$corpus/$text.en" --output "$work/joined.$text"
done
python recipes/sentences_report.py "$work"
