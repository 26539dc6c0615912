"""Faults that the figures of a training reveal, each in a sentence with a remedy.

Everything here is a pure function of figures and text. Shares are from 0 to 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from seq2seq_cli.translation.faults import TranslationStatistics

RARE = 5  # a piece that comes less often than this in the rest of training is hardly known

# Thresholds. On Multi30k and the demo corpus, validation text has no unknown tokens, fewer rare
# tokens than training text, and lengths within a twentieth of those of training text.
UNKNOWN = 0.01  # share of a side's tokens
FOREIGN = 0.05  # share of hardly known pieces in validation, minus that in training
LENGTHS = 2.0  # ratio of sentence lengths in validation and training, either way
RATIOS = 1.5  # the same for the ratio of target to source lengths
GAP = 1.0  # nats: validation loss over training loss, before any pair was seen twice
FEW_TOKENS = 1000  # validation text with fewer tokens is too small to judge by
FEW_VALIDATIONS = 4  # fewer do not show how training goes
NEAR_ZERO = 2.0  # BLEU
SHORT = 0.5  # share of references with fewer than four words that BLEU says little about
NEARLY_ALL = 0.9  # share of such references with which BLEU stays near zero
WORDLESS = 25.0  # chrF that text with spaces between words never has while BLEU is near zero
REPEATED = 0.10  # share of translations, minus that of references
COPIED = 0.20  # share of translations, minus that of references
MOSTLY_COPIED = 0.5  # a fault even before the loss has settled
DIVERGED = 2.0  # times the loss of token frequencies alone; random weights have 1.5 times
# Times the best loss at half the updates: a higher loss falls slowly by now. On a demo corpus with
# shuffled lines, where only the target language can be learned, the factor rose from 0.86 to 0.89
# between updates 600 and 1,200; on the demo corpus itself it was 0.54 at BLEU 40.
SETTLED = 0.88
WORDS_ALONE = 0.9  # times the loss of token frequencies alone: a higher loss learned no more


@dataclass(frozen=True)
class SideStatistics:
    """One side of the data, in training and validation. Shares of tokens; lengths in tokens."""

    unknown: float
    valid_unknown: float
    rare: float  # tokens that come less than RARE times in the rest of training
    valid_rare: float  # tokens that come less than RARE times in training
    length: float  # mean length of a sentence
    valid_length: float
    valid_tokens: int
    word_loss: float  # nats per validation token of a model that knows only token frequencies


@dataclass(frozen=True)
class DataStatistics:
    """Statistics of training and validation text, known before training."""

    source: SideStatistics
    target: SideStatistics
    references: TranslationStatistics  # of the validation references
    short_references: float = 0.0  # share of the references without a run of four words for BLEU

    def sides(self) -> Iterator[tuple[str, SideStatistics]]:
        """Both sides with their names."""
        yield "source", self.source
        yield "target", self.target


@dataclass(frozen=True)
class TrainingHistory:
    """The figures of training up to a validation. Losses are in nats per target token."""

    epoch: float
    warmup_updates: int
    losses: tuple[tuple[int, float], ...]  # updates and loss of each validation, this one last
    train_loss: float | None  # in the updates before this validation
    bleu: float
    chrf: float
    translations: TranslationStatistics

    def is_settled(self) -> bool:
        """Whether the loss falls slowly by now. Early in training every model repeats itself."""
        update, loss = self.losses[-1]
        if len(self.losses) < FEW_VALIDATIONS or update < 2 * self.warmup_updates:
            return False
        early = [before for at, before in self.losses if 2 * at <= update]
        return bool(early) and loss > SETTLED * min(early)

    def first_loss(self) -> float:
        """The loss of the first validation."""
        return self.losses[0][1]


@dataclass(frozen=True)
class Diagnosis:
    """A fault by its name, and a sentence for the user with a remedy."""

    name: str
    sentence: str


def diagnose(data: DataStatistics, history: TrainingHistory) -> Iterator[Diagnosis]:
    """Yield every fault that the figures reveal; a healthy training has none."""
    divergence, copying = _divergence(data, history), _copying(data, history)
    # If one fault causes another, only the cause is reported.
    short = None if divergence or copying else _short_references(data, history)
    no_translation = None if divergence or copying or short else _no_translation(data, history)
    repetition = None if divergence or no_translation else _repetition(data, history)
    checks = {
        "unknown": _unknown(data),
        "different-data": _different(data, history),
        "divergence": divergence,
        "short-references": short,
        "no-translation": no_translation,
        "repetition": repetition,
        "copying": copying,
    }
    for name, sentence in checks.items():
        if sentence:
            yield Diagnosis(name, sentence)


def _unknown(data: DataStatistics) -> str | None:
    shares = [(side.unknown, f"training's {name}") for name, side in data.sides()] + [
        (side.valid_unknown, f"validation's {name}")
        for name, side in data.sides()
        if side.valid_tokens >= FEW_TOKENS
    ]
    share, where = max(shares, key=lambda each: each[0])  # the first of equals
    if share <= UNKNOWN:
        return None
    return (
        f"{share:.1%} of {where} tokens are unknown to the vocabulary, so the model can neither "
        "read nor write them; learn the tokenizer from this text, with "
        "tokenizer.character_coverage = 1 and a tokenizer.model_type of subwords or characters"
    )


def _different(data: DataStatistics, history: TrainingHistory) -> str | None:
    differences = list(_differences(data, history))
    if not differences:
        return None
    return (
        f"training and validation text differ: {'; '.join(differences)}. Scores will say little "
        "about text like training's; hold out lines of the training text, drawn at random, or "
        "train on text like validation's"
    )


def _differences(data: DataStatistics, history: TrainingHistory) -> Iterator[str]:
    for name, side in data.sides():
        if side.valid_tokens < FEW_TOKENS:
            continue
        if side.valid_rare - side.rare > FOREIGN:
            yield (
                f"{side.valid_rare:.0%} of validation's {name} tokens are pieces that training "
                f"hardly has ({side.rare:.0%} of its own tokens)"
            )
        if _factor(side.valid_length, side.length) > LENGTHS:
            yield (
                f"validation's {name} sentences have {side.valid_length:.0f} tokens, "
                f"training's {side.length:.0f}"
            )
    ratio = data.target.length / data.source.length
    valid_ratio = data.target.valid_length / data.source.valid_length
    enough = min(side.valid_tokens for _, side in data.sides()) >= FEW_TOKENS
    if enough and _factor(valid_ratio, ratio) > RATIOS:
        yield f"target to source length is {valid_ratio:.2f} in validation, {ratio:.2f} in training"
    loss = history.losses[-1][1]
    # Later, a gap may also come from training pairs learned by heart.
    if history.train_loss is not None and history.epoch <= 1 and loss - history.train_loss > GAP:
        yield f"the loss is {loss:.2f} in validation, {history.train_loss:.2f} in training"


def _factor(one: float, other: float) -> float:
    """How many times the greater of two positive numbers is the smaller one."""
    return max(one / other, other / one)


def _divergence(data: DataStatistics, history: TrainingHistory) -> str | None:
    losses = [history.losses[-1][1], history.train_loss or 0.0]
    if history.losses[-1][0] < history.warmup_updates:
        return None
    if min(losses) < DIVERGED * data.target.word_loss:
        return None
    return (
        f"the loss is {losses[0]:.4g}; a model that knows only the frequencies of words has "
        f"{data.target.word_loss:.1f}: training has diverged; try a tenth of "
        "training.learning_rate and a longer training.warmup_updates"
    )


def _short_references(data: DataStatistics, history: TrainingHistory) -> str | None:
    share = data.short_references
    # With a low chrF, translations are bad whatever BLEU says, unless it can say nothing.
    if history.bleu >= NEAR_ZERO or share <= (SHORT if history.chrf >= WORDLESS else NEARLY_ALL):
        return None
    return (
        f"BLEU is {history.bleu:.1f}, and {share:.0%} of the validation targets have fewer than "
        "four words: BLEU counts runs of four words, of which they have none, so it is 0 or says "
        'little whatever is learned; set training.stop_metric = "chrf", and score with chrF'
    )


def _no_translation(data: DataStatistics, history: TrainingHistory) -> str | None:
    if history.bleu >= NEAR_ZERO or not history.is_settled():
        return None
    loss = history.losses[-1][1]
    if history.chrf >= WORDLESS:
        return (
            f"BLEU is {history.bleu:.1f} while chrF is {history.chrf:.1f}: perhaps this language "
            "does not separate words by spaces, and BLEU counts words; set training.bleu_tokenize "
            'to "zh", "ja-mecab" or "char", or training.stop_metric = "chrf", and score with '
            "--tokenize auto"
        )
    if loss > SETTLED * history.first_loss():
        return (
            f"the loss stays at {loss:.2f} and BLEU at {history.bleu:.1f}: nothing is learned; try "
            "a third of training.learning_rate and a longer training.warmup_updates"
        )
    if loss > WORDS_ALONE * data.target.word_loss:
        return (
            f"the loss stays at {loss:.2f} and BLEU at {history.bleu:.1f}: only the "
            "frequencies of words are learned; try a third of training.learning_rate and a longer "
            "training.warmup_updates"
        )
    return (
        f"the loss has fallen to {loss:.2f}, but BLEU is {history.bleu:.1f}: the model writes the "
        "language but ignores its input; check that line k of the target is the translation of "
        "line k of the source (paste train.en train.de | less), in training and validation"
    )


def _repetition(data: DataStatistics, history: TrainingHistory) -> str | None:
    share = history.translations.repeated
    if share - data.references.repeated <= REPEATED or not history.is_settled():
        return None
    return (
        f"{share:.0%} of the translations repeat themselves: train longer or on more text, with a "
        "lower training.learning_rate if the loss has stopped falling; until then `translate "
        "--no-repeat-ngram 3` cuts the loops off"
    )


def _copying(data: DataStatistics, history: TrainingHistory) -> str | None:
    share = history.translations.copied
    beyond = share - data.references.copied
    mostly = beyond > MOSTLY_COPIED and len(history.losses) >= FEW_VALIDATIONS
    if beyond <= COPIED or not (mostly or history.is_settled()):
        return None
    return (
        f"{share:.0%} of the translations copy their source: look in training for targets that are "
        "not translated and for lines in the wrong file, and remove them; no noise does more harm "
        "(Khayrallah and Koehn 2018)"
    )
