"""Lines in, lines out: tokenizers, models and search together.

- `translator`: lines to translations
- `likelihood`: how likely given translations are
"""
