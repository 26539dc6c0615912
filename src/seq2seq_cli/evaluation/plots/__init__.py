"""Draws attention maps, training curves, scores by length, and trees in the states of a model.

- `fonts`: fonts that have the characters of a figure
- `figures`: figures, by matplotlib
- `geometry_figures`: trees beside embeddings, and senses of a word
- `page`: self-contained pages
- `files`: both as files, by the ending of their name
"""
