"""Two text files in, a working translator in the shell out.

The program is one pipe, and the packages are its stages. A file imports only from those above it;
the docstring of each package lists its files in the same order.

- `deferred`: what is compiled when it is first used
- `errors`: errors that the user can mend
- `messages`: what messages share
- `symbols`: the control symbols that every vocabulary begins with
- `whole_files`: files that are replaced in one step
- `encodings`: bytes to UTF-8, and lines that are broken
- `inputs`: files, pipes and standard input as blocks of UTF-8
- `read_ahead`: lines from the thread that reads them
- `text`: lines in and out
- `padding`: sentences of different lengths in one tensor
- `devices`: CPU, CUDA, MPS; precision; threads
- `launching`: several processes of one command
- `config`: settings and presets, from and to TOML
- `tokenization`: text to token ids and back
- `data`: parallel text to batches of token ids
- `kernels`: compiled functions, optional
- `models`: one interface, a file for each architecture
- `inference`: models made ready for search on a CPU
- `runs`: the run folder
- `interop`: models in the formats of other engines, a folder for each
- `search`: beam search, sampling, constraints, ensembles
- `translation`: lines to lines
- `evaluation`: scores, attention and cost of a model, pictures
- `training`: from settings to a trained run folder
- `demo`: a parallel corpus from an English-German grammar
- `cli`: one file for each command; only this prints and exits
- `__main__`: python -m seq2seq_cli
"""

__version__ = "0.1.0"
