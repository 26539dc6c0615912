"""Draws what inspection returns.

- `figures`: figures, by matplotlib
- `page`: self-contained pages
"""
