"""Models in the formats of other engines.

- `foreign_model`: a model of another engine, as readers hand it on
- `position_tables`: which sinusoids a stored table of positions is
- `ctranslate2_file`: the file model.bin of CTranslate2
- `ctranslate2_names`: the names of weights in it and here
- `ctranslate2_settings`: what its variables say about a model
- `ctranslate2_vocabulary`: lists of pieces, and SentencePiece models beside it
- `ctranslate2`: CTranslate2 models as runs
- `ctranslate2_readme`: the README of a CTranslate2 model
- `ctranslate2_writer`: runs as CTranslate2 models
- `argos`: packages of Argos Translate as runs
- `npz`: NumPy's files of several arrays, without pickles
- `marian_options`: the options that describe a model to Marian
- `marian_weights`: Marian's names and layouts of weights, which Firefox's models have too
- `marian_model`: a model of Marian's family from its parts, and out of a run
- `marian_vocabulary`: vocabularies of Marian: SentencePiece models and lists of pieces
- `marian_files`: which files make up a model of Marian
- `marian`: Marian's npz files with their vocabularies, and releases of OPUS-MT
- `run_writer`: run folders from models of other engines
- `archives`: unpacks zip archives of strangers
- `hub`: the Hugging Face hub
- `huggingface_engine`: translates with transformers, to compare
- `formats`: the formats, in the order in which they are recognised
"""
