"""Folders of Hugging Face's transformers.

- `files`: JSON, weights, the README's licence
- `weights`: its names of weights
- `config`: its settings of models and search
- `sentencepiece`: SentencePiece models made of tokenizer.json
- `vocabulary`: its vocabularies and SentencePiece models
- `engine`: translates with transformers, to compare
- `reader`: reads MarianMT, M2M-100, NLLB and mBART-50
- `card`: the model card of a run
- `writer`: runs as folders of MarianMT
"""
