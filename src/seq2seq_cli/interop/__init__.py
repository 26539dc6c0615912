"""Models in the formats of other engines.

- `ctranslate2_readme`: the README of a CTranslate2 model
- `ctranslate2`: runs as CTranslate2 models
"""
