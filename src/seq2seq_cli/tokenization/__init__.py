"""Text to token ids and back.

- `subwords`: other segmentations of words, drawn at random
- `tokenizer`: SentencePiece: learned, encoding, decoding
"""
