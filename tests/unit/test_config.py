"""Settings are strict, errors say how to mend them, and settings survive being written."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import MODEL_CONFIGS, TransformerConfig
from seq2seq_cli.config.settings import (
    MOST,
    RENAMED,
    check_sections,
    merged,
    parse_assignment,
    parse_toml,
    settings_from,
    to_toml,
    with_todays_names,
)
from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.errors import InputError
from seq2seq_cli.models import ARCHITECTURES, model_config
from seq2seq_cli.runs.run_config import RunConfig

KINDS: dict[str, type[Any]] = {
    "data": DataConfig,
    "training": TrainingConfig,
    "tokenizer": TokenizerSettings,
} | {name: architecture.Config for name, architecture in ARCHITECTURES.items()}
TRAPS = "\"'\\\n\r\t\b\f\x00\x1f\x7f\x80\x85\u2028\ufeff#=[]😀"
texts = st.text(st.one_of(st.characters(), st.sampled_from(TRAPS)))


def written_and_read(settings: object) -> object:
    text = to_toml({"section": dataclasses.asdict(settings)})
    return settings_from(type(settings), "section", parse_toml(text, "config.toml")["section"])


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_defaults_are_valid_and_survive_being_written(kind: type[Any]) -> None:
    assert written_and_read(kind()) == kind()


@given(st.lists(texts), texts)
def test_any_string_survives_being_written(files: list[str], file: str) -> None:
    settings = DataConfig(source=tuple(files), valid_source=(file,))
    assert written_and_read(settings) == settings


@given(
    st.floats(0, exclude_min=True, allow_infinity=False), st.integers(1, MOST), st.floats(0, 0.999)
)
def test_any_number_survives_being_written(rate: float, updates: int, smoothing: float) -> None:
    settings = TrainingConfig(learning_rate=rate, max_updates=updates, label_smoothing=smoothing)
    assert written_and_read(settings) == settings


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"learning_rat": 1},
            "unknown setting training.learning_rat; did you mean training.learning_rate?",
        ),
        (
            {"seed": 10**30},
            "training.seed = 1000000000000000000000000000000: at most 1,000,000,000,000 is allowed",
        ),
        ({"seed": "one"}, 'training.seed = "one": a whole number is allowed'),
        ({"seed": 1.0}, "training.seed = 1.0: a whole number is allowed"),
        ({"seed": True}, "training.seed = true: a whole number is allowed"),
        ({"learning_rate": True}, "training.learning_rate = true: a number is allowed"),
        ({"learning_rate": "1"}, 'training.learning_rate = "1": a number is allowed'),
        (
            {"schedule": "cosin"},
            'training.schedule = "cosin": "inverse-sqrt", "linear", "cosine" or "constant" is '
            'allowed; did you mean "cosine"?',
        ),
        ({"batch_tokens": 0}, 'training.batch_tokens = 0: 1 or more, or "auto" is allowed'),
        ({"patience": -1}, "training.patience = -1: 0 or more is allowed"),
        ({"beta2": 1.0}, "training.beta2 = 1.0: at least 0 and below 1 is allowed"),
        ({"ema_decay": 1}, "training.ema_decay = 1.0: at least 0 and below 1 is allowed"),
        (
            {"average_every": 100},
            "training.average_every = 100 saves weights without validating them, so that none "
            'is known to be best; set training.average to "last" or "none"',
        ),
        (
            {"activation_checkpointing": True, "guided_alignment": 0.1},
            "training.activation_checkpointing does not go with training.guided_alignment, which "
            "reads what layers then do not keep; leave one out",
        ),
        (
            {"torch_compile": True, "guided_alignment": 0.1},
            "training.torch_compile does not go with training.guided_alignment, which reads "
            "what layers then do not keep; leave one out",
        ),
        (
            {"shard": True, "torch_compile": True},
            "training.shard does not go with training.torch_compile: a layer would be compiled "
            "before its weights are divided; leave one out",
        ),
        (
            {"shard": True, "batch_tokens": "auto"},
            'training.shard does not go with training.batch_tokens = "auto", which is measured '
            "with the whole model on one device; give a number of tokens",
        ),
        ({"learning_rate": 0}, "training.learning_rate = 0.0: a number above 0 is allowed"),
        (
            {"schedule": "cosine", "max_updates": 0},
            'training.schedule = "cosine" falls to zero at training.max_updates, which is 0; '
            "set it, or use the schedule inverse-sqrt",
        ),
        (
            {"max_updates": 0, "patience": 0},
            "training would never end: set one of training.max_updates, max_epochs, max_minutes "
            "or patience",
        ),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(table: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        settings_from(TrainingConfig, "training", table)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", -1),
        ("clip_norm", -1.0),
        ("weight_decay", -0.1),
        ("epsilon", 0.0),
        ("valid_samples", -1),
        ("learning_rate", float("inf")),
        ("max_minutes", float("nan")),
        ("r_drop", -1.0),
        ("r_drop", float("inf")),
        ("word_dropout", 1.0),
        ("word_dropout", -0.1),
        ("average_every", -1),
    ],
)
def test_numbers_that_cannot_be_trained_with_are_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match=rf"training\.{name} = {value}: .* is allowed"):
        settings_from(TrainingConfig, "training", {name: value})


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_is_an_error_with_the_new_one(old: str, new: str) -> None:
    section, _, key = old.partition(".")
    with pytest.raises(InputError, match=rf"the setting {old} was renamed; write {new}$"):
        settings_from(KINDS[section], section, {key: 1})
    assert new.rpartition(".")[2] in {field.name for field in dataclasses.fields(KINDS[section])}


def test_files_of_older_versions_are_read_with_the_new_names() -> None:
    old = {"training": {"part_tokens": 7, "seed": 3}, "data": {"source": ["a"]}}
    assert with_todays_names(old) == {
        "training": {"micro_batch_tokens": 7, "seed": 3},
        "data": {"source": ["a"]},
    }


def test_an_unknown_key_unlike_any_other_gets_the_whole_list() -> None:
    with pytest.raises(InputError, match=r"unknown setting data\.🦆; allowed are data\.source, "):
        settings_from(DataConfig, "data", {"🦆": 1})


@pytest.mark.parametrize(("given_value", "value"), [(1, 1.0), (0.5, 0.5)])
def test_a_whole_number_is_a_number(given_value: float, value: float) -> None:
    read = settings_from(TrainingConfig, "training", {"learning_rate": given_value}).learning_rate
    assert (read, type(read)) == (value, float)


@pytest.mark.parametrize("value", [["a", "b"], ("a", "b")])
def test_a_list_of_strings_becomes_a_tuple(value: object) -> None:
    assert settings_from(DataConfig, "data", {"source": value}).source == ("a", "b")


def test_one_string_is_a_list_of_one() -> None:
    assert settings_from(DataConfig, "data", {"source": "ab"}).source == ("ab",)


@pytest.mark.parametrize("value", [3, ["a", 3], {"a": 1}])
def test_nothing_else_is_a_list_of_strings(value: object) -> None:
    with pytest.raises(InputError, match=r"data\.source = .*: a list of strings is allowed"):
        settings_from(DataConfig, "data", {"source": value})


def test_tokenizers_are_given_for_both_sides() -> None:
    with pytest.raises(InputError, match="give both or none"):
        DataConfig(source_tokenizer="a.model")


def test_an_unknown_architecture_gets_the_list() -> None:
    with pytest.raises(InputError, match=f"{', '.join(MODEL_CONFIGS)} is"):
        model_config({"architecture": "rmm"})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"architecture": "rnn", "heads": 2}, r"unknown setting model\.heads; "),
        ({"architecture": "rnn", "units": 3}, "cannot be halved between two directions"),
        ({"architecture": "transformer", "width": 10, "heads": 3}, "a multiple of the heads"),
        ({"architecture": "transformer", "dropout": 1.0}, r"model\.dropout = 1\.0: "),
        ({"architecture": "transformer", "layer_dropout": 1}, r"model\.layer_dropout = 1\.0: "),
        (
            {"architecture": "transformer", "attention_dropout": -0.1},
            r"attention_dropout = -0\.1: ",
        ),
        ({"architecture": "conv", "layer_dropout": 0.1}, r"unknown setting model\.layer_dropout"),
    ],
)
def test_model_settings_that_do_not_fit_are_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        model_config(table)


@pytest.mark.parametrize(
    ("assignment", "parsed"),
    [
        ("training.max_updates=2000", ("training", "max_updates", 2000)),
        ("training.learning_rate=1e-3", ("training", "learning_rate", 0.001)),
        ("model.bidirectional=false", ("model", "bidirectional", False)),
        ("model.cell=gru", ("model", "cell", "gru")),
        ('model.cell="gru"', ("model", "cell", "gru")),
        ("data.source=a=b.en", ("data", "source", "a=b.en")),
        ('data.source=["a", "b"]', ("data", "source", ["a", "b"])),
        ("model.cell = gru", ("model", "cell", "gru")),
        (" model.cell =gru", ("model", "cell", "gru")),
        ("data.valid_source=", ("data", "valid_source", "")),
    ],
)
def test_assignments(assignment: str, parsed: tuple[str, str, object]) -> None:
    assert parse_assignment(assignment) == parsed


@pytest.mark.parametrize("assignment", ["", "training", "seed=1", "training.=1", ".seed=1", "=1"])
def test_other_text_is_not_an_assignment(assignment: str) -> None:
    with pytest.raises(InputError, match=r"give section\.key=value"):
        parse_assignment(assignment)


def test_two_assignments_in_one_are_refused() -> None:
    with pytest.raises(InputError, match="one setting at a time"):
        parse_assignment("training.seed=1\nmax_updates=2")


def test_later_layers_win_key_by_key_and_no_layer_is_changed() -> None:
    preset = {"model": {"width": 1, "dropout": 0.1}, "training": {"seed": 1}}
    file = {"model": {"width": 2}, "data": {"source": ["a"]}}
    options = {"model": {"width": 3}}
    assert merged(preset, file, options) == {
        "model": {"width": 3, "dropout": 0.1},
        "training": {"seed": 1},
        "data": {"source": ["a"]},
    }
    assert preset == {"model": {"width": 1, "dropout": 0.1}, "training": {"seed": 1}}
    assert file == {"model": {"width": 2}, "data": {"source": ["a"]}}


def test_a_section_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match=r"unknown setting \[trainin\]; did you mean \[training\]"):
        check_sections({"trainin": {}}, ["data", "training"])


def test_broken_toml_is_named_with_its_file_and_line() -> None:
    with pytest.raises(InputError, match=r"my\.toml is not valid TOML: .*line 2"):
        parse_toml("[model]\nwidth = = 1\n", "my.toml")


def test_a_setting_outside_a_section_is_refused() -> None:
    with pytest.raises(InputError, match=r"my\.toml: width is outside of a section"):
        parse_toml("width = 1\n", "my.toml")


TRANSFORMER = {"architecture": "transformer", "dropout": 0.0}


@pytest.mark.parametrize("name", TransformerConfig.DROPOUTS)
def test_r_drop_is_accepted_where_anything_is_dropped(name: str) -> None:
    tables = {"model": TRANSFORMER | {name: 0.1}, "training": {"r_drop": 5.0}}
    assert RunConfig.from_tables(tables).training.r_drop == 5.0


def test_r_drop_is_accepted_where_only_words_are_dropped() -> None:
    tables = {"model": TRANSFORMER, "training": {"r_drop": 5.0, "word_dropout": 0.1}}
    assert RunConfig.from_tables(tables).training.r_drop == 5.0


@pytest.mark.parametrize("activation", ["auto", 0.0])
def test_r_drop_is_refused_where_nothing_is_dropped(activation: object) -> None:
    model = TRANSFORMER | {"activation_dropout": activation}
    with pytest.raises(InputError, match=r"nothing is dropped; set one of model\.dropout, "):
        RunConfig.from_tables({"model": model, "training": {"r_drop": 5.0}})
