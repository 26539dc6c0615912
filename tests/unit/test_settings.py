"""Every setting documents itself, and what is printed about it is what is enforced."""

import math
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
from typer.testing import CliRunner

from seq2seq_cli.cli.app import app
from seq2seq_cli.config import documentation
from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import MODEL_CONFIGS, model_config
from seq2seq_cli.config.settings import RANGE, RENAMED, Range, Section, settings_from
from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.errors import InputError
from seq2seq_cli.models import ARCHITECTURES
from seq2seq_cli.runs.run_config import RunConfig

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
SECTIONS: dict[str, type[Section]] = {
    "data": DataConfig,
    "tokenizer": TokenizerSettings,
    "training": TrainingConfig,
    **MODEL_CONFIGS,
}
NUMBERS = [-1e9, -1, -0.5, 0, 1e-9, 0.5, 0.97, 0.98, 0.999, 1, 1.5, 2, 3, 4, 5, 1000]
NUMBERS += [1 << 24, (1 << 24) + 1, 10**12, 1e13, math.inf, -math.inf, math.nan]

FIELDS = [
    pytest.param(kind, each.name, each.metadata.get(RANGE), id=f"{name}.{each.name}")
    for name, kind in SECTIONS.items()
    for each in fields(kind)
]


def documented(kind: type[Section], name: str) -> list[documentation.Setting]:
    """What is said of a setting: more than one entry if architectures differ."""
    found = [*documentation.settings()]
    return [each for each in found if (each.section, each.name) == (kind.SECTION, name)]


def settings(*arguments: str) -> str:
    """What `seq2seq settings` prints."""
    result = CliRunner().invoke(app, ["settings", *arguments])
    if result.exception:
        raise result.exception
    return result.stdout


def error(*arguments: str) -> str:
    with pytest.raises(InputError) as raised:
        settings(*arguments)
    assert raised.value.exit_code == 2
    return str(raised.value)


@pytest.mark.parametrize(("kind", "name", "allowed"), FIELDS)
def test_every_setting_is_documented_by_one_sentence_at_first(
    kind: type[Section], name: str, allowed: Range | None
) -> None:
    assert documented(kind, name)
    for setting in documented(kind, name):
        assert setting.summary.endswith(".")
        assert len(setting.summary) <= 110


def test_the_page_is_what_the_command_writes() -> None:
    assert PAGE.read_text(encoding="utf-8") == settings("--markdown"), (
        "run seq2seq settings --markdown > docs/settings.md"
    )


def test_architectures_and_their_settings_have_the_same_names() -> None:
    assert {name: kind.Config for name, kind in ARCHITECTURES.items()} == MODEL_CONFIGS


@pytest.mark.parametrize(("kind", "name", "allowed"), FIELDS)
def test_what_is_printed_as_allowed_is_what_is_enforced(
    kind: type[Section], name: str, allowed: Range | None
) -> None:
    hints = [get_type_hints(kind)[name], *get_args(get_type_hints(kind)[name])]
    for word in (each for hint in hints if get_origin(hint) is Literal for each in get_args(hint)):
        assert any(f'"{word}"' in f"{each.allowed} {each.type}" for each in documented(kind, name))
        settings_from(kind, kind.SECTION, {name: word})
    numbers = [each for each in NUMBERS if int not in hints or isinstance(each, int)]
    for number in numbers if allowed else ():
        message = ""
        try:
            settings_from(kind, kind.SECTION, {name: number})
        except InputError as raised:
            message = str(raised)
        refused = any(each.allowed in message for each in documented(kind, name))
        assert refused == (number not in allowed), (number, message)


