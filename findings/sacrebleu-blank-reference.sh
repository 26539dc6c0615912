#!/usr/bin/env bash
# A blank line in a second reference file removes the brevity penalty of its line.
#
# A file of references that lacks a translation of a line has a blank line there. The command takes
# it for a reference of length 0. BLEU compares a hypothesis with the reference whose length is
# nearest, so for a short hypothesis that is the blank one, and what it left out costs nothing.
# In the Python interface None means that a reference is missing; a file cannot say so.
#
# Seen with sacrebleu 2.6.0: 48.9 with one reference, 92.3 with a second one that is blank in line 2.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" sacrebleu==2.6.0
cd "$folder"
printf '%s\n' 'the big cat sat on the red mat today' 'something wrong' >hypothesis
printf '%s\n' 'the big cat sat on the red mat today' \
    'a very different sentence is the reference of it' >first
printf '%s\n' 'the big cat sat on the red mat today' '' >second
one=$(python -m sacrebleu first -i hypothesis --score-only 2>/dev/null)
two=$(python -m sacrebleu first second -i hypothesis --score-only 2>/dev/null)
echo "one reference: BLEU $one; with a second, blank in line 2: BLEU $two"
[ "$one $two" = "48.9 92.3" ] || { echo "this has changed" >&2; exit 1; }
