"""Options of `seq2seq score` and `seq2seq compare` that have no effect under others."""

from collections.abc import Callable
from pathlib import Path

from seq2seq_cli.config.effects.conditions import READING_OPTIONS, Condition, Effects, Values


def _without(*metrics: str) -> Callable[[Values], bool]:
    """The condition that --metrics names none of `metrics`."""
    return lambda values: (
        not any(name.strip().lower() in metrics for name in values["metrics"].split(","))
    )


METRIC_CONDITIONS = (
    Condition(("comet",), _without("comet"), "it is for COMET; add comet to --metrics"),
    Condition(
        ("comet_kiwi",), _without("comet-kiwi"), "it is for Kiwi; add comet-kiwi to --metrics"
    ),
    Condition(("tokenize",), _without("bleu"), "it is for BLEU; add bleu to --metrics"),
    Condition(
        ("lowercase",),
        _without("bleu", "spbleu", "chrf", "chrf++"),
        "it is for BLEU and chrF; add one of them to --metrics",
    ),
)

SCORE = Effects(
    always=READING_OPTIONS
    | {
        "reference",
        "hypothesis",
        "metrics",
        "as_sacrebleu",
        "compare",
        "by_length",
        "source",  # refused without --by-length or a model that reads it
        "plot",  # refused without --by-length
        "confidence",
        "sentences",
        "output_format",
    },
    conditions=(
        *METRIC_CONDITIONS,
        Condition(("chrf_word_order",), _without("chrf"), "it is for chrF; add chrf to --metrics"),
        Condition(
            ("ter_normalized", "ter_no_punct", "ter_asian", "ter_case_sensitive"),
            _without("ter"),
            "it is for TER; add ter to --metrics",
        ),
        Condition(
            ("ter_asian",),
            lambda values: not (values["ter_normalized"] or values["ter_no_punct"]),
            "it changes what --ter-normalized and --ter-no-punct do; add one of them",
        ),
        Condition(
            ("bucket",), lambda values: not values["by_length"], "it is for --by-length; add that"
        ),
    ),
)


def _has_no_run(values: Values) -> bool:
    """Whether none of the systems that are compared is a run folder: all are translations."""
    paths = [path for each in values["systems"] for path in (each, each.partition("=")[2])]
    return not any(path and Path(path).is_dir() for path in paths)


COMPARE = Effects(
    always=READING_OPTIONS
    | {
        "systems",
        "reference",
        "source",
        "training_text",
        "output",
        "baseline",
        "metrics",
        "samples",
        "seed",
        "bucket",
    },
    conditions=(
        *METRIC_CONDITIONS,
        Condition(
            ("beam", "threads"), _has_no_run, "all systems are files, and nothing is searched"
        ),
        Condition(
            ("lines",),
            lambda values: (
                bool(values["output"])
                and all(str(path).endswith(".tex") for path in values["output"])
            ),
            "LaTeX has tables only",
        ),
    ),
)
