"""Draws attention maps, training curves and scores by length.

- `fonts`: fonts that have the characters of a figure
- `figures`: figures, by matplotlib
- `page`: self-contained pages
- `files`: both as files, by the ending of their name
"""
