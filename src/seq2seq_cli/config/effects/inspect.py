"""Options of the commands of `seq2seq inspect` that have no effect under others."""

from seq2seq_cli.config.effects.conditions import READING_OPTIONS, Condition, Effects

GIVEN_TARGET = Condition(
    ("beam",),
    lambda values: values["target"] is not None,
    "the translations are given with --target, and nothing is searched",
)

INSPECT_ATTENTION = Effects(
    always=READING_OPTIONS | {"run", "input_", "target", "output", "threads"},
    conditions=(
        GIVEN_TARGET,
        Condition(
            ("layer", "head"),
            lambda values: str(values["output"]).endswith((".html", ".json")),
            "HTML and JSON have all layers and heads",
        ),
    ),
)

INSPECT_STATES = Effects(
    always=READING_OPTIONS
    | {
        "run",
        "input_",
        "target",
        "output",
        "only",
        "target_language",
        "source_language",
        "threads",
    },
    conditions=(GIVEN_TARGET,),
)

INSPECT_GEOMETRY = Effects(
    always=READING_OPTIONS
    | {
        "run",
        "input_",
        "target",
        "page",
        "trees",
        "target_trees",  # refused without --target
        "target_language",
        "source_language",
        "threads",
    },
    conditions=(GIVEN_TARGET,),
)

INSPECT_PROBE = Effects(
    always=frozenset(
        {"run", "trees", "source", "sentences", "rank", "output_format", "output", "threads"}
    ),
    conditions=(
        Condition(
            ("sentence",),
            lambda values: values["output"] is None,
            "nothing is drawn without --output",
        ),
    ),
)

INSPECT_AGREEMENT = Effects(
    always=READING_OPTIONS | {"run", "other", "input_", "output_format", "threads"}, conditions=()
)

INSPECT_CURVES = Effects(always=frozenset({"runs", "over", "output"}), conditions=())
