"""The four symbols that every vocabulary begins with, and their ids; the tags of languages."""

PAD = 0
UNK = 1
BOS = 2
EOS = 3

PIECES = {PAD: "<pad>", UNK: "<unk>", BOS: "<s>", EOS: "</s>"}


def tag(language: str) -> str:
    """What a source line begins with to be translated into a language (Johnson 2017)."""
    return f"<2{language}>"
