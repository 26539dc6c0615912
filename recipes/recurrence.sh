#!/usr/bin/env bash
# Where parallelism pays and where it cannot, and how far back the four architectures look.
#
#   bash recipes/recurrence.sh
#
# Trains rnn (fixed context), attention-rnn, conv and transformer, of about equal size and on the
# same number of target tokens, on a demo corpus in which half the sentences are long. Then it
# - counts, from the model itself, the products that a step computes and how many of them wait for
#   one another, and times training and translating by sentence length, batch and threads;
# - asks each model which verb it expects at the end of a German clause, the one that agrees with
#   its subject 5, 10, 20 or 40 words before (5 or 10 in training), or the other; and how far back
#   the gradient of that verb reaches.
# Writes runs/recurrence/report.md, its pictures, and figures.json.
#
# Ends with exit code 1 unless, from 10 to 160 tokens, the products of a training step that wait for
# one another become at least ten times as many in the recurrent models and stay as many in conv and
# transformer; unless 16 to 31 pieces back transformer's gradient keeps at least twice the share that
# attention-rnn's does; and unless all models agree less often at 40 words than at 5.
# UPDATES sets how long each model is trained: 2,400 updates, about 5 minutes. Takes about 40
# minutes on 2 CPU cores.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/usage.sh"
at_most 0 "$@"
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

updates=${UPDATES:-2400}
report=runs/recurrence
corpus=$report/corpus
mkdir -p "$report"
seq2seq data demo "$corpus/short" --pairs 10000 --max-words 14
seq2seq data demo "$corpus/long" --pairs 10000 --min-words 15 --max-words 60
python recipes/recurrence_memory.py "$report" --write
for side in en de; do
    cat "$corpus"/{short,long}/valid.$side >"$corpus/valid.$side"
    cat "$corpus"/{short,long}/train.$side "$corpus/agreement.$side" >"$corpus/train.$side"
done

settings() { # ARCHITECTURE: about equal size, see `seq2seq info`
    case $1 in
    rnn) echo --preset rnn --set model.units=256 --set training.learning_rate=0.002 ;;
    attention-rnn) echo --preset attention-rnn --set model.units=256 \
        --set training.learning_rate=0.002 ;;
    conv) echo --preset conv --set model.channels=128 --set training.learning_rate=0.002 ;;
    transformer) echo --preset transformer-small --set model.feed_forward=256 \
        --set training.learning_rate=0.001 ;;
    esac
}

for architecture in rnn attention-rnn conv transformer; do
    # shellcheck disable=SC2046
    seq2seq train $(settings "$architecture") --output "$report/$architecture" \
        --source "$corpus/train.en" --target "$corpus/train.de" \
        --valid-source "$corpus/valid.en" --valid-target "$corpus/valid.de" \
        --max-updates "$updates" --set model.width=128 --set model.dropout=0.1 \
        --set training.batch_tokens=1024 --set training.warmup_updates=300 \
        --set training.schedule=cosine --set training.average=none \
        --set "training.validate_every=$((updates / 2))"
done

# Products are counted in the models as PyTorch computes them, without compiled functions.
SEQ2SEQ_NATIVE=off python recipes/recurrence_memory.py "$report"
SEQ2SEQ_NATIVE=off python recipes/recurrence_speed.py "$report" --count
python recipes/recurrence_speed.py "$report"
python recipes/recurrence_report.py "$report"
