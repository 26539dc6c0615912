"""The four control symbols that every vocabulary begins with, and how its pieces are written."""

import re

PAD = 0
UNK = 1
BOS = 2
EOS = 3

PIECES = {PAD: "<pad>", UNK: "<unk>", BOS: "<s>", EOS: "</s>"}

# Output bias of pieces that a model has only to read: it cannot write them.
NEVER = -1e9

WORD_START = "\u2581"  # SentencePiece begins the first piece of each word with it
BYTE = re.compile("<0x([0-9A-F]{2})>")  # a piece that stands for a byte of a character without one
