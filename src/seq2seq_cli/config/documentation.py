"""The documentation of every setting, read from the dataclasses of the other files here.

`seq2seq settings` and docs/settings.md are made from it. The form of the docstrings is described in
`docstrings`.
"""

import difflib
from collections.abc import Iterator
from dataclasses import fields
from functools import cache

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.docstrings import PAPER, field_docstrings, paragraphs_of
from seq2seq_cli.config.models import MODEL_CONFIGS, ModelConfig
from seq2seq_cli.config.settings import (
    RENAMED,
    Section,
    allowed_values,
    toml_value,
    type_in_words,
)
from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.errors import InputError


@dataclass(frozen=True)
class Setting:
    """One setting as users read about it."""

    section: str
    name: str
    architectures: tuple[str, ...]  # that have it; empty outside the section model
    type: str  # in words
    default: str  # as TOML; empty if there is none
    allowed: str  # in words; empty if every value of the type is
    summary: str  # one sentence
    details: str  # further paragraphs, or empty
    paper: str  # or empty

    @property
    def key(self) -> str:
        """The name with its section, as in `training.seed`."""
        return f"{self.section}.{self.name}"


@dataclass(frozen=True)
class Group:
    """Settings that are shown together: a section, or those of the same architectures."""

    section: str
    architectures: tuple[str, ...]
    settings: tuple[Setting, ...]

    @property
    def title(self) -> str:
        """The section, and the architectures where only some have these settings."""
        only = (
            "" if set(self.architectures) == set(MODEL_CONFIGS) else ", ".join(self.architectures)
        )
        return f"[{self.section}]{f' of {only}' if only else ''}"


@cache
def groups() -> tuple[Group, ...]:
    """All settings, in the order of a settings file."""
    found = [_group(DataConfig, ()), _group(TokenizerSettings, ())]
    owners: dict[type[Section], list[str]] = {}  # class -> architectures that inherit its fields
    for architecture, config in MODEL_CONFIGS.items():
        for kind in reversed(config.__mro__):
            if issubclass(kind, ModelConfig):
                owners.setdefault(kind, []).append(architecture)
    found += [_group(kind, tuple(names)) for kind, names in owners.items()]
    return (*found, _group(TrainingConfig, ()))


def _group(kind: type[Section], architectures: tuple[str, ...]) -> Group:
    documented = field_docstrings(kind)
    settings = tuple(
        _setting(kind, name, architectures, documented[name])
        for name in (each.name for each in fields(kind))
        if name in documented
    )
    return Group(kind.SECTION, architectures, settings)


def _setting(kind: type[Section], name: str, architectures: tuple[str, ...], text: str) -> Setting:
    """A setting from the docstring under its field in this class."""
    (default,) = (each.default for each in fields(kind) if each.name == name)
    paragraphs = paragraphs_of(text)
    papers = [each.removeprefix(PAPER) for each in paragraphs if each.startswith(PAPER)]
    summary, *details = (each for each in paragraphs if not each.startswith(PAPER))
    described, allowed = type_in_words(kind, name), allowed_values(kind, name).rstrip(",")
    written = toml_value(default)
    if name == "architecture":  # which the dataclass of each architecture narrows down to one
        allowed, written = ", ".join(toml_value(each) for each in MODEL_CONFIGS), ""
    return Setting(
        section=kind.SECTION,
        name=name,
        architectures=architectures,
        type=described,
        default=written,
        allowed="" if allowed == described else allowed,
        summary=summary,
        details="\n\n".join(details),
        paper="\n".join(papers),
    )


def settings() -> Iterator[Setting]:
    """All settings, in the order of a settings file."""
    for group in groups():
        yield from group.settings


def find(wanted: str) -> tuple[Group, ...]:
    """The settings with this key, this name or in this section.

    Raises InputError, with the nearest name, if there are none, and names the new name of a setting
    that was renamed.
    """
    wanted = wanted.strip().removeprefix("[").removesuffix("]")
    for old, new in RENAMED.items():
        if wanted in (old, old.partition(".")[2]):
            raise InputError(f"the setting {old} was renamed; see {new}")
    found = []
    for group in groups():
        matching = [
            each for each in group.settings if wanted in (each.section, each.key, each.name)
        ]
        if matching:
            found.append(Group(group.section, group.architectures, tuple(matching)))
    if found:
        return tuple(found)
    raise InputError(f"unknown setting {wanted}{_nearest(wanted)}")


def _nearest(wanted: str) -> str:
    """What was probably meant, as the end of a message.

    A setting of this very name in another section goes before a similar one in this section.
    """
    section, _, name = wanted.rpartition(".")
    sections = {each.section for each in settings()}
    likely = difflib.get_close_matches(section, sections, n=1)
    same = list(dict.fromkeys(each.key for each in settings() if each.name == name))
    same = [key for key in same if key.partition(".")[0] in likely] or same
    if same:
        return f"; did you mean {' or '.join(same)}?"
    names = {} if section else {each: each for each in sections}
    for each in settings():
        if not likely or each.section in likely:
            names.setdefault(each.name, each.key)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {names[close[0]]}?" if close else "; `seq2seq settings` lists all"


PAGE = """# Settings

What can be set in a file for `seq2seq train --config`, or singly as in `--set training.seed=2`.
`seq2seq settings KEY` shows one of them in the terminal. Defaults are those of a settings file;
without one, `train` [chooses](training.md#what-train-chooses-by-itself) sizes, dropout, batches,
learning rate and length by the text. This page is written by `seq2seq settings --markdown`.

"""


def markdown(chosen: tuple[Group, ...]) -> str:
    """Settings as a page of Markdown: a heading for each group, and a table of its settings."""
    lines = []
    for group in chosen:
        lines += [f"## {group.title}", "", "| setting | default | allowed | meaning |"]
        lines += ["|---|---|---|---|", *map(_row, group.settings), ""]
    return PAGE + "\n".join(lines)


def _row(setting: Setting) -> str:
    meaning = " ".join(f"{setting.summary} {setting.details}".split())
    paper = f" *{setting.paper}*" if setting.paper else ""
    default = f"`{setting.default}`" if setting.default else ""
    allowed = setting.allowed or setting.type
    return f"| `{setting.key}` | {default} | {allowed} | {meaning}{paper} |"
