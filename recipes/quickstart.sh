#!/usr/bin/env bash
# From nothing to a translator: install, demo corpus, tokenizer, training, translating, scoring.
#
#   [MINUTES=3] bash recipes/quickstart.sh [PRESET]
#
# PRESET: transformer-tiny (the default) or attention-rnn, which takes some minutes more.
# Training ends once validation reaches 92 BLEU, or after MINUTES, so that the whole takes at most 5
# minutes (installation aside; attention-rnn has no limit unless MINUTES is given). A run that the
# limit ended can be used all the same, and continues with a higher limit.
# Range to reach on the demo corpus' test set, unless the time limit ended training: at least 90 BLEU.
# Ends with exit code 1 if it is missed.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/usage.sh"
at_most 1 "$@"
case ${1:-transformer-tiny} in
transformer-tiny | attention-rnn) ;;
*) refuse "preset $1: transformer-tiny or attention-rnn is allowed" ;;
esac
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

corpus=runs/quickstart-corpus
case ${1:-transformer-tiny} in
transformer-tiny)
    run=runs/quickstart
    # The schedule and the moving average give a good model whenever training ends.
    model=(--preset transformer-tiny --max-minutes "${MINUTES:-3}" --max-updates 4000
        --set training.schedule=inverse-sqrt --set training.learning_rate=0.004
        --set training.warmup_updates=200 --set training.ema_decay=0.98)
    ;;
attention-rnn)
    run=runs/quickstart-attention-rnn
    model=(--preset attention-rnn --max-minutes "${MINUTES:-0}" --max-updates 3000
        --set training.schedule=cosine
        --set model.width=128 --set model.units=256 --set training.batch_tokens=1024
        --set training.learning_rate=0.003 --set training.warmup_updates=200
        --set training.ema_decay=0.98)
    ;;
esac

seq2seq data demo "$corpus" --pairs 20000 --seed 1
seq2seq tokenizer train "$corpus/train.en" "$corpus/train.de" --output "$corpus/joint.model" --force

train() {
    seq2seq train --output "$run" "${model[@]}" \
        --source "$corpus/train.en" --target "$corpus/train.de" \
        --valid-source "$corpus/valid.en" --valid-target "$corpus/valid.de" \
        --source-tokenizer "$corpus/joint.model" --target-tokenizer "$corpus/joint.model" \
        --set training.stop_metric=bleu --set training.stop_score=92 \
        --set training.validate_every=100 --set training.average=none \
        --set model.dropout=0 --set training.label_smoothing=0.05 "$@"
}
# Continues where an earlier try was cut off. Exit code 2: it began with other settings.
train || { [ $? -eq 2 ] && train --restart; }

echo
head -n 3 "$corpus/test.en"
head -n 3 "$corpus/test.en" | seq2seq translate "$run"
echo
seq2seq translate "$run" --input "$corpus/test.en" --output "$corpus/translated.de"
seq2seq score --reference "$corpus/test.de" --hypothesis "$corpus/translated.de" --confidence 1000
seq2seq score --reference "$corpus/test.de" --hypothesis "$corpus/translated.de" --metrics bleu --format json |
    python recipes/quickstart_report.py "$run" "$@"

cat <<END

Try next, with a line of your own in its place:

    head -n 1 $corpus/valid.en | .venv/bin/seq2seq translate $run
END
