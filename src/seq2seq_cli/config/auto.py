"""The preset auto: settings of model and training by the amount of text and the time there is.

A rule reads the points between which it interpolates from a table below; each names the published
training that it follows, or the recipe that measured it (recipes/README.md). Nothing here needs
torch: `training/planning/auto_planner.py` measures speed and applies the rules.
"""

import math

from seq2seq_cli.config.settings import Table
from seq2seq_cli.deferred import dataclass

NAME = "auto"

# Settings that are chosen unless they are given.
MODEL = frozenset(
    f"model.{name}"
    for name in ("width", "heads", "feed_forward", "encoder_layers", "decoder_layers", "dropout")
)
TRAINING = frozenset(
    f"training.{name}"
    for name in ("batch_tokens", "learning_rate", "max_updates", "warmup_updates", "validate_every")
)
LENGTH = frozenset({"training.max_updates"})
SCHEDULE = "training.schedule"  # is always linear, but for a run that began with another

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Size:
    """Width and depth of a Transformer, and the amount of text and training that it is for."""

    width: int
    layers: int  # of the encoder, and of the decoder
    heads: int
    feed_forward: int
    least_pairs: int
    # Target tokens that it must be trained on to be better than a smaller one: on as many tokens,
    # and in as many minutes, in which the smaller one sees several times as many.
    least_tokens: int
    least_tokens_in_time: int


# The largest first. Those for 100,000 pairs and more are published: Vaswani et al. 2017 (base), and
# the settings for IWSLT of Ott et al. 2019, fairseq. The others were measured, as in
# recipes/README.md.
SIZES = (
    Size(512, 6, 8, 2048, 1_000_000, 500_000_000, 1_000_000_000),
    Size(512, 6, 4, 1024, 100_000, 60_000_000, 100_000_000),
    Size(256, 3, 4, 1024, 5_000, 1_600_000, 8_000_000),
    Size(128, 2, 4, 512, 0, 0, 0),
)

# Target tokens of an epoch -> padded tokens of a batch: Multi30k (measured), IWSLT (Ott et al.
# 2019), WMT English-German (Vaswani et al. 2017).
BATCH_TOKENS: Points = (
    (30_000, 512),
    (500_000, 512),
    (4_000_000, 4096),
    (130_000_000, 25_000),
)

# Target tokens of an epoch -> epochs, if nothing limits training: the demo corpus and Multi30k
# (measured), and the 100,000 updates of Vaswani et al. 2017.
EPOCHS: Points = ((30_000, 60), (500_000, 22), (130_000_000, 20))

# Dropout is the least of three heights: by the epochs of a training and by its target tokens, since
# a model that has seen little does not overfit yet (Multi30k and the demo corpus, measured), and by
# the target tokens of an epoch, since large corpora need less (Vaswani et al. 2017).
DROPOUT_BY_EPOCHS: Points = ((5, 0.1), (22, 0.3))
DROPOUT_BY_TOKENS: Points = ((2_500_000, 0.1), (11_000_000, 0.3))
DROPOUT_BY_SIZE: Points = ((4_000_000, 0.3), (130_000_000, 0.1))

# Width -> highest learning rate: Multi30k and the demo corpus (measured), Multi30k and
# recipes/bottleneck.sh (measured), Vaswani et al. 2017.
LEARNING_RATE: Points = ((128, 0.003), (256, 0.001), (512, 0.0007))

WARMUP = 0.1  # share of all updates
MOST_WARMUP = 4000  # updates: Vaswani et al. 2017
VALIDATIONS = (2, 10)  # of a training, at least and at most
VALIDATION_SHARE = 0.1  # of the time of a training, for all its validations
MOST_BETWEEN_VALIDATIONS = 5000  # updates


def interpolate(points: Points, value: float) -> float:
    """The height at `value` of a line through points on logarithmic axes; flat beyond its ends."""
    value = min(max(value, points[0][0]), points[-1][0])
    end = next(i for i in range(1, len(points)) if value <= points[i][0])
    (left, low), (right, high) = points[end - 1 : end + 1]
    share = math.log(value / left) / math.log(right / left)
    return low * math.exp(share * math.log(high / low))


@dataclass(frozen=True)
class Text:
    """How much training text there is."""

    pairs: int
    target_tokens: int  # of an epoch


def batch_tokens(text: Text) -> int:
    """Padded tokens of a batch: the more text, the larger."""
    return round(interpolate(BATCH_TOKENS, text.target_tokens) / 128) * 128


def sizes_for(text: Text) -> list[Size]:
    """The sizes that are published or measured for as many pairs, the largest first."""
    return [size for size in SIZES if size.least_pairs <= text.pairs]


def model_settings(size: Size, width: int) -> Table:
    """The settings of a Transformer of this size, whose width may be another one."""
    fitting = (size.heads, 4, 2, 1)
    return {
        "width": width,
        # Heads of even width, which rotary positions need.
        "heads": next((n for n in fitting if width % (2 * n) == 0), 1),
        "feed_forward": size.feed_forward if width == size.width else 4 * width,
        "encoder_layers": size.layers,
        "decoder_layers": size.layers,
    }


def learning_rate(width: int) -> float:
    """The highest learning rate of a Transformer: the wider, the lower."""
    return round(interpolate(LEARNING_RATE, width), 4)


def dropout(text: Text, epochs: float) -> float:
    """Dropout: the longer a model is trained on the same text, the higher."""
    return round(min(_dropouts(text, epochs)), 2)


def dropout_reason(text: Text, epochs: float) -> str:
    """Which of the three heights of dropout is the least, and so decided."""
    tokens = rounded(epochs * text.target_tokens)
    reasons = (
        f"each pair is seen about {epochs:.1f} times",
        f"training sees only about {tokens} target tokens in all",
        f"an epoch has {rounded(text.target_tokens)} target tokens, and more need less",
    )
    heights = _dropouts(text, epochs)
    return reasons[heights.index(min(heights))]


def _dropouts(text: Text, epochs: float) -> tuple[float, float, float]:
    """The heights by epochs, by target tokens of a training and by those of an epoch."""
    return (
        interpolate(DROPOUT_BY_EPOCHS, epochs),
        interpolate(DROPOUT_BY_TOKENS, epochs * text.target_tokens),
        interpolate(DROPOUT_BY_SIZE, text.target_tokens),
    )


def rounded(tokens: float) -> str:
    """A number of tokens, in millions from 100,000."""
    return f"{tokens / 1e6:,.1f} million" if tokens >= 100_000 else f"{tokens:,.0f}"


def usual_epochs(text: Text) -> float:
    """The epochs of a training that nothing limits."""
    return interpolate(EPOCHS, text.target_tokens)


def warmup(updates: int) -> int:
    """The updates of the warm-up, of all updates of a training."""
    return min(MOST_WARMUP, math.ceil(WARMUP * updates))


def validations(updates: float, updates_of_one: float) -> int:
    """How many validations a training has, if one takes as long as so many updates."""
    least, most = VALIDATIONS
    return max(least, min(most, int(VALIDATION_SHARE * updates / updates_of_one)))


def validate_every(updates: int, updates_of_one: float) -> int:
    """The updates between validations, of all updates of a training."""
    every = math.ceil(updates / validations(updates, updates_of_one))
    return min(MOST_BETWEEN_VALIDATIONS, every)
