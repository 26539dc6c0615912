#!/usr/bin/env bash
# Sequence-level knowledge distillation (Kim and Rush 2016): a small model learns more from a large
# model's translations of the training text than from the references, which are harder to predict.
#
#   bash recipes/distill.sh [DIR]
#
# The teacher is transformer-small of recipes/multi30k.sh, on the same DIR; it is trained first
# unless that has run already. It translates its own training text with a beam of 5. Then two models
# of the preset transformer-tiny, a third of its size, are trained for equally many updates: one on
# the references, one on the teacher's translations. The updates are few, since the teacher's
# translations are learned faster. Both search greedily, as small models usually do.
#
# Range to reach: the second gains at least 1 BLEU on test_2016_flickr. Ends with exit code 1 if it
# does not. Takes about 5 minutes on 2 CPU cores, and the training of the teacher.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/usage.sh"
at_most 1 "$@"
data=$(folder_given "$@")
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
data="${data:-$root/runs/multi30k-data}"
[ -d "$data" ] || python recipes/multi30k_data.py "$data"

teacher=runs/multi30k/transformer-small
[ -f "$teacher/model.safetensors" ] || bash recipes/multi30k.sh "$data" transformer-small
work=runs/distill
mkdir -p "$work"
if [ ! -f "$work/train.de" ]; then
    seq2seq translate "$teacher" --input "$data/train.en" --output "$work/unfinished.de"
    mv "$work/unfinished.de" "$work/train.de"
fi

train() { # RUN TARGET
    seq2seq train --preset transformer-tiny --output "$work/$1" \
        --source "$data/train.en" --target "$2" \
        --valid-source "$data/val.en" --valid-target "$data/val.de" \
        --source-tokenizer "$teacher/tokenizer.model" \
        --target-tokenizer "$teacher/tokenizer.model" \
        --max-updates 1500 --set training.schedule=cosine \
        --set training.validate_every=500 --set training.checkpoint_every=500
    seq2seq translate "$work/$1" --beam 1 --input "$data/test_2016_flickr.en" \
        --output "$work/$1.test.de"
}

train references "$data/train.de"
train distilled "$work/train.de"
seq2seq score --reference "$data/test_2016_flickr.de" --hypothesis "$work/distilled.test.de" \
    --compare "$work/references.test.de" --confidence 1000
python recipes/gain.py "$work"/{references,distilled}.test.de \
    --reference "$data/test_2016_flickr.de" --least 1
