"""Models in the formats of other engines.

- `ctranslate2`: runs as CTranslate2 models
"""
