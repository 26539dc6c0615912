"""CTranslate2 models (Klein et al. 2020).

- `model_file`: the file model.bin
- `names`: the names of weights in it and here
- `settings`: what its variables say about a model
- `vocabulary`: lists of pieces, and SentencePiece models beside it
- `weights`: its weights, under our names and in our order
- `positions`: how it encodes positions
- `engine`: CTranslate2 itself, to compare an imported run with it
- `reader`: CTranslate2 models as runs
- `readme`: the README of a CTranslate2 model
- `writer`: runs as CTranslate2 models
"""
