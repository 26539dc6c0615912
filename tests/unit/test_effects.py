"""Every setting and option has an effect, or says under which others it has none."""

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import typer

from seq2seq_cli.cli.app import app
from seq2seq_cli.config.effects.commands import COMMANDS
from seq2seq_cli.config.effects.conditions import Condition, Effects
from seq2seq_cli.config.effects.inspect import INSPECT_ATTENTION
from seq2seq_cli.config.effects.score import SCORE
from seq2seq_cli.config.effects.tokenizer import TOKENIZER_TRAIN
from seq2seq_cli.config.effects.train import TRAIN
from seq2seq_cli.config.effects.translate import LIKELIHOOD, TRANSLATE
from seq2seq_cli.runs.run_config import KEYS, RunConfig
from seq2seq_cli.training.settings import merge_settings


def command_of(name: str) -> Any:
    found: Any = typer.main.get_command(app)
    for part in name.split():
        found = found.commands[part]
    return found


def parameters_of(command: str) -> list[Any]:
    return list(command_of(command).params)


def parameters(command: str) -> dict[str, str]:
    """Parameter name -> option, or parameter name for an argument."""
    return {each.name: each.opts[0] for each in parameters_of(command)}


def expected_names(command: str) -> set[str]:
    """All that a table has to name."""
    names = parameters(command)
    if command != "train":
        return set(names)
    settings = {f"{section}.{key}" for section, keys in KEYS.items() for key in keys}
    keys = {name.rpartition(".")[2] for name in settings}
    return settings | {option for name, option in names.items() if name not in keys}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_setting_and_option_has_an_effect_or_says_when_it_has_none(command: str) -> None:
    expected, named = expected_names(command), COMMANDS[command].names()
    missing, left = sorted(expected - named), sorted(named - expected)
    table = f"{command.upper().replace(' ', '_')} of config/effects/"
    assert not missing, (
        f"{', '.join(missing)}: new, and not in {table}. Add a Condition under which it has no "
        "effect; or, if it always has one or is refused where it has none, name it in `always`."
    )
    assert not left, f"{', '.join(left)}: in {table}, but there is no such setting or option"


@pytest.mark.parametrize("table", COMMANDS.values(), ids=COMMANDS)
def test_nothing_always_has_an_effect_and_sometimes_none(table: Effects) -> None:
    conditional = {name for condition in table.conditions for name in condition.names}
    assert not conditional & table.always


TEXTS = {name: ["a"] for name in ("source", "target", "valid_source", "valid_target")}
TOKENIZERS = {"source_tokenizer": "a.model", "target_tokenizer": "a.model"}
OTHERS = {  # settings whose value is not a number, and ones that fit only some values
    "data.joint_vocabulary": False,
    "data.weights": [2.0],
    "tokenizer.model_type": "bpe",
    "tokenizer.character_coverage": 0.99,
    "tokenizer.source_normalization": "nfc",
    "tokenizer.target_normalization": "nfc",
    "tokenizer.lowercase": True,
    "tokenizer.casing": "inline",
    "tokenizer.byte_fallback": "off",
    "tokenizer.user_symbols": ["<sep>"],
    "tokenizer.split_digits": True,
    "model.tie_source": False,
    "model.sinusoids": "interleaved",
    "training.exchange_precision": "bfloat16",
    "training.shard": True,
    "tokenizer.vocabulary_size": 500,
}
# Settings beside which each condition of training holds, by the first setting that it names.
IDLE: dict[str, dict[str, Any]] = {
    "data.joint_vocabulary": {"data": TOKENIZERS},
    "tokenizer.split_digits": {"tokenizer": {"model_type": "char"}},
    "data.weights": {},
    "data.stream_pairs": {},
    "model.tie_source": {"data": {"joint_vocabulary": False}},
    "model.window": {"model": {"architecture": "attention-rnn"}},
    "model.heads": {"model": {"architecture": "attention-rnn"}},
    "model.location_length": {"model": {"architecture": "attention-rnn"}},
    "model.max_positions": {"model": {"architecture": "transformer"}},
    "model.position_buckets": {"model": {"architecture": "transformer"}},
    "model.sinusoids": {"model": {"architecture": "transformer", "positions": "learned"}},
    "training.exchange_precision": {},
    "training.patience": {"training": {"max_updates": 3000}},
    "training.average_count": {"training": {"average": "none"}},
}


