"""Errors that are the user's to mend: the command line prints their message, never a traceback.

A message names what was given, what is allowed and how to mend it.
"""


class Seq2seqError(Exception):
    """The work began and failed: a full disk, a loss that is no number."""

    exit_code = 1


class InputError(Seq2seqError):
    """Wrong usage or wrong input: a missing file, an unknown key, a damaged run folder."""

    exit_code = 2
