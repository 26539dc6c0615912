#!/usr/bin/env bash
# SentencePiece's nfkc is not quite NFKC: it does not put combining marks into canonical order.
#
# Its rules replace strings of a table, the longest first. Sequences that the table lacks stay as they
# are, so canonically equivalent texts stay different: q with a dot above and a dot below in both orders
# (unicodedata.normalize puts the dot below first), and U+1E9B U+0323, which NFKC composes to U+1E69.
#
# Seen with sentencepiece 0.2.3, for the rules nfkc and nmt_nfkc.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" sentencepiece==0.2.3
python - <<'END'
import unicodedata

import sentencepiece

for rule in ("nfkc", "nmt_nfkc"):
    normalize = sentencepiece.SentencePieceNormalizer(
        rule_name=rule, add_dummy_prefix=False, escape_whitespaces=False
    ).normalize
    for text in ("q\u0307\u0323", "\u1e9b\u0323"):
        found, nfkc = normalize(text), unicodedata.normalize("NFKC", text)
        print(f"{rule}: {ascii(text)} -> {ascii(found)}, NFKC: {ascii(nfkc)}")
        assert found != nfkc, "this has changed"
    assert normalize("q\u0307\u0323") != normalize("q\u0323\u0307"), "this has changed"
END
