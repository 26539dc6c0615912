"""Each fault of a training is reported with a remedy, and a healthy training has none."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from seq2seq_cli.training.diagnosis import (
    DataStatistics,
    SideStatistics,
    TrainingHistory,
    diagnose,
)
from seq2seq_cli.translation.faults import TranslationStatistics, translation_statistics

SIDE = SideStatistics(
    unknown=0.0,
    valid_unknown=0.002,
    rare=0.01,
    valid_rare=0.03,
    length=14.0,
    valid_length=15.0,
    valid_tokens=15_000,
    word_loss=6.2,
)
DATA = DataStatistics(
    source=SIDE, target=SIDE, references=TranslationStatistics(repeated=0.01, copied=0.02)
)
# Of transformer-small on Multi30k, well on its way.
COURSE = TrainingHistory(
    epoch=9.2,
    warmup_updates=500,
    losses=((700, 4.2), (1400, 2.9), (2100, 2.3), (2800, 2.25), (3500, 2.22), (4200, 2.21)),
    train_loss=1.9,
    bleu=31.0,
    chrf=57.0,
    translations=TranslationStatistics(repeated=0.02, copied=0.02),
)
FAILED: dict[str, Any] = {"bleu": 0.7, "chrf": 14.0}  # scores of text that is not a translation
STUCK = ((700, 5.0), (1400, 4.2), (2100, 4.1), (2800, 4.1), (4200, 4.1))


def said(side: Mapping[str, Any] | None = None, **history: Any) -> dict[str, str]:
    """The diagnoses of a source side and a history that differ from healthy ones."""
    data = replace(DATA, source=replace(SIDE, **(side or {})))
    return {f.name: f.sentence for f in diagnose(data, replace(COURSE, **history))}


def test_healthy_training_has_no_fault_at_any_time() -> None:
    assert said() == {}
    early = {"epoch": 0.4, "losses": ((100, 7.9), (200, 6.6)), "train_loss": 6.9}
    assert (
        said(**early, **FAILED, translations=TranslationStatistics(repeated=0.9, copied=0.3)) == {}
    )
    later = {"epoch": 1.8, "losses": ((700, 5.2), (1400, 4.3)), "train_loss": 4.5}
    assert (
        said(**later, **FAILED, translations=TranslationStatistics(repeated=0.5, copied=0.0)) == {}
    )


def test_a_warm_up_and_some_validations_are_waited_for() -> None:
    losses = ((100, 6.6), (200, 6.5), (300, 6.45), (400, 6.45))
    assert said(losses=losses, **FAILED, warmup_updates=300) == {}
    assert said(losses=losses[1:], **FAILED, warmup_updates=100) == {}
    assert said(losses=losses, **FAILED, warmup_updates=100).keys() == {"no-translation"}


def test_loss_near_that_of_word_frequencies_points_to_the_learning_rate() -> None:
    losses = ((700, 8.0), (1400, 5.9), (2100, 5.8), (2800, 5.8), (4200, 5.8))
    sentence = said(losses=losses, **FAILED)["no-translation"]
    assert "only the frequencies of words are learned" in sentence
    assert "try a third of training.learning_rate" in sentence


def test_loss_that_falls_without_translating_points_to_lines_that_do_not_belong_together() -> None:
    sentence = said(losses=STUCK, **FAILED)["no-translation"]
    assert "the loss has fallen to 4.10, but BLEU is 0.7" in sentence
    assert "check that line k of the target is the translation of line k" in sentence


def test_shuffled_lines_of_the_demo_corpus_are_noticed_after_a_thousand_updates() -> None:
    """Losses that were measured; 800 updates and less could still be a slow beginning."""
    losses = (5.467, 4.869, 4.392, 4.064, 3.874, 3.767, 3.648, 3.562, 3.502, 3.452)
    history = tuple(zip(range(100, 1001, 100), losses, strict=True))
    assert said(losses=history[:8], warmup_updates=100, **FAILED) == {}
    assert said(losses=history, warmup_updates=100, **FAILED).keys() == {"no-translation"}


def test_loss_that_never_fell_points_to_the_learning_rate() -> None:
    flat = ((700, 6.6), (1400, 6.55), (2100, 6.6), (2800, 6.6))
    assert "a third of training.learning_rate" in said(losses=flat, **FAILED)["no-translation"]


def test_a_loss_far_above_that_of_word_frequencies_is_divergence_and_nothing_else() -> None:
    losses = ((700, 7358.0), (1400, 3184.0))
    repeated = TranslationStatistics(repeated=1.0, copied=0.0)
    found = said(losses=losses, train_loss=900.0, **FAILED, translations=repeated)
    assert found.keys() == {"divergence"}
    assert "try a tenth of training.learning_rate" in found["divergence"]
    assert said(losses=((200, 9.0),), train_loss=9.5, epoch=1.2, **FAILED) == {}


def test_a_cause_is_reported_without_its_effects() -> None:
    copies = TranslationStatistics(repeated=0.0, copied=0.98)
    assert said(losses=STUCK, train_loss=0.5, **FAILED, translations=copies).keys() == {"copying"}
    loops = TranslationStatistics(repeated=1.0, copied=0.0)
    assert said(losses=STUCK, **FAILED, translations=loops).keys() == {"no-translation"}


def test_translations_that_are_mostly_copies_wait_for_no_settled_loss() -> None:
    falling = ((100, 6.0), (200, 5.0), (300, 4.0), (400, 3.0))
    assert said(losses=falling, translations=TranslationStatistics(0.0, 0.3)) == {}
    assert said(losses=falling, translations=TranslationStatistics(0.0, 0.6)).keys() == {"copying"}


def test_words_without_spaces_point_to_another_metric() -> None:
    sentence = said(losses=STUCK, bleu=0.7, chrf=31.0)["no-translation"]
    assert 'training.stop_metric = "chrf"' in sentence


def test_references_under_four_words_are_named_as_the_cause_of_a_bleu_of_0() -> None:
    def found(share: float, **history: Any) -> set[str]:
        data = replace(DATA, short_references=share)
        return {each.name for each in diagnose(data, replace(COURSE, **history))}

    assert found(1.0, losses=STUCK, bleu=0.0, chrf=80.0) == {"short-references"}
    assert found(1.0, losses=STUCK[:1], bleu=0.0, chrf=3.0) == {"short-references"}
    assert found(0.6, losses=STUCK[:1], bleu=0.0, chrf=30.0) == {"short-references"}
    assert found(0.6, losses=STUCK[:1], bleu=0.0, chrf=3.0) == set()
    assert found(0.6, bleu=30.0) == set()
    [fault] = diagnose(replace(DATA, short_references=1.0), replace(COURSE, bleu=0.0))
    assert "fewer than four words" in fault.sentence
    assert 'training.stop_metric = "chrf"' in fault.sentence


def test_loops_and_copies_count_beyond_what_references_do() -> None:
    found = said(translations=TranslationStatistics(repeated=0.3, copied=0.4))
    assert "30% of the translations repeat themselves" in found["repetition"]
    assert "40% of the translations copy their source" in found["copying"]
    such = replace(DATA, references=TranslationStatistics(repeated=0.25, copied=0.3))
    history = replace(COURSE, translations=TranslationStatistics(repeated=0.3, copied=0.4))
    assert list(diagnose(such, history)) == []


@pytest.mark.parametrize(
    ("side", "words"),
    [
        ({"unknown": 0.03}, "3.0% of training's source tokens are unknown"),
        ({"valid_unknown": 0.2}, "20.0% of validation's source tokens are unknown"),
    ],
)
def test_unknown_tokens_point_to_the_tokenizer(side: dict[str, float], words: str) -> None:
    sentence = said(side)["unknown"]
    assert words in sentence
    assert "learn the tokenizer from this text" in sentence


@pytest.mark.parametrize(
    ("side", "history", "words"),
    [
        ({"valid_rare": 0.2}, {}, "20% of validation's source tokens are pieces that training"),
        ({"valid_length": 40.0}, {}, "validation's source sentences have 40 tokens, training's 14"),
        ({"valid_length": 8.0}, {}, "length is 1.88 in validation, 1.00 in training"),
        (
            {},
            {"epoch": 0.9, "losses": ((900, 5.5),), "train_loss": 4.0},
            "the loss is 5.50 in validation, 4.00 in training",
        ),
    ],
)
def test_other_text_in_validation_is_told_by_figures(
    side: dict[str, float], history: dict[str, Any], words: str
) -> None:
    sentence = said(side, **history)["different-data"]
    assert words in sentence
    assert "hold out lines of the training text" in sentence


def test_small_differences_are_not_a_sign_of_other_text() -> None:
    few = {"valid_unknown": 0.2, "valid_rare": 0.3, "valid_length": 40.0, "valid_tokens": 90}
    assert said(few) == {}
    by_heart = {"epoch": 20.0, "train_loss": 0.4}
    assert said(**by_heart) == {}
    assert said(epoch=0.5, train_loss=None) == {}


@pytest.mark.parametrize(
    ("line", "repeated"),
    [
        ("ein mann und ein mann und ein mann und", True),
        ("zwei leute leute leute leute", True),
        ("aus einem Polopssssss.", True),
        ("这是一个这是一个这是一个", True),
        ("ein mann und ein hund und eine frau", False),
        ("sehr, sehr schön ...", False),
        ("im Jahr 2000", False),
        ("", False),
    ],
)
def test_loops_are_seen_in_any_script(line: str, repeated: bool) -> None:
    assert translation_statistics(["a dog"], [line]).repeated == repeated


@pytest.mark.parametrize(
    ("line", "copied"),
    [
        ("A man rides a bicycle .", True),
        ("a man rides ein bicycle", True),
        ("ein mann fährt ein rad .", False),
        ("Berlin .", False),
        ("", False),
    ],
)
def test_copies_are_translations_of_the_words_of_the_source(line: str, copied: bool) -> None:
    assert translation_statistics(["a man rides a bicycle ."], [line]).copied == copied
