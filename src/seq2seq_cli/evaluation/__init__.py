"""Scores of translations, and what there is to see of a model.

- `scoring`: sacreBLEU: figures, intervals, comparisons
- `inspection`: parameters, cost, attention as numbers
- `plots`: figures and self-contained pages
"""
