"""Marian's models (Junczys-Dowmunt et al. 2018), whose options and names Firefox's have too.

- `npz`: NumPy's files of several arrays, without pickles
- `options`: the options that describe a model to Marian
- `weights`: Marian's names and layouts of weights
- `model`: a model of Marian's family from its parts, and out of a run
- `vocabulary`: SentencePiece models and lists of pieces
- `files`: which files make up a model
- `binary`: Marian's binary container of weights
- `engine`: translates with Marian, to compare
- `reader`: npz files with their vocabularies, and releases of OPUS-MT
- `writer`: runs as npz files
"""
