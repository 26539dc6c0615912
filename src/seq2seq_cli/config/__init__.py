"""Settings as frozen dataclasses, read from and written to strict TOML; free of torch.

To read it, begin with `settings`, then one of the sections.

- `settings`: from a dataclass to TOML and back, and the checks
- `docstrings`: the docstring under each field
- `data`: the section [data]
- `tokenizer`: the section [tokenizer]
- `models`: the section [model], for each architecture
- `relative_positions`: groups of distances between tokens
- `shapes`: names and shapes of the weights of each architecture
- `operations`: floating-point operations of a model
- `training`: the section [training]
- `documentation`: what users read about each setting
- `search`: options of search, and how much it does at a time
- `effects`: which settings have no effect under which others
- `auto`: rules of the preset auto
- `presets`: settings to begin with
"""
