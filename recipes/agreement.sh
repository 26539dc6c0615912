#!/usr/bin/env bash
# What two models agree on in text for which there is no treebank.
#
#   [MINUTES=4] bash recipes/agreement.sh [DIR]
#
# Trains rnn (fixed context), attention-rnn, conv and transformer, of about equal size, on English-
# German Multi30k (DIR as in multi30k.sh), each twice from other random weights, for MINUTES each. Then
# it compares which words of a validation sentence are near each other in both (`seq2seq inspect
# agreement`): each architecture with itself, and with the others. Writes runs/agreement/report.md and
# figures.json.
#
# Result to reach: in their best layer the two runs of conv and of transformer share at least 0.05
# more edges of their sentences' spanning trees than the same layers untrained. Ends with exit code
# 1 if they do not, as after a trial with MINUTES=1. Takes at most 45 minutes on 2 CPU cores.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/usage.sh"
at_most 1 "$@"
multi30k=$(folder_given "$@")
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

if [ -z "$multi30k" ]; then
    multi30k="$root/runs/multi30k-data"
    python recipes/multi30k_data.py "$multi30k"
fi
minutes=${MINUTES:-4}
report=runs/agreement
mkdir -p "$report"
head -n 500 "$multi30k/val.en" >"$report/lines.en"

settings() { # ARCHITECTURE: about equal size, see `seq2seq info`
    case $1 in
    rnn | attention-rnn) echo --preset "$1" --set model.units=256 ;;
    conv) echo --preset conv --set model.channels=168 ;;
    transformer) echo --preset transformer-small --set model.feed_forward=512 ;;
    esac
}

architectures=(rnn attention-rnn conv transformer)
for architecture in "${architectures[@]}"; do
    for seed in 1 2; do
        # shellcheck disable=SC2046
        seq2seq train $(settings "$architecture") --output "$report/$architecture-$seed" \
            --source "$multi30k/train.en" --target "$multi30k/train.de" \
            --valid-source "$multi30k/val.en" --valid-target "$multi30k/val.de" \
            --max-minutes "$minutes" --set "training.seed=$seed" --set model.width=128 \
            --set model.dropout=0.1 --set training.batch_tokens=1024 \
            --set training.learning_rate=0.002 --set training.warmup_updates=200 \
            --set training.average=none
    done
done
for one in "${architectures[@]}"; do
    for other in "${architectures[@]}"; do
        seq2seq inspect agreement "$report/$one-1" "$report/$other-2" --format json \
            <"$report/lines.en" >"$report/$one.$other.json"
    done
done
python recipes/agreement_report.py "$report" "${architectures[@]}"
