"""The four symbols that every vocabulary begins with, and their ids."""

PAD = 0
UNK = 1
BOS = 2
EOS = 3

PIECES = {PAD: "<pad>", UNK: "<unk>", BOS: "<s>", EOS: "</s>"}
