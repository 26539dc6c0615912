#!/usr/bin/env bash
# The normaliser that `tokenizers` makes of a SentencePiece model loses combining marks.
#
# Models of SentencePiece carry a table of strings and their replacements, of which the longest that
# fits is taken at each position. `normalizers.Precompiled` takes a letter and its marks together: if
# the table has a replacement for their beginning, all of them are replaced by it, and the mark is
# gone (ª U+0301 becomes a, and á in SentencePiece). A sequence that the table has as such is not
# found where it is longer than what is taken together, or too long in bytes (ｶ U+3099, and the
# letters of Hangul). So what transformers' tokenizers of NLLB, mBART, XLM-R or T5 read is not what
# their SentencePiece model reads.
#
# Seen with tokenizers 0.23.3 and sentencepiece 0.2.3, for the rules nmt_nfkc.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" sentencepiece==0.2.3 tokenizers==0.23.3
python - <<'END'
import sentencepiece
import tokenizers

rules = sentencepiece.SentencePieceNormalizer(
    rule_name="nmt_nfkc", add_dummy_prefix=False, escape_whitespaces=False
)
spec = rules.serialized_normalizer_spec()  # field 1: the name, field 2: the table
start = spec.index(b"\x12", 2 + spec[1]) + 1
size = shift = 0
while True:
    byte = spec[start]
    start += 1
    size |= (byte & 0x7F) << shift
    shift += 7
    if byte < 0x80:
        break
table = tokenizers.normalizers.Precompiled(spec[start : start + size])

assert table.normalize_str("e\u0301ª") == rules.normalize("e\u0301ª") == "éa"
for text in ("ª\u0301", "Ａ\u0301", "①\u0301", "ﬁ\u0301", "ｶ\u3099", "\u1112\u1161\u11ab"):
    found, expected = table.normalize_str(text), rules.normalize(text)
    print(f"{text}  {ascii(text)} -> {ascii(found)}, SentencePiece: {ascii(expected)}")
    assert found != expected, "this has changed"
END
