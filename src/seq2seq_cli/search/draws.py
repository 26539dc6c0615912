"""The random numbers that translations are drawn by.

The draws for a line depend only on the seed and the line's number: each hypothesis has a random
generator of its own, so that neither the batch nor its order changes them.
"""

import hashlib
from random import Random

from seq2seq_cli.config.search import SearchOptions


def random_for(options: SearchOptions, number: int, draw: int) -> Random:
    """Make the random generator of one hypothesis, seeded by all bits of a hash."""
    digest = hashlib.sha256(f"{options.seed} {number} {draw}".encode()).digest()
    return Random(int.from_bytes(digest, "big"))
