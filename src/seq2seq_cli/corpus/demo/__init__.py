"""The demo corpus: English-German sentence pairs drawn from a synchronous grammar.

A sentence is drawn once as an abstract structure and spoken in both languages, so that the German
is a function of the English. `generate` is all that the rest of the program needs.
"""

from .splits import DemoSplits, generate

__all__ = ["DemoSplits", "generate"]
