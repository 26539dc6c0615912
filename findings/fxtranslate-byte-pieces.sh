#!/usr/bin/env bash
# Pieces that stand for bytes are written as their names, not as the characters that the bytes make.
#
# Vocabularies with byte fallback, as Firefox's have, spell a character without a piece of its own in
# bytes: <0xE2> <0x82> <0xAC> for the euro sign. SentencePiece decodes them to the character.
#
# Seen with fxtranslate 0.5.0, with a model of one layer whose output bias makes it write such pieces.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" fxtranslate==0.5.0 sentencepiece==0.2.3 numpy
cat >"$folder/run.py" <<'END'
import io
import struct

import fxtranslate
import numpy as np
import sentencepiece

model = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(["a b c d"] * 10), model_writer=model, vocab_size=266, unk_id=1, eos_id=0,
    bos_id=-1, pad_id=-1, byte_fallback=True, hard_vocab_limit=False, minloglevel=2,
)  # fmt: skip
vocabulary = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
size, width = -(-len(vocabulary) // 8) * 8, 16
piece = vocabulary.piece_to_id("<0x41>")  # the letter A

weights = {"Wemb": np.zeros((size, width)), "decoder_ff_logit_out_b": np.zeros((1, size))}
weights["decoder_ff_logit_out_b"][0, piece] = 9


def attention(name):
    for letter in "qkvo":
        weights[f"{name}_W{letter}"], weights[f"{name}_b{letter}"] = np.zeros((width, width)), zeros()
    norm(f"{name}_Wo")


def feed_forward(name):
    for number in "12":
        weights[f"{name}_W{number}"], weights[f"{name}_b{number}"] = np.zeros((width, width)), zeros()
    norm(f"{name}_ffn")


def norm(name):
    weights[f"{name}_ln_scale"], weights[f"{name}_ln_bias"] = zeros() + 1, zeros()


def zeros():
    return np.zeros((1, width))


attention("encoder_l1_self")
feed_forward("encoder_l1_ffn")
weights |= {"decoder_l1_rnn_W": np.zeros((width, width)), "decoder_l1_rnn_Wf": np.zeros((width, width))}
weights["decoder_l1_rnn_bf"] = zeros()
norm("decoder_l1_rnn_ffn")
attention("decoder_l1_context")
feed_forward("decoder_l1_ffn")

options = f"dim-emb: {width}\nenc-depth: 1\ndec-depth: 1\ntransformer-heads: 1\n"
options += f"transformer-dim-ffn: {width}\ndim-vocabs:\n- {size}\n- {size}\n"
items = [(name, 0x404, array.shape, array.astype("<f4").tobytes()) for name, array in weights.items()]
items.append(("special:model.yml", 0x101, (len(options) + 1,), options.encode() + b"\0"))
data = [content + bytes(-len(content) % 256) for *_, content in items]
file = struct.pack("<QQ", 1, len(items))
for (name, kind, shape, _), content in zip(items, data, strict=True):
    file += struct.pack("<4Q", len(name) + 1, kind, len(shape), len(content))
file += b"".join(name.encode() + b"\0" for name, *_ in items)
file += b"".join(struct.pack(f"<{len(shape)}i", *shape) for _, _, shape, _ in items)
file += struct.pack("<Q", -(len(file) + 8) % 256) + bytes(-(len(file) + 8) % 256) + b"".join(data)

found = fxtranslate.Translator(file, model.getvalue(), model.getvalue()).translate("a")
print(f"fxtranslate    {found[:12]}...")
print(f"SentencePiece  {vocabulary.decode([piece, piece])}...")
assert found.startswith("<0x41><0x41>")
assert vocabulary.decode([piece, piece]) == "AA"
END
python "$folder/run.py"
