#!/usr/bin/env bash
# Back-translation (Sennrich, Haddow and Birch 2016): monolingual text of the target language makes
# a better translator, once a model of the opposite direction has translated it into the source
# language.
#
#   bash recipes/back-translate.sh
#
# It takes 2,000 pairs of the demo corpus, and 18,000 more German lines without their English. A
# German-English model, trained on the pairs, translates those lines. Then two English-German models
# are trained for equally many updates: one on the pairs, one on the pairs (twice) and the
# back-translated lines.
#
# Range to reach: the second gains at least 1 BLEU on the test set. Ends with exit code 1 if it
# does not. Takes about 30 minutes on one core that has other work too.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/usage.sh"
at_most 0 "$@"
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

work=runs/back-translate
mkdir -p "$work"
seq2seq data demo "$work/corpus" --pairs 20000 --seed 1
for language in en de; do
    head -n 2000 "$work/corpus/train.$language" >"$work/pairs.$language"
done
tail -n +2001 "$work/corpus/train.de" >"$work/alone.de"
seq2seq tokenizer train "$work"/pairs.{en,de} "$work/alone.de" --output "$work/joint.model" --force

train() { # RUN UPDATES SOURCE-LANGUAGE TARGET-LANGUAGE --source FILE... --target FILE...
    local run=$1 updates=$2 from=$3 to=$4
    shift 4
    seq2seq train --preset transformer-tiny --output "$work/$run" "$@" \
        --valid-source "$work/corpus/valid.$from" --valid-target "$work/corpus/valid.$to" \
        --source-tokenizer "$work/joint.model" --target-tokenizer "$work/joint.model" \
        --max-updates "$updates" --set training.warmup_updates=200 \
        --set training.schedule=cosine --set training.validate_every=200
}

train de-en 600 de en --source "$work/pairs.de" --target "$work/pairs.en"
seq2seq translate "$work/de-en" --beam 1 --input "$work/alone.de" --output "$work/back-translated.en"

train pairs-alone 500 en de --source "$work/pairs.en" --target "$work/pairs.de"
train with-back-translated 500 en de \
    --source "$work"/{pairs,pairs,back-translated}.en --target "$work"/{pairs,pairs,alone}.de

for run in pairs-alone with-back-translated; do
    seq2seq translate "$work/$run" --input "$work/corpus/test.en" --output "$work/$run.test.de"
done
seq2seq score --reference "$work/corpus/test.de" --hypothesis "$work/with-back-translated.test.de" \
    --compare "$work/pairs-alone.test.de" --confidence 1000
python recipes/gain.py "$work"/{pairs-alone,with-back-translated}.test.de \
    --reference "$work/corpus/test.de" --least 1
