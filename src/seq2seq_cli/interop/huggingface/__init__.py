"""Folders of Hugging Face's transformers.

- `files`: JSON, weights, the README's licence
- `weights`: its names of weights
- `config`: its settings of models and search
- `t5`: settings and weights of T5, mT5 and MADLAD-400
- `sentencepiece`: SentencePiece models made of tokenizer.json, and back
- `vocabulary`: its vocabularies and SentencePiece models
- `engine`: translates with transformers, to compare
- `reader`: reads MarianMT, M2M-100, NLLB, mBART-50, T5 and MADLAD-400
- `card`: the model card of a run
- `exported`: a run as a folder holds it
- `marian_writer`: runs as MarianMT
- `t5_writer`: runs with relative positions as T5
- `writer`: the folder of a run
"""
