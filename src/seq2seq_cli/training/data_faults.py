"""Faults of parallel text that training would not notice: repetitions, and text in two places."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.data.parallel import is_same_text
from seq2seq_cli.data.repetitions import Overlap, PairHashes, Repetitions
from seq2seq_cli.errors import InputError
from seq2seq_cli.messages import Warn, counted_subject
from seq2seq_cli.training.preparation import PreparedData
from seq2seq_cli.training.progress import Listener

MANY = 0.5  # share of the pairs from which a fault is worth a warning
SHOWN = 60  # characters of a sentence


@dataclass(frozen=True)
class Faults:
    """Faults of the data of a run, as sentences for the user."""

    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    mistakes: tuple[str, ...] = ()  # that nobody can have meant

    def tell(self, listener: Listener, warn: Warn, *, accept: bool) -> None:
        """Tell the user. Raises InputError if there are mistakes, unless they are accepted."""
        for note in self.notes:
            listener.said(note)
        if self.mistakes and not accept:
            raise InputError(
                f"{'; '.join(self.mistakes)}. If this is meant, add --accept-data to train with it"
            )
        for warning in (*self.warnings, *self.mistakes):
            warn(warning)


def faults_of(data: PreparedData, config: DataConfig) -> Faults:
    """Find faults of the pairs to train and validate on; of a stream, in its first portion.

    Reads all tokens once, and needs memory for some numbers of 8 bytes a pair.
    """
    train, valid = PairHashes.of(data.first), PairHashes.of(data.valid_pairs)
    repetitions, overlap = Repetitions.of(train), Overlap.of(train, valid)
    notes = [
        *_notes_on_repetitions(repetitions, data),
        *_notes_on_overlap(overlap, data),
    ]
    warnings, mistakes = [], []
    total, same = data.report.used, data.report.same
    if same:
        notes.insert(0, f"  {counted_subject(same, 'pair', 'have')} the same text on both sides")
    if same == total:
        mistakes.append(
            f"all {total:,} training pairs have the same text on both sides, "
            f"{_sides(config.source, config.target)}"
        )
    elif same >= MANY * total:
        warnings.append(
            f"{same / total:.0%} of the training pairs have the same text on both sides, which "
            "teaches the model to copy; is it the right text?"
        )
    if repetitions.pairs >= MANY * total:
        warnings.append(
            f"{repetitions.pairs / total:.0%} of the training pairs repeat others; "
            f"{total - repetitions.pairs:,} different ones are left. Is it the right text?"
        )
    text = data.valid_text
    if all(map(is_same_text, text.source, text.target)):
        mistakes.append(
            f"all {overlap.total:,} validation pairs have the same text on both sides, "
            f"{_sides(config.valid_source, config.valid_target)}"
        )
    elif overlap.pairs == overlap.total:
        mistakes.append(
            f"all {overlap.total:,} validation pairs are among the training pairs, so that "
            "validation cannot tell what was learned from what is known by heart; hold pairs out"
        )
    elif overlap.pairs >= MANY * overlap.total:
        warnings.append(
            f"{overlap.pairs / overlap.total:.0%} of the validation pairs are among the training "
            "pairs, so that scores on them are too high; hold pairs out"
        )
    return Faults(tuple(notes), tuple(warnings), tuple(mistakes))


def _notes_on_repetitions(found: Repetitions, data: PreparedData) -> Iterator[str]:
    if found.pairs:
        source, target = data.first.source[found.row], data.first.target[found.row]
        pair = (
            data.tokenizers.source.decode([source.tolist()])[0],
            data.tokenizers.target.decode([target.tolist()])[0],
        )
        yield (
            f"  {counted_subject(found.pairs, 'pair', 'repeat')} an earlier one; most often, "
            f"{found.most:,} times, there is {_shown(pair)}"
        )
    if found.sources:
        repeat = counted_subject(found.sources, "pair", "repeat")
        yield f"  {repeat} an earlier source with another target"


def _notes_on_overlap(found: Overlap, data: PreparedData) -> Iterator[str]:
    if not found.sources:
        return
    pair = data.valid_text.source[found.row], data.valid_text.target[found.row]
    yield (
        f"validation pairs: {found.total:,}, of which {found.pairs:,} are training pairs too, and "
        f"{found.sources:,} have the source of a training pair; one is {_shown(pair)}"
    )


def _sides(source: Sequence[str], target: Sequence[str]) -> str:
    """The texts of both sides as the user named them."""
    return f"{' + '.join(source)} and {' + '.join(target)}"


def _shown(pair: Sequence[str]) -> str:
    """The beginning of both sides of a pair."""
    shown = [side if len(side) <= SHOWN else f"{side[:SHOWN]}…" for side in pair]
    return f'"{shown[0]}" with "{shown[1]}"'
