"""Two text files in, a working translator in the shell out.

Importing the package imports nothing heavy; the pipe is in the modules, see README.md.
"""

__version__ = "0.1.0"
