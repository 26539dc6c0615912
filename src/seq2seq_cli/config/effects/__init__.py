"""Which settings and options have no effect under which others.

- `train`: the tables of all commands
"""
