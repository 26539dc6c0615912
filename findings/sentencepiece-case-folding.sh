#!/usr/bin/env bash
# SentencePiece's normalisation rules with case folding leave ß, ẞ and İ.
#
# nmt_nfkc_cf and nfkc_cf lower most letters, but full case folding (Unicode CaseFolding.txt, str.casefold)
# also makes ß and ẞ to ss, and İ to i with a dot above. So STRASSE and straße stay two words,
# while ẞ becomes ß, and İ stays a capital.
#
# Seen with sentencepiece 0.2.3: STRASSE -> strasse, straße -> straße, STRAẞE -> straße, İ -> İ.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" sentencepiece==0.2.3
python - "$folder/model" <<'END'
import sys

import sentencepiece

lines = ["STRASSE straße STRAẞE İstanbul"] * 50 + ["the quick brown fox jumps over a lazy dog"] * 50
for rule in ("nmt_nfkc_cf", "nfkc_cf"):
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_prefix=sys.argv[1],
        vocab_size=60,
        hard_vocab_limit=False,
        normalization_rule_name=rule,
        minloglevel=2,
    )
    normalizer = sentencepiece.SentencePieceNormalizer(model_file=sys.argv[1] + ".model")
    found = [normalizer.normalize(word).strip("▁") for word in ("STRASSE", "straße", "STRAẞE", "İ")]
    print(f"{rule}: {' '.join(found)}")
    assert found == ["strasse", "straße", "straße", "İ"], "this has changed"
END