@pytest.mark.parametrize(
    ("allowed", "words"),
    [
        (Range(at_least=1), "1 or more"),
        (Range(above=0), "a number above 0"),
        (Range(above=0, at_most=1000), "a number above 0, up to 1,000"),
        (Range(at_least=0, below=1), "at least 0 and below 1"),
        (Range(at_least=0.98, at_most=1), "0.98 to 1"),
        (Range(at_least=1, odd=True), "an odd number, 1 or more"),
    ],
)
def test_ranges_in_words(allowed: Range, words: str) -> None:
    assert str(allowed) == words


def test_a_number_of_a_list_that_is_not_allowed_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"data\.weights = \[1\.0, 0\.0\]: numbers above 0, up to "
    ):
        DataConfig(source=("a", "b"), target=("c", "d"), weights=(1.0, 0.0))
    with pytest.raises(InputError, match=r"model\.kernel = 4: an odd number, 1 or more is allowed"):
        model_config({"architecture": "conv", "kernel": 4})


def test_one_setting_is_shown_whole() -> None:
    assert settings("training.label_smoothing") == (
        "training.label_smoothing\n"
        "  type     a number\n"
        "  default  0.1\n"
        "  allowed  at least 0 and below 1\n"
        "\n"
        "  Share of the target probability that is spread evenly over the vocabulary.\n"
        "\n"
        "  Paper: Szegedy et al. 2016, Rethinking the Inception Architecture for Computer Vision.\n"
    )


def test_a_bare_name_finds_the_settings_of_every_section_and_architecture() -> None:
    assert "tokenizer.seed\n" in settings("seed")
    assert "training.seed\n" in settings("seed")
    heads = settings("heads")
    assert heads.count("model.heads\n") == 2
    assert "  models   attention-rnn\n" in heads
    assert "  models   transformer\n" in heads


@pytest.mark.parametrize("key", ["model", "[model]"])
def test_a_section_is_listed_alone(key: str) -> None:
    keys = [line.split()[0] for line in settings(key).splitlines()]
    assert "model.width" in keys
    assert all(each.startswith("model.") for each in keys)


def test_without_a_key_each_setting_is_a_line_for_other_programs() -> None:
    lines = settings().splitlines()
    assert len(lines) == len([*documentation.settings()])
    assert all(line.split("  ")[0].count(".") == 1 for line in lines)
    assert not any("\x1b" in line for line in lines)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("training.sed", "unknown setting training.sed; did you mean training.seed?"),
        ("trainin.sed", "unknown setting trainin.sed; did you mean training.seed?"),
        ("trainng", "unknown setting trainng; did you mean training?"),
        ("hedas", "unknown setting hedas; did you mean model.heads?"),
        ("🦆", "unknown setting 🦆; `seq2seq settings` lists all"),
    ],
)
def test_an_unknown_name_gets_the_nearest(key: str, message: str) -> None:
    assert error(key) == message


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("training.dropout", "model.dropout"),
        ("model.batch_tokens", "training.batch_tokens"),
        ("data.seed", "tokenizer.seed or training.seed"),
        ("tokenizer.max_length", "data.max_length"),
    ],
)
def test_a_setting_of_another_section_is_found_there(key: str, meant: str) -> None:
    message = f"unknown setting {key}; did you mean {meant}?"
    assert error(key) == message
    section, _, name = key.partition(".")
    with pytest.raises(InputError, match=re.escape(message)):
        RunConfig.from_tables({"model": {"architecture": "rnn"}} | {section: {name: 1}})


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_answers_with_the_new_one(old: str, new: str) -> None:
    expected = f"the setting {old} was renamed; see {new}"
    assert [error(old), error(old.partition(".")[2])] == [expected, expected]
    settings(new)


def test_settings_of_a_run_are_read_and_documented_without_torch() -> None:
    code = """
import sys
from seq2seq_cli.config import documentation, search
from seq2seq_cli.runs.run_config import RunConfig
documentation.groups()
RunConfig.from_tables({"model": {"architecture": "transformer"}})
sys.exit(str({"torch", "sentencepiece", "numpy"} & sys.modules.keys() or ""))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == ""
