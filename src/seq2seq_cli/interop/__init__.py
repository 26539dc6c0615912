"""Models in the formats of other engines.

A format is a package, or a file, with the functions of `formats.FormatModule`; what several formats
share stands beside them. To add one, see CONTRIBUTING.md.

- `foreign_model`: a model of another engine, as readers hand it on
- `run_weights`: the weights of a run, as writers write them
- `search_notes`: what exports say of the search of other engines
- `position_tables`: which sinusoids a stored table of positions is
- `ctranslate2`: CTranslate2's model.bin, to runs and from them
- `argos`: packages of Argos Translate as runs
- `marian`: Marian's npz files, and releases of OPUS-MT, to runs and from them
- `huggingface`: folders of Hugging Face to runs, and runs as MarianMT and T5
- `firefox`: models of Firefox and Bergamot, to runs and from them
- `run_writer`: run folders from models of other engines
- `archives`: unpacks zip archives of strangers
- `hub`: the Hugging Face hub
- `formats`: the formats, in the order in which they are recognised
"""
