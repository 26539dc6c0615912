"""Settings as frozen dataclasses, read from and written to strict TOML.

- `settings`: the sections of a settings file, and their checks
- `presets`: settings to begin with
"""