def said(given: dict[str, dict[str, Any]], **how: Any) -> list[str]:
    """The warnings for settings that are given beside the texts."""
    warnings: list[str] = []
    data = TEXTS | given.get("data", {})
    merge_settings({**given, "data": data}, warn=warnings.append, **how)
    return warnings


def with_setting(given: dict[str, dict[str, Any]], name: str) -> dict[str, dict[str, Any]]:
    """The settings with another value of one of them than its default."""
    section, _, key = name.partition(".")
    architecture = given.get("model", {}).get("architecture", "transformer")
    usual = RunConfig.from_tables({"model": {"architecture": architecture}}).values()
    value = OTHERS.get(name, usual.get(name))
    value = value if name in OTHERS else value + 1  # type: ignore[operator]
    return {**given, section: {**given.get(section, {}), key: value}}


@pytest.mark.parametrize(
    ("first", "name"),
    [(c.names[0], n) for c in TRAIN.conditions[1:] for n in c.names if c.names[0] != "--cache"],
)
def test_a_setting_without_effect_is_said_once(first: str, name: str) -> None:
    idle = {section: dict(table) for section, table in IDLE[first].items()}
    preset = "transformer-tiny" if "architecture" not in idle.get("model", {}) else None
    warnings = said(with_setting(idle, name), preset=preset)
    assert [each.split(":")[0] for each in warnings] == [f"{name} has no effect"]


def test_a_setting_with_an_effect_is_not_mentioned() -> None:
    two = {name: ["a", "b"] for name in ("source", "target")}
    data = two | {"weights": [2, 1], "temperature": 2, "max_length": 99}
    training = {"max_updates": 90_000}
    assert said({"data": data, "training": training}, preset="transformer-tiny") == []
    local = {"architecture": "attention-rnn", "scope": "local-p", "window": 4}
    heads = {"architecture": "attention-rnn", "score": "multi-head", "heads": 2}
    positions = {"architecture": "transformer", "positions": "learned", "max_positions": 99}
    for model in (local, heads, positions):
        assert said({"model": model}) == []


def test_a_setting_that_is_given_its_usual_value_is_not_mentioned() -> None:
    """As in the config.toml of a run, which has all settings."""
    assert said({"data": {"temperature": 1, "stream_pairs": 500_000}}) == []


def test_what_the_preset_chooses_later_is_not_mentioned() -> None:
    assert said({"training": {"patience": 50}}, preset="auto") == []


# Options


def idle_options(table: Effects, command: str, given: Iterable[str], **values: Any) -> list[str]:
    """The names of options that are said to have no effect, beside the defaults of the others."""
    params = parameters_of(command)
    defaults = {each.name: each.default for each in params} | {"runs": ["run"]}
    names = parameters(command)
    sentences = table.sentences(set(given), defaults | values, names.__getitem__)
    return [sentence.split(" has no effect")[0] for sentence in sentences]


@pytest.mark.parametrize(
    ("given", "values", "idle"),
    [
        (["alpha", "beam"], {"beam": 1, "alpha": 9.0}, ["--alpha"]),
        (["length_penalty"], {"beam": 1}, ["--length-penalty"]),
        (["coverage_penalty"], {"beam": 1}, ["--coverage-penalty"]),
        (["alpha"], {"beam": 1, "format_": "tsv"}, []),
        (["alpha"], {"beam": 2}, []),
        (["alpha", "beam"], {"sample": True}, ["--beam", "--alpha"]),
        (["seed", "top_k"], {"sample": True, "top_k": 1}, ["--seed"]),
        (["temperature", "top_p"], {"sample": True, "top_k": 1}, ["--temperature", "--top-p"]),
        (["seed"], {"sample": True}, []),
        (["weights"], {"weights": "1"}, ["--weights"]),
        (["weights"], {"runs": ["a", "b"]}, []),
    ],
)
def test_options_of_translate_without_effect_are_named(
    given: list[str], values: dict[str, Any], idle: list[str]
) -> None:
    assert idle_options(TRANSLATE, "translate", given, **values) == idle


