"""The tables of all commands, by their names."""

from seq2seq_cli.config.effects.conditions import Effects
from seq2seq_cli.config.effects.inspect import (
    INSPECT_AGREEMENT,
    INSPECT_ATTENTION,
    INSPECT_CURVES,
    INSPECT_GEOMETRY,
    INSPECT_PROBE,
    INSPECT_STATES,
)
from seq2seq_cli.config.effects.score import COMPARE, SCORE
from seq2seq_cli.config.effects.tokenizer import TOKENIZER_DECODE, TOKENIZER_ENCODE, TOKENIZER_TRAIN
from seq2seq_cli.config.effects.train import TRAIN
from seq2seq_cli.config.effects.translate import LIKELIHOOD, TRANSLATE

AVERAGE = Effects(
    # The selections exclude each other.
    always=frozenset({"runs", "output", "last", "best", "updates"}),
    conditions=(),
)

COMMANDS = {
    "train": TRAIN,
    "translate": TRANSLATE,
    "score": SCORE,
    "compare": COMPARE,
    "likelihood": LIKELIHOOD,
    "inspect attention": INSPECT_ATTENTION,
    "inspect states": INSPECT_STATES,
    "inspect geometry": INSPECT_GEOMETRY,
    "inspect curves": INSPECT_CURVES,
    "inspect probe": INSPECT_PROBE,
    "inspect agreement": INSPECT_AGREEMENT,
    "average": AVERAGE,
    "tokenizer train": TOKENIZER_TRAIN,
    "tokenizer encode": TOKENIZER_ENCODE,
    "tokenizer decode": TOKENIZER_DECODE,
}
