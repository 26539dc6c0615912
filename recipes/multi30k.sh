#!/usr/bin/env bash
# Real English-German: trains three architectures on Multi30k and scores test_2016_flickr.
#
#   bash recipes/multi30k.sh [DIR] [PRESET...]
#
# DIR contains train, val and test_2016_flickr as .en and .de; without it they come from the Hugging
# Face hub (bentrevett/multi30k, for non-commercial research). The PRESETs are transformer-small,
# attention-rnn and rnn; all three unless given.
#
# Range to reach, cased BLEU (13a) on test_2016_flickr, each in about 30 minutes on 2 CPU cores:
#   transformer-small at least 37.0, attention-rnn at least 37.5, rnn (fixed context) at least 27.5.
# Ends with exit code 1 if one is missed. All settings were chosen on val.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/usage.sh"
[ $# -gt 0 ] && [ -d "$1" ] && data="$(cd "$1" && pwd)" && shift
for preset in "$@"; do
    case $preset in
    transformer-small | attention-rnn | rnn) ;;
    *) refuse "$preset: a folder, transformer-small, attention-rnn or rnn is allowed" ;;
    esac
done
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

if [ -z "${data:-}" ]; then
    data="$root/runs/multi30k-data"
    python recipes/multi30k_data.py "$data"
fi
[ $# -gt 0 ] || set -- transformer-small attention-rnn rnn

train() { # PRESET OPTION...
    local preset=$1 && shift
    seq2seq train --preset "$preset" --output "runs/multi30k/$preset" \
        --source "$data/train.en" --target "$data/train.de" \
        --valid-source "$data/val.en" --valid-target "$data/val.de" \
        --set training.schedule=cosine "$@"
}
recurrent=(
    --set training.batch_tokens=1024 --set training.learning_rate=0.002
    --set training.warmup_updates=300 --set model.dropout=0.3
    --set training.validate_every=500 --set training.checkpoint_every=500
)

status=0
for preset in "$@"; do
    case $preset in
    transformer-small)
        least=37.0
        train "$preset" --max-updates 10000 --set training.batch_tokens=1024 \
            --set training.learning_rate=0.001 --set training.warmup_updates=500 \
            --set model.dropout=0.3 \
            --set training.validate_every=500 --set training.checkpoint_every=500
        ;;
    attention-rnn)
        least=37.5
        train "$preset" --max-updates 10000 "${recurrent[@]}"
        ;;
    rnn)
        least=27.5
        train "$preset" --max-updates 10000 "${recurrent[@]}"
        ;;
    esac
    run="runs/multi30k/$preset"
    seq2seq translate "$run" --input "$data/test_2016_flickr.en" --output "$run.test.de"
    seq2seq score --reference "$data/test_2016_flickr.de" --hypothesis "$run.test.de" \
        --confidence 1000
    python recipes/multi30k_report.py "$run" --reference "$data/test_2016_flickr.de" \
        --hypothesis "$run.test.de" --least "$least" || status=1
done
exit $status
