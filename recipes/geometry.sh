#!/usr/bin/env bash
# What each layer knows of syntax, in four architectures of equal size.
#
#   [MINUTES=8] bash recipes/geometry.sh
#
# Trains rnn (fixed context), attention-rnn, conv and transformer on the demo corpus for MINUTES each.
# Its grammar knows the dependency tree of every sentence, so that probes can be trained without a
# treebank, on sentences of another seed: a structural probe (Hewitt and Manning 2019), an attention
# probe and the senses of words (Coenen et al. 2019), layer by layer, beside an untrained model, a
# random map and the order of words. Writes runs/geometry/report.md, its pictures, and figures.json.
#
# Result to reach, on held-out sentences: in the best layer of conv and transformer, the share of
# tree edges found (UUAS) is at least 0.05 above that of the same layer untrained, of a random map,
# and of the order of words; the transformer's attention tells related words at least 0.05 better
# than untrained. Ends with exit code 1 if one is missed, as after a trial with MINUTES=1, which trains
# too little. SENTENCES sets how many are probed: 2,000. Takes at most 60 minutes on 2 CPU cores.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/usage.sh"
at_most 0 "$@"
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

minutes=${MINUTES:-8}
sentences=${SENTENCES:-2000}
report=runs/geometry
corpus=$report/corpus
mkdir -p "$report"
seq2seq data demo "$corpus" --pairs 20000
seq2seq data demo "$report/probes" --pairs "$sentences" --seed 2 --trees

settings() { # ARCHITECTURE: about equal size, see `seq2seq info`
    case $1 in
    rnn | attention-rnn)
        echo --preset "$1" --set model.units=256 --set model.encoder_layers=2 \
            --set model.decoder_layers=1
        ;;
    conv)
        echo --preset conv --set model.channels=168 --set model.encoder_layers=4 \
            --set model.decoder_layers=3
        ;;
    transformer)
        echo --preset transformer-small --set model.feed_forward=512 \
            --set model.encoder_layers=4 --set model.decoder_layers=3
        ;;
    esac
}

for architecture in rnn attention-rnn conv transformer; do
    run=$report/$architecture
    # shellcheck disable=SC2046
    seq2seq train $(settings "$architecture") --output "$run" \
        --source "$corpus/train.en" --target "$corpus/train.de" \
        --valid-source "$corpus/valid.en" --valid-target "$corpus/valid.de" \
        --max-minutes "$minutes" --set model.width=128 --set model.dropout=0.1 \
        --set training.batch_tokens=1024 --set training.learning_rate=0.002 \
        --set training.warmup_updates=200 --set training.average=none
    seq2seq translate "$run" --input "$corpus/test.en" --output "$run.test"
    seq2seq score --reference "$corpus/test.de" --hypothesis "$run.test" --metrics bleu \
        --format json >"$run.score.json"
done
python recipes/geometry_report.py "$report" "$report/probes/train.en.conllu"
