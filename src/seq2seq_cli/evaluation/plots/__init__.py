"""Draws attention maps, training curves and scores by length.

- `figures`: figures, by matplotlib
- `page`: self-contained pages
- `files`: both as files, by the ending of their name
"""
