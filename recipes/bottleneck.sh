#!/usr/bin/env bash
# The classic experiment: a context vector of fixed length cannot hold a long sentence; attention
# does not need to.
#
#   bash recipes/bottleneck.sh [DIR]
#
# Trains rnn (fixed context), attention-rnn, conv and transformer, of about equal size and on the
# same number of target tokens, on Multi30k (DIR as in multi30k.sh) and on a demo corpus in which
# half the sentences are long. Then it scores them by source length, times training by sequence
# length, and draws what each looked at. Writes runs/bottleneck/report.md, its pictures, and
# figures.json.
#
# Result to reach (Bahdanau 2015, figure 2), on both corpora: from short to long sentences the
# fixed-context rnn keeps a smaller share of its BLEU than attention-rnn, by at least a tenth.
# Ends with exit code 1 if it does not. Takes at most 90 minutes on 2 CPU cores.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/usage.sh"
at_most 1 "$@"
multi30k=$(folder_given "$@")
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

if [ -z "$multi30k" ]; then
    multi30k="$root/runs/multi30k-data"
    python recipes/multi30k_data.py "$multi30k"
fi
report=runs/bottleneck
long=$report/demo-corpus
mkdir -p "$report"
seq2seq data demo "$long/short" --pairs 10000 --max-words 14
seq2seq data demo "$long/long" --pairs 10000 --min-words 15 --max-words 40
for file in {train,valid,test}.{en,de}; do
    cat "$long"/{short,long}/"$file" >"$long/$file"
done

architectures=(rnn attention-rnn conv transformer)

settings() { # ARCHITECTURE WIDTH: about equal size, see `seq2seq info`
    case $1 in
    rnn) echo --preset rnn --set "model.units=$((2 * $2))" ;;
    attention-rnn) echo --preset attention-rnn --set "model.units=$((2 * $2))" ;;
    conv) echo --preset conv --set "model.channels=$2" ;;
    transformer) echo --preset transformer-small --set "model.feed_forward=$((2 * $2))" ;;
    esac
}

experiment() { # NAME WIDTH UPDATES SOURCE TARGET VALID-SOURCE VALID-TARGET TEST-SOURCE TEST-TARGET
    local name=$1 width=$2 updates=$3 architecture run rate
    for architecture in "${architectures[@]}"; do
        run=$report/$name/$architecture
        rate=0.002
        [ "$architecture" = transformer ] && rate=0.001
        # shellcheck disable=SC2046
        seq2seq train $(settings "$architecture" "$width") --output "$run" \
            --source "$4" --target "$5" --valid-source "$6" --valid-target "$7" \
            --max-updates "$updates" --set "model.width=$width" --set model.dropout=0.1 \
            --set training.batch_tokens=1024 --set "training.learning_rate=$rate" \
            --set training.warmup_updates=300 --set training.schedule=cosine \
            --set training.average=none --set "training.validate_every=$((updates / 2))"
        seq2seq info "$run" --format json >"$run.info.json"
        seq2seq translate "$run" --input "$8" --output "$run.test"
        seq2seq score --reference "$9" --hypothesis "$run.test" --confidence 1000 --by-length \
            --source "$8" --bucket 5 --metrics bleu --format json >"$run.score.json"
        if [ "$architecture" != rnn ]; then
            sed -n 3p "$8" | seq2seq inspect attention "$run" --output "$run.attention.png"
        fi
    done
    seq2seq inspect curves "${architectures[@]/#/$report/$name/}" --over tokens \
        --output "$report/$name/curves.png"
}

experiment multi30k 256 2400 "$multi30k"/train.{en,de} "$multi30k"/val.{en,de} \
    "$multi30k"/test_2016_flickr.{en,de}
experiment demo 128 2400 "$long"/train.{en,de} "$long"/valid.{en,de} "$long"/test.{en,de}

python recipes/bottleneck_report.py "$report" multi30k demo
