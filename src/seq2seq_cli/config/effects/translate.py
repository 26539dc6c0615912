"""Options of `seq2seq translate` and `seq2seq likelihood` that have no effect under others."""

from seq2seq_cli.config.effects.conditions import READING_OPTIONS, Condition, Effects, Values


def _ranks_nothing(values: Values) -> bool:
    """Whether the scores of hypotheses are neither written to the output nor used to rank them."""
    return bool(values["beam"] == 1 or values["sample"]) and values["format_"] == "text"


RANKING = "there is one hypothesis a line, so that nothing is ranked, and text has no scores"

ONE_RUN = Condition(
    ("weights",), lambda values: len(values["runs"]) == 1, "there is one run, no ensemble"
)

TRANSLATE = Effects(
    always=READING_OPTIONS
    | {
        "runs",
        "input_",
        "output",
        "format_",
        "alignment",
        "prefix",
        "target_language",
        "split_sentences",
        "no_split_sentences",
        "source_language",  # lines that are too long are split by its rules too
        "unknown",
        "n_best",  # refused with --format text
        "repetition_penalty",
        "no_repeat_ngram",
        "min_ratio",
        "max_ratio",
        "max_extra",
        "sample",
        "top_k",  # refused without --sample, as are the others for sampling
        "precision",
        "shortlist",
        "batch_tokens",
        "workers",
        "processes",
        "device",
        "threads",
    },
    conditions=(
        ONE_RUN,
        Condition(
            ("beam",), lambda values: values["sample"], "--sample draws tokens and keeps no beam"
        ),
        Condition(("length_penalty", "alpha", "coverage_penalty"), _ranks_nothing, RANKING),
        Condition(
            ("temperature", "top_p", "seed"),
            lambda values: not values["sample"] or values["top_k"] == 1,
            "with --top-k 1 there is one token to draw from",
        ),
    ),
)

LIKELIHOOD = Effects(
    always=READING_OPTIONS
    | {
        "runs",
        "source",
        "target",
        "format_",
        "pieces",
        "source_language",
        "target_language",
        "precision",
        "batch_tokens",
        "device",
        "threads",
    },
    conditions=(ONE_RUN,),
)
