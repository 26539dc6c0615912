"""The docstrings under the fields of settings, which document them.

A docstring has a summary in one sentence; then, if there is more to say, further paragraphs; and
last, if there are any, the papers, in a paragraph that begins with "Paper:". It is read from the
source of the class, since Python does not keep it.
"""

import ast
import inspect
import sys
from functools import cache
from itertools import pairwise

from seq2seq_cli.config.settings import Section

PAPER = "Paper: "


def field_docstrings(kind: type) -> dict[str, str]:
    """Field -> the string that stands under it, in the source of this class alone."""
    found = {}
    for statement, below in pairwise(_classes(kind.__module__)[kind.__name__].body):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            match below:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    found[statement.target.id] = text
    return found


@cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    """The classes of a module by name, as its source defines them."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def summary(kind: type[Section], name: str) -> str:
    """The first sentence about a setting, for the help of an option that sets it."""
    return paragraphs_of(field_docstrings(kind)[name])[0]


def meaning(kind: type[Section], name: str) -> str:
    """All that is said about a setting but the papers, on one line."""
    paragraphs = paragraphs_of(field_docstrings(kind)[name])
    return " ".join(each for each in paragraphs if not each.startswith(PAPER))


def paragraphs_of(text: str) -> list[str]:
    """The paragraphs of a docstring, each on one line."""
    return [" ".join(each.split()) for each in inspect.cleandoc(text).split("\n\n")]
