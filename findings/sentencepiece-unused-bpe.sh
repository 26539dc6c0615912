#!/usr/bin/env bash
# An unused piece of a BPE model changes how text is cut, though it is in no result.
#
# Unigram passes over pieces of type UNUSED. BPE merges two symbols into an unused piece as into any
# other, goes on from there to longer pieces, and splits only what is unused in the end. So a piece that
# is added as unused, to keep an id for it, makes other pieces come up, whatever its score.
#
# Seen with sentencepiece 0.2.3: with the pieces bc and abcd, "abcd" is cut into a bc d; with abc beside
# them, unused and with the lowest score, into abcd.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" sentencepiece==0.2.3 protobuf==7.36.1
python - "$folder/model" <<'END'
import sys

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(["ab cd bc"] * 30),
    model_prefix=sys.argv[1],
    model_type="bpe",
    vocab_size=12,
    hard_vocab_limit=False,
    minloglevel=2,
)
found = {}
for unused in ((), ("abc",)):
    model = sentencepiece_model_pb2.ModelProto()
    with open(sys.argv[1] + ".model", "rb") as stream:
        model.ParseFromString(stream.read())
    del model.pieces[3:]  # all but the symbols
    for rank, piece in enumerate(["bc", "abcd", "▁", "a", "b", "c", "d"]):
        model.pieces.add(piece=piece, score=-1.0 - rank)
    for piece in unused:
        model.pieces.add(piece=piece, score=-100.0, type=5)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())
    found[unused] = processor.encode("abcd", out_type=str)
    print(f"unused pieces {list(unused)}: {found[unused]}")
assert found[()] == ["▁", "a", "bc", "d"], "this has changed"
assert found[("abc",)] == ["▁", "abcd"], "this has changed"
END
