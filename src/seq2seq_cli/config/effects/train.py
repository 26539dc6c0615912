"""Which settings and options have no effect under which others.

Every setting, and every option of the commands in COMMANDS, is named here: among those that always
have an effect (or are refused where they have none), or in a condition under which it has
none. `tests/unit/test_effects.py` fails for one that is missing. Settings are written as
`section.key`, options of `train` that are not settings as `--option`, and those of the other
commands as the parameters of their functions.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from seq2seq_cli.deferred import dataclass

Values = Mapping[str, Any]  # name -> value; what is not known yet is not there


@dataclass(frozen=True)
class Condition:
    """When some settings have no effect, and why."""

    names: tuple[str, ...]
    holds: Callable[[Values], bool]  # a value that is not known raises KeyError
    reason: str


@dataclass(frozen=True)
class Caution:
    """What is worth saying if one of some settings is given, and when."""

    names: tuple[str, ...]
    holds: Callable[[Values], bool]
    sentence: str


@dataclass(frozen=True)
class Effects:
    """The conditions for all settings of one command."""

    always: frozenset[str]
    conditions: tuple[Condition, ...]
    cautions: tuple[Caution, ...] = ()

    def sentences(
        self,
        given: Collection[str],
        values: Values,
        write: Callable[[str], str] = lambda name: name,
    ) -> Iterator[str]:
        """Say which of the settings that were given have no effect, each once.

        `given` are those with another value than they would have anyway; `write` is how messages
        write the name of a setting.
        """
        told = set[str]()
        for condition in self.conditions:
            names = [name for name in condition.names if name in given and name not in told]
            if names and _holds(condition.holds, values):
                told.update(names)
                yield from (f"{write(name)} has no effect: {condition.reason}" for name in names)
        for caution in self.cautions:
            if any(name in given for name in caution.names) and _holds(caution.holds, values):
                yield caution.sentence

    def names(self) -> set[str]:
        """All settings that are named here."""
        return set(self.always).union(*(condition.names for condition in self.conditions))


def _holds(condition: Callable[[Values], bool], values: Values) -> bool:
    try:
        return condition(values)
    except KeyError:  # what is chosen later, such as by the preset auto
        return False


# Training


def _has_one_corpus(values: Values) -> bool:
    """Whether there is one corpus; texts of different numbers on both sides make up one."""
    source, target = values["data.source"], values["data.target"]
    return len(source) == 1 or len(source) != len(target)


def _has_two_vocabularies(values: Values) -> bool:
    source, target = values["data.source_tokenizer"], values["data.target_tokenizer"]
    if source:
        return bool(source != target)
    return not values["data.joint_vocabulary"] and not values["training.init_from"]


def _ends_before_patience(values: Values) -> bool:
    patience, most = values["training.patience"], values["training.max_updates"]
    return bool(0 < most <= (patience + 1) * values["training.validate_every"]) and patience > 0


def _has_other(name: str, key: str, *others: object) -> Callable[[Values], bool]:
    """Whether a model of this architecture has another value of this setting than those."""
    return lambda values: (
        values["model.architecture"] == name and values[f"model.{key}"] not in others
    )


LEARNED_TOKENIZER = (
    "data.joint_vocabulary",
    "tokenizer.vocabulary_size",
    "tokenizer.model_type",
    "tokenizer.character_coverage",
    "tokenizer.source_normalization",
    "tokenizer.target_normalization",
    "tokenizer.lowercase",
    "tokenizer.casing",
    "tokenizer.byte_fallback",
    "tokenizer.user_symbols",
    "tokenizer.split_digits",
    "tokenizer.seed",
)

TRAIN = Effects(
    always=frozenset(
        {
            "data.source",
            "data.target",
            "data.valid_source",
            "data.valid_target",
            "data.encoding",
            "data.delimiter",
            "data.as_text",
            "data.source_tokenizer",
            "data.target_tokenizer",
            "data.alignments",  # refused without training.guided_alignment
            "data.max_length",
            "data.max_length_ratio",
            "data.join_sentences",
            "data.source_language",
            "data.source_eos",
            "data.source_prefix",
            "data.language_tags",
            "data.subword_sampling",  # refused with tokenizers that know one segmentation
            "data.stream",
            "tokenizer.languages",
            "model.architecture",
            "model.width",
            "model.dropout",
            "model.tie_output",
            "model.output_bias",
            "model.copy_attention",
            "model.cell",
            "model.units",
            "model.encoder_layers",
            "model.decoder_layers",
            "model.bidirectional",
            "model.context",
            "model.reverse_source",
            "model.score",
            "model.scope",
            "model.input_feeding",
            "model.channels",
            "model.kernel",
            "model.feed_forward",
            "model.head_width",
            "model.linear_bias",
            "model.norm",
            "model.normalisation",
            "model.norm_epsilon",
            "model.activation",
            "model.scale_embeddings",
            "model.embedding_norm",
            "model.zero_start",
            "model.positions",
            "model.decoder_attention",
            "model.alignment_layer",
            "model.alignment_head",
            "model.attention_dropout",
            "model.activation_dropout",
            "model.layer_dropout",
            "training.init_from",
            "training.init_sha256",  # refused without training.init_from
            "training.add_languages",  # refused without it too, and with tokenizers that are given
            "training.add_pieces",
            "training.freeze",
            "training.seed",
            "training.batch_tokens",
            "training.accumulate",
            "training.micro_batch_tokens",
            "training.activation_checkpointing",
            "training.torch_compile",
            "training.tensorboard",
            "training.wandb",
            "training.precision",
            "training.learning_rate",
            "training.schedule",
            "training.warmup_updates",
            "training.weight_decay",
            "training.beta1",
            "training.beta2",
            "training.epsilon",
            "training.clip_norm",
            "training.label_smoothing",
            "training.r_drop",  # refused without dropout
            "training.guided_alignment",  # refused without data.alignments
            "training.word_dropout",
            "training.ema_decay",
            "training.max_updates",
            "training.max_epochs",
            "training.max_minutes",
            "training.checkpoint_every",
            "training.validate_every",
            "training.valid_beam",
            "training.valid_samples",
            "training.bleu_tokenize",
            "training.stop_metric",
            "training.stop_score",
            "training.average",
            "training.average_every",  # refused with training.average = "best"
            "--output",
            "--preset",
            "--config",
            "--set",
            "--restart",
            "--accept-data",
            "--processes",
            "--device",
            "--threads",
            "--quiet",
        }
    ),
    conditions=(
        Condition(
            LEARNED_TOKENIZER,
            lambda values: bool(values["data.source_tokenizer"]),
            "a tokenizer is given with --source-tokenizer",
        ),
        Condition(
            LEARNED_TOKENIZER,
            lambda values: bool(values["training.init_from"]),
            "the tokenizers are those of --init-from; others are given with --source-tokenizer and "
            "--target-tokenizer",
        ),
        Condition(
            ("tokenizer.split_digits",),
            lambda values: values["tokenizer.model_type"] == "char",
            'every character is a piece with tokenizer.model_type = "char"',
        ),
        Condition(
            ("data.weights", "data.temperature"),
            _has_one_corpus,
            "there is one corpus, and it is not mixed with others",
        ),
        Condition(
            ("data.stream_pairs",),
            lambda values: not values["data.stream"],
            "it is for streams; add --stream",
        ),
        Condition(
            ("--cache",),
            lambda values: bool(values["data.stream"]),
            "a stream is not stored",
        ),
        Condition(
            ("model.tie_source",),
            _has_two_vocabularies,
            "each side has a vocabulary of its own, and embeddings of its own",
        ),
        Condition(
            ("model.window",),
            _has_other("attention-rnn", "scope", "local-m", "local-p"),
            'it is for model.scope = "local-m" or "local-p"',
        ),
        Condition(
            ("model.heads",),
            _has_other("attention-rnn", "score", "multi-head"),
            'it is for model.score = "multi-head"',
        ),
        Condition(
            ("model.location_length",),
            _has_other("attention-rnn", "score", "location-base"),
            'it is for model.score = "location-base"',
        ),
        Condition(
            ("model.max_positions",),
            _has_other("transformer", "positions", "learned"),
            'it is for model.positions = "learned"',
        ),
        Condition(
            ("model.position_buckets", "model.position_distance"),
            _has_other("transformer", "positions", "relative"),
            'they are for model.positions = "relative"',
        ),
        Condition(
            ("model.sinusoids", "model.first_position"),
            _has_other("transformer", "positions", "sinusoidal"),
            'they are for model.positions = "sinusoidal"',
        ),
        Condition(
            ("training.exchange_precision", "training.shard"),
            lambda values: values["--processes"] == 1,
            "one process trains alone, with nothing to exchange or to divide; add --processes",
        ),
        Condition(
            ("training.patience",),
            _ends_before_patience,
            "training.max_updates ends training before there are so many validations, one every "
            "training.validate_every updates",
        ),
        Condition(
            ("training.average_count",),
            lambda values: (
                values["training.average"] == "none" and values["training.average_every"] == 0
            ),
            'nothing is averaged or saved for it with training.average = "none" and without '
            "training.average_every",
        ),
    ),
    cautions=(
        Caution(
            ("training.freeze",),
            lambda values: not values["training.init_from"],
            "training.freeze without --init-from leaves these weights as they were drawn at random",
        ),
    ),
)


# Translating


def _ranks_nothing(values: Values) -> bool:
    """Whether scores are neither written nor compared."""
    return bool(values["beam"] == 1 or values["sample"]) and values["format_"] == "text"


RANKING = "there is one hypothesis a line, so that nothing is ranked, and text has no scores"

ONE_RUN = Condition(
    ("weights",), lambda values: len(values["runs"]) == 1, "there is one run, no ensemble"
)

TRANSLATE = Effects(
    always=frozenset(
        {
            "runs",
            "input_",
            "encoding",
            "delimiter",
            "as_text",
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
        }
    ),
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


# Scoring


def _without(*metrics: str) -> Callable[[Values], bool]:
    """Whether none of these metrics is computed."""
    return lambda values: (
        not any(name.strip().lower() in metrics for name in values["metrics"].split(","))
    )


OF_METRICS = (
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
    always=frozenset(
        {
            "reference",
            "hypothesis",
            "encoding",
            "delimiter",
            "as_text",
            "metrics",
            "as_sacrebleu",
            "compare",
            "by_length",
            "source",  # refused without --by-length or a model that reads it
            "plot",  # refused without --by-length
            "confidence",
            "sentences",
            "output_format",
        }
    ),
    conditions=(
        *OF_METRICS,
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


# Other commands

READING = frozenset({"encoding", "delimiter", "as_text"})


def _has_no_run(values: Values) -> bool:
    """Whether all systems are files."""
    places = [place for each in values["systems"] for place in (each, each.partition("=")[2])]
    return not any(place and Path(place).is_dir() for place in places)


COMPARE = Effects(
    always=READING
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
        *OF_METRICS,
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

LIKELIHOOD = Effects(
    always=READING
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

GIVEN_TARGET = Condition(
    ("beam",),
    lambda values: values["target"] is not None,
    "the translations are given with --target, and nothing is searched",
)

INSPECT_ATTENTION = Effects(
    always=READING | {"run", "input_", "target", "output", "threads"},
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
    always=READING
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
    always=READING
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
    always=READING | {"run", "other", "input_", "output_format", "threads"}, conditions=()
)

INSPECT_CURVES = Effects(always=frozenset({"runs", "over", "output"}), conditions=())

AVERAGE = Effects(
    # The selections exclude each other.
    always=frozenset({"runs", "output", "last", "best", "updates"}),
    conditions=(),
)

TOKENIZER_TRAIN = Effects(
    always=READING
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
    always=READING | {"model", "ids", "side", "input", "output"}, conditions=()
)

TOKENIZER_DECODE = Effects(always=frozenset({"model", "ids", "input", "output"}), conditions=())

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
