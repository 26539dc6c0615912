#!/usr/bin/env bash
# From a teacher to a student in Firefox's format: small, in 8 bits, with a lexical shortlist.
#
#   [MINUTES=10] [UPDATES=N] bash recipes/student.sh [demo|multi30k]...
#
# The teacher is runs/student/CORPUS/teacher, any run of your own or one that is trained here for
# MINUTES; it translates its own training text (Kim and Rush 2016). The student learns these
# translations for UPDATES, 1,500 on demo and 4,000 on multi30k: 6 encoder layers, 2 decoder layers
# with an SSRU (Kim et al. 2019), norms after each sublayer, and one head that learns word alignments
# (Chen et al. 2016). It is exported with 8-bit weights and its shortlist, and imported again.
#
# multi30k is German to English; its files are expected in ../shared/data/multi30k-en-de, and it is
# skipped without them.
#
# Range to reach, on the test set of each corpus: the student has at least 85 % of the teacher's BLEU
# and at most half of its size, is faster on one thread, each with its own search, and fxtranslate
# translates 100 lines as `seq2seq translate` does: 99 of them from weights in float32, and 90 from
# those in 8 bits, where it rounds what each layer reads, by factors that the export fixes.
# Ends with exit code 1 if one is missed. Takes about 20 minutes for each corpus on 2 free CPU cores.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/usage.sh"
for corpus in "$@"; do
    case $corpus in
    demo | multi30k) ;;
    *) refuse "$corpus: demo or multi30k is allowed" ;;
    esac
done
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
[ $# -gt 0 ] || set -- demo multi30k

teach() { # trains the teacher, unless a run is there already
    [ -f "$work/teacher/model.safetensors" ] || seq2seq train --preset auto --output "$work/teacher" \
        --source "$data/$train.$from" --target "$data/$train.$to" \
        --valid-source "$data/$valid.$from" --valid-target "$data/$valid.$to" \
        --max-minutes "${MINUTES:-10}"
    if [ ! -f "$work/train.$to" ]; then
        seq2seq translate "$work/teacher" --input "$data/$train.$from" --output "$work/unfinished"
        mv "$work/unfinished" "$work/train.$to"
    fi
}

learn() { # OPTION...
    python recipes/word_alignments.py "$data/$train.$from" "$work/train.$to" "$work/train.align"
    seq2seq train --preset transformer-tiny --output "$work/student" \
        --source "$data/$train.$from" --target "$work/train.$to" \
        --valid-source "$data/$valid.$from" --valid-target "$data/$valid.$to" \
        --source-tokenizer "$work/teacher/tokenizer.model" \
        --target-tokenizer "$work/teacher/tokenizer.model" \
        --set data.alignments="[\"$work/train.align\"]" --set training.guided_alignment=0.1 \
        --set model.encoder_layers=6 --set model.decoder_layers=2 --set model.heads=8 \
        --set model.decoder_attention=ssru --set model.norm=post --set model.norm_epsilon=0.000001 \
        --set model.sinusoids=tensor2tensor --set model.zero_start=true \
        --set model.output_bias=true --set model.alignment_layer=1 --set model.alignment_head=0 \
        --max-updates "${UPDATES:-$updates}" \
        --set training.schedule=cosine --set training.learning_rate=0.002 \
        --set training.warmup_updates=300 --set training.label_smoothing=0.05 \
        --set training.batch_tokens=1024 \
        --set training.validate_every=500 --set training.checkpoint_every=500 "$@"
}

status=0
for corpus in "$@"; do
    work=runs/student/$corpus
    mkdir -p "$work"
    case $corpus in
    demo)
        data=$work/corpus train=train valid=valid test=test from=en to=de updates=1500
        options=(--set model.dropout=0)
        [ -f "$data/test.de" ] || seq2seq data demo "$data" --pairs 20000 --seed 1
        ;;
    multi30k)
        data=$root/../shared/data/multi30k-en-de train=train valid=val test=test_2016_flickr
        from=de to=en updates=4000
        options=(--set model.dropout=0.1)
        [ -d "$data" ] || { echo "$data is not here; multi30k is skipped" >&2 && continue; }
        ;;
    esac
    teach
    learn "${options[@]}"
    rm -rf "$work/firefox" "$work/firefox-float32" "$work/imported"
    seq2seq export "$work/student" "$work/firefox" --format firefox
    seq2seq export "$work/student" "$work/firefox-float32" --format firefox --quantization float32
    seq2seq import "$work/firefox" "$work/imported"
    python recipes/student_report.py --teacher "$work/teacher" --student "$work/student" \
        --model "$work/firefox" --unrounded "$work/firefox-float32" --imported "$work/imported" \
        --source "$data/$test.$from" --reference "$data/$test.$to" || status=1
done
exit $status
