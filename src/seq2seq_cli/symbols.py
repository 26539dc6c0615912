"""The four control symbols that every vocabulary begins with, and the mark of a word's start."""

PAD = 0
UNK = 1
BOS = 2
EOS = 3

PIECES = {PAD: "<pad>", UNK: "<unk>", BOS: "<s>", EOS: "</s>"}

WORD_START = "\u2581"  # SentencePiece begins the first piece of each word with it
