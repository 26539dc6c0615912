"""Lines in, lines out: tokenizers, models and search together.

- `results`: translations of lines, and how they are written
- `long_lines`: splits lines that are longer than a model reads
- `languages`: the language that a line is to be translated into
- `word_alignment`: alignments of words, from attention
- `translator`: lines to translations
- `likelihood`: how likely given translations are
"""
