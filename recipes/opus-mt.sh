#!/usr/bin/env bash
# A published OPUS-MT model as a run: compared with transformers, scored, fine-tuned on own text.
#
#   bash recipes/opus-mt.sh PAIR [DIR]
#
# PAIR is a pair of languages such as en-de, of which Helsinki-NLP/opus-mt-PAIR is fetched from the
# hub, another name on the hub, or a folder. Results go to DIR, runs/opus-mt by default:
#
# 1. imports the model and compares 100 lines with transformers;
# 2. translates a public test set, TESTSET of sacreBLEU (wmt14 by default), or TEST_SOURCE and
#    TEST_REFERENCE, and prints BLEU and chrF beside the figures of the model card;
# 3. fine-tunes for UPDATES (200) on OWN_SOURCE and OWN_TARGET, of which the last 500 pairs are held
#    out; by default on the demo corpus, which is English and German. It scores both on these.
#
# It needs a network, unless a folder and texts are given. Ranges to reach: 95 of the 100 lines are
# equal, and fine-tuning on own text gains BLEU on pairs of that text. Exit code 1 if not.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/usage.sh"
[ $# -gt 0 ] || refuse "give a pair of languages, a name on the hub or a folder"
at_most 2 "$@"
model="$1"
[ -d "$model" ] && model="$(cd "$model" && pwd)"
mkdir -p "${2:-$(dirname "${BASH_SOURCE[0]}")/../runs/opus-mt}"
work="$(cd "${2:-$(dirname "${BASH_SOURCE[0]}")/../runs/opus-mt}" && pwd)"
for name in TEST_SOURCE TEST_REFERENCE OWN_SOURCE OWN_TARGET; do
    [ -z "${!name:-}" ] || printf -v "$name" '%s' "$(realpath "${!name}")"
done
pair="$(basename "$model")"
pair="${pair#opus-mt-}"
case "$model" in */*) ;; *) model="Helsinki-NLP/opus-mt-$model" ;; esac
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

run="$work/$pair"
[ -f "$run/config.toml" ] || seq2seq import "$model" "$run" --verify
equal="$(sed -n 's/^verified = "\([0-9]*\) of 100 lines.*/\1/p' "$run/config.toml")"
echo "equal to transformers: ${equal:-0} of 100 lines"

test_source="${TEST_SOURCE:-$work/$pair.test.source}"
test_reference="${TEST_REFERENCE:-$work/$pair.test.reference}"
if [ -z "${TEST_SOURCE:-}" ]; then
    sacrebleu -t "${TESTSET:-wmt14}" -l "$pair" --echo src >"$test_source"
    sacrebleu -t "${TESTSET:-wmt14}" -l "$pair" --echo ref >"$test_reference"
fi
seq2seq translate "$run" --input "$test_source" --output "$work/$pair.test.translation"
echo "here, on $(basename "$test_reference"):"
seq2seq score --reference "$test_reference" --hypothesis "$work/$pair.test.translation"
echo "by the model card (BLEU, chrF):"
if [ -d "$model" ]; then
    card="$model/README.md"
else
    card="$(python -c 'import sys; from huggingface_hub import hf_hub_download as get
print(get(sys.argv[1], "README.md"))' "$model")"
fi
grep -E '^\|' "$card" || echo "the model card has no table"

if [ -z "${OWN_SOURCE:-}" ]; then
    [ -d "$work/demo" ] || seq2seq data demo "$work/demo"
    own_source=("$work/demo/train.en" "$work/demo/valid.en")
    own_target=("$work/demo/train.de" "$work/demo/valid.de")
else
    for side in source target; do
        name="OWN_${side^^}"
        head -n -500 "${!name}" >"$work/$pair.train.$side"
        tail -n 500 "${!name}" >"$work/$pair.valid.$side"
    done
    own_source=("$work/$pair.train.source" "$work/$pair.valid.source")
    own_target=("$work/$pair.train.target" "$work/$pair.valid.target")
fi
tuned="$work/$pair-tuned"
[ -f "$tuned/model.safetensors" ] || seq2seq train --init-from "$run" --output "$tuned" \
    --source "${own_source[0]}" --target "${own_target[0]}" \
    --valid-source "${own_source[1]}" --valid-target "${own_target[1]}" \
    --max-updates "${UPDATES:-200}" --batch-tokens 2048 \
    --set training.learning_rate=0.00005 --set training.warmup_updates=50 \
    --set training.validate_every=100 --set training.checkpoint_every=100
[ -d "$work/$pair-for-hf" ] ||
    seq2seq export "$tuned" "$work/$pair-for-hf" --format huggingface
for each in "$run" "$tuned"; do
    seq2seq translate "$each" --input "${own_source[1]}" \
        --output "$work/$(basename "$each").own.translation"
done
python recipes/gain.py "$work/$pair.own.translation" "$work/$pair-tuned.own.translation" \
    --reference "${own_target[1]}" --least 0.01
[ "${equal:-0}" -ge 95 ] || { echo "fewer than 95 of 100 lines are equal" >&2 && exit 1; }
