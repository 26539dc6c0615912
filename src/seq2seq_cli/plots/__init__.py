"""Draws what inspection returns, as figures (matplotlib) and as self-contained pages."""
