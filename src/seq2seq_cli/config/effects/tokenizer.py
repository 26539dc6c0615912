"""Options of the commands of `seq2seq tokenizer` that have no effect under others."""

from seq2seq_cli.config.effects.conditions import READING_OPTIONS, Condition, Effects

TOKENIZER_TRAIN = Effects(
    always=READING_OPTIONS
    | {
        "texts",
        "output",
        "vocab_size",
        "model_type",
        "coverage",
        "lowercase",
        "byte_fallback",
        "symbol",
        "casing",
        "source_normalization",
        "target_normalization",
        "language",
        "seed",
        "force",
    },
    conditions=(
        Condition(
            ("split_digits",),
            lambda values: values["model_type"] == "char",
            "every character is a piece with --model-type char",
        ),
    ),
)

TOKENIZER_ENCODE = Effects(
    always=READING_OPTIONS | {"model", "ids", "side", "input", "output"}, conditions=()
)

TOKENIZER_DECODE = Effects(always=frozenset({"model", "ids", "input", "output"}), conditions=())
