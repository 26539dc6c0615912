"""Settings of training that have no effect under others, and the options of `seq2seq train`."""

from collections.abc import Callable

from seq2seq_cli.config.effects.conditions import Caution, Condition, Effects, Values


def _has_one_corpus(values: Values) -> bool:
    """Whether the training text is one corpus.

    Files pair up into a corpus each; where the sides have different numbers of files, all of them
    are one corpus.
    """
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
    """The condition that the architecture is `name` and its setting `key` is none of `others`."""
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
