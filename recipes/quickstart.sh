#!/usr/bin/env bash
# From nothing to a translator: install, demo corpus, tokenizer, training, translating, scoring.
#
#   bash recipes/quickstart.sh [PRESET]
#
# PRESET: transformer-tiny (without one) or attention-rnn, which takes some minutes more.
# Range to reach: at least 90 BLEU on the demo corpus' test set, in at most 5 minutes on 2 CPU cores
# (installation aside). Ends with exit code 1 if it is missed.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

corpus=runs/quickstart-corpus
case ${1:-transformer-tiny} in
transformer-tiny)
    run=runs/quickstart updates=1800
    model=(--preset transformer-tiny)
    ;;
attention-rnn)
    run=runs/quickstart-attention-rnn updates=3000
    model=(--preset attention-rnn --set model.width=128 --set model.units=256
        --set training.batch_tokens=1024 --set training.learning_rate=0.003
        --set training.warmup_updates=200)
    ;;
*)
    echo "no settings for the preset $1; transformer-tiny and attention-rnn have" >&2
    exit 2
    ;;
esac

seq2seq data demo "$corpus" --pairs 20000 --seed 1
seq2seq tokenizer train "$corpus/train.en" "$corpus/train.de" --output "$corpus/joint.model" --force

train() {
    seq2seq train --output "$run" "${model[@]}" \
        --source "$corpus/train.en" --target "$corpus/train.de" \
        --valid-source "$corpus/valid.en" --valid-target "$corpus/valid.de" \
        --source-tokenizer "$corpus/joint.model" --target-tokenizer "$corpus/joint.model" \
        --max-updates "$updates" --set training.schedule=cosine --set training.validate_every=600 \
        --set model.dropout=0 --set training.label_smoothing=0.05 "$@"
}
# Goes on where an earlier try was cut off. Exit code 2: it was begun with other settings.
train || { [ $? -eq 2 ] && train --restart; }

echo
head -n 3 "$corpus/test.en"
head -n 3 "$corpus/test.en" | seq2seq translate "$run"
echo
seq2seq translate "$run" --input "$corpus/test.en" --output "$corpus/translated.de"
seq2seq score --reference "$corpus/test.de" --hypothesis "$corpus/translated.de" --confidence 1000
seq2seq score --reference "$corpus/test.de" --hypothesis "$corpus/translated.de" --metrics bleu --format json |
    python -c 'import json, sys
bleu = json.load(sys.stdin)[0]["value"]
sys.exit(f"BLEU {bleu:.1f} is below the 90 that this recipe states" if bleu < 90 else 0)'

cat <<END

Now type a line of your own:

    head -n 1 $corpus/valid.en | .venv/bin/seq2seq translate $run
END