@pytest.mark.parametrize(
    ("given", "values", "idle"),
    [
        (["tokenize"], {"metrics": "chrf,ter"}, ["--tokenize"]),
        (["tokenize"], {"metrics": "BLEU"}, []),
        (["lowercase"], {"metrics": "ter"}, ["--lowercase"]),
        (["lowercase"], {"metrics": "chrf"}, []),
        (["chrf_word_order"], {"metrics": "bleu"}, ["--chrf-word-order"]),
        (["ter_normalized", "ter_asian"], {}, ["--ter-normalized", "--ter-asian"]),
        (["ter_asian"], {"metrics": "ter"}, ["--ter-asian"]),
        (["ter_asian"], {"metrics": "ter", "ter_no_punct": True}, []),
        (["ter_case_sensitive"], {"metrics": "bleu, ter"}, []),
        (["bucket"], {}, ["--bucket"]),
        (["bucket"], {"by_length": True}, []),
    ],
)
def test_options_of_score_without_effect_are_named(
    given: list[str], values: dict[str, Any], idle: list[str]
) -> None:
    assert idle_options(SCORE, "score", given, **values) == idle


@pytest.mark.parametrize(
    ("table", "command", "given", "values", "idle"),
    [
        (LIKELIHOOD, "likelihood", "weights", {}, True),
        (LIKELIHOOD, "likelihood", "weights", {"runs": ["a", "b"]}, False),
        (INSPECT_ATTENTION, "inspect attention", "beam", {"target": "a.de"}, True),
        (INSPECT_ATTENTION, "inspect attention", "beam", {}, False),
        (INSPECT_ATTENTION, "inspect attention", "layer", {"output": Path("a.html")}, True),
        (INSPECT_ATTENTION, "inspect attention", "head", {"output": Path("a.json")}, True),
        (INSPECT_ATTENTION, "inspect attention", "head", {"output": Path("a.png")}, False),
        (INSPECT_ATTENTION, "inspect attention", "head", {}, False),
        (TOKENIZER_TRAIN, "tokenizer train", "split_digits", {"model_type": "char"}, True),
        (TOKENIZER_TRAIN, "tokenizer train", "split_digits", {}, False),
    ],
)
def test_options_of_other_commands_without_effect_are_named(
    table: Effects, command: str, given: str, values: dict[str, Any], idle: bool
) -> None:
    option = parameters(command)[given]
    assert idle_options(table, command, [given], **values) == [option] * idle


@pytest.mark.parametrize("command", [name for name in COMMANDS if COMMANDS[name].conditions])
def test_a_command_with_conditions_says_them(command: str) -> None:
    """`train` does so with its settings."""
    callback = inspect.getsource(inspect.unwrap(command_of(command).callback))
    name = command.upper().replace(" ", "_")
    assert f"warn_of_idle_options(context, {name})" in callback or command == "train"


def test_a_cache_for_a_stream_has_no_effect() -> None:
    sentences = list(TRAIN.sentences({"--cache"}, {"data.stream": True}))
    assert [each.split(":")[0] for each in sentences] == ["--cache has no effect"]
    assert list(TRAIN.sentences({"--cache"}, {"data.stream": False})) == []


def test_a_condition_on_what_is_not_known_does_not_hold() -> None:
    condition = Condition(("a",), lambda values: values["b"] == 1, "b is 1")
    table = Effects(frozenset(), (condition,))
    assert list(table.sentences({"a"}, {"a": 2})) == []
    assert list(table.sentences({"a"}, {"b": 1})) == ["a has no effect: b is 1"]


def test_a_setting_without_effect_for_two_reasons_is_said_with_the_first() -> None:
    one = Condition(("a",), lambda values: True, "one")
    other = Condition(("a", "b"), lambda values: True, "other")
    table = Effects(frozenset(), (one, other))
    assert list(table.sentences({"a", "b"}, {})) == [
        "a has no effect: one",
        "b has no effect: other",
    ]


@pytest.mark.parametrize(("updates", "is_idle"), [(600, True), (601, False), (0, False)])
def test_patience_ends_no_training_that_ends_before(updates: int, is_idle: bool) -> None:
    """The first of its validations is the best one, and as many as patience follow it."""
    values = {"patience": 5, "max_updates": updates, "validate_every": 100}
    given = {f"training.{key}": value for key, value in values.items()}
    sentences = list(TRAIN.sentences({"training.patience"}, given))
    assert len(sentences) == is_idle
