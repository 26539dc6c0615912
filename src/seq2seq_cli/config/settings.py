"""Settings as frozen dataclasses, read from and written to strict TOML.

The default of a setting, the numbers that it allows and its documentation are in its dataclass and
nowhere else. An unknown key is an error that names the nearest valid one.
"""

import difflib
import json
import math
import numbers
import tomllib
import types
from collections.abc import Iterable, Mapping
from dataclasses import field, fields
from functools import cache
from typing import (
    Any,
    ClassVar,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from seq2seq_cli.deferred import dataclass
from seq2seq_cli.errors import InputError

RANGE = "range"  # key of a field's metadata
NUMBERS = {int: numbers.Integral, float: numbers.Real}  # what a number may be in Python
MOST = 10**12  # a greater number is a mistake, and may not fit where it is used

# Names of settings in files that older versions wrote -> their names of today.
RENAMED = {
    "training.part_tokens": "training.micro_batch_tokens",
    "training.compile_layers": "training.torch_compile",
    "training.recompute_layers": "training.activation_checkpointing",
}

Table = dict[str, Any]  # one section of a TOML file: key -> value
Kind = TypeVar("Kind")
Value = TypeVar("Value")


def require(holds: bool, message: str) -> None:
    """Raise InputError with this message unless the condition holds."""
    if not holds:
        raise InputError(message)


@dataclass(frozen=True)
class Range:
    """The numbers that a setting allows. NaN and infinity are never among them."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    odd: bool = False

    def __contains__(self, value: float) -> bool:
        return (
            math.isfinite(value)
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
            and (not self.odd or value % 2 == 1)
        )

    def __str__(self) -> str:
        """The range in words, such as "1 or more" or "at least 0 and below 1"."""
        if self.above is not None:
            end = f", up to {self.at_most:,}" if self.at_most is not None else ""
            return f"a number above {self.above:,}{end}"
        if self.below is not None:
            return f"at least {self.at_least:,} and below {self.below:,}"
        if self.at_most is not None:
            return f"{self.at_least:,} to {self.at_most:,}"
        return f"{'an odd number, ' if self.odd else ''}{self.at_least:,} or more"


def setting(
    default: Value,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    odd: bool = False,
) -> Value:
    """A field of a `Section`: its default, and the numbers that are allowed.

    The check, its message, `seq2seq settings` and docs/settings.md all read the range from here.
    """
    allowed = Range(at_least, above, at_most, below, odd)
    return field(default=default, metadata={RANGE: allowed})


@dataclass(frozen=True)
class Section:
    """Base of the dataclasses that are sections of a settings file.

    A field that only some numbers fit is a `setting`. The docstring under each field is what users
    read about it; `documentation` has its form.
    """

    SECTION: ClassVar[str] = ""

    @classmethod
    def assignment(cls, name: str, value: object) -> str:
        """How messages write a setting with its value, as in `training.seed = 1`."""
        return f"{cls.SECTION}.{name} = {toml_value(value)}"

    def __post_init__(self) -> None:
        """Raise InputError for a value that its field does not allow."""
        hints = _type_hints(type(self))
        for each in fields(self):
            value, allowed = getattr(self, each.name), each.metadata.get(RANGE)
            if not any(_is_of(value, hint) for hint in _alternatives(hints[each.name])):
                raise InputError(
                    f"{self.assignment(each.name, value)}: "
                    f"{type_in_words(type(self), each.name)} is allowed"
                )
            items = value if isinstance(value, tuple) else (value,)
            found = [item for item in items if isinstance(item, numbers.Real)]
            if allowed is not None and any(number not in allowed for number in found):
                raise InputError(
                    f"{self.assignment(each.name, value)}: "
                    f"{allowed_values(type(self), each.name)} is allowed"
                )


_evaluated_hints = cache(get_type_hints)  # evaluating them takes longer than reading a run folder


def _type_hints(kind: Any) -> dict[str, Any]:
    """The types of a class's fields."""
    return _evaluated_hints(kind)


def allowed_values(kind: type[Section], name: str) -> str:
    """The values that a setting allows, in words, such as `1 or more, or "auto"`."""
    (allowed,) = (each.metadata.get(RANGE) for each in fields(kind) if each.name == name)
    hints = _alternatives(_type_hints(kind)[name])
    if allowed is None:
        return " or ".join(map(_describe, hints))
    if get_origin(hints[0]) is tuple:
        return f"numbers {str(allowed).removeprefix('a number ')},"
    return ", or ".join([str(allowed), *map(_describe, hints[1:])])


def type_in_words(kind: type[Section], name: str) -> str:
    """The type of a setting in words, such as `a whole number or "auto"`."""
    return " or ".join(map(_describe, _alternatives(_type_hints(kind)[name])))


def settings_from(kind: type[Kind], section: str, table: Mapping[str, Any]) -> Kind:
    """Build a settings dataclass from a TOML table.

    Raises InputError for an unknown key, with the nearest valid one, and for a value of the wrong
    type, with what is allowed.
    """
    hints = _type_hints(kind)
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for key in table:
        if key not in names:
            raise InputError(_unknown(f"{section}.{key}", [f"{section}.{name}" for name in names]))
    values = {key: _checked(f"{section}.{key}", table[key], hints[key]) for key in table}
    return kind(**values)


def _checked(name: str, value: object, hint: Any) -> Any:
    """The value as the type of its field, or an InputError that says which types are allowed."""
    for allowed in _alternatives(hint):
        if get_origin(allowed) is Literal:
            if any(value == choice and type(value) is type(choice) for choice in get_args(allowed)):
                return value
        elif allowed is float and type(value) in (int, float):
            return float(value)  # type: ignore[arg-type]
        elif get_origin(allowed) is tuple:
            items = value if isinstance(value, list | tuple) else [value]
            if all(_fits(item, get_args(allowed)[0]) for item in items):
                return tuple(map(get_args(allowed)[0], items))
        elif type(value) is allowed:
            require(
                not isinstance(value, int) or abs(value) <= MOST,
                f"{name} = {value}: at most {MOST:,} is allowed",
            )
            return value
    expected = " or ".join(map(_describe, _alternatives(hint)))
    guess = ""
    choices = [c for a in _alternatives(hint) if get_origin(a) is Literal for c in get_args(a)]
    if isinstance(value, str) and (close := difflib.get_close_matches(value, choices, n=1)):
        guess = f'; did you mean "{close[0]}"?'
    raise InputError(f"{name} = {toml_value(value)}: {expected} is allowed{guess}")


def _is_of(value: object, hint: Any) -> bool:
    """Whether a value from Python has this type; NumPy's numbers are numbers too."""
    if get_origin(hint) is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        return isinstance(value, list | tuple) and all(
            item is str or _is_of(x, item) for x in value
        )
    if hint in NUMBERS:
        return isinstance(value, NUMBERS[hint]) and not isinstance(value, bool)
    return isinstance(value, hint)


def _fits(value: object, hint: type) -> bool:
    """Whether a value may stand in a list of this type."""
    return type(value) in ((int, float) if hint is float else (hint,))


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _describe(hint: Any) -> str:
    if get_origin(hint) is Literal:
        *others, last = (f'"{choice}"' for choice in get_args(hint))
        return f"{', '.join(others)} or {last}" if others else last
    if get_origin(hint) is tuple:
        return f"a list of {'numbers' if get_args(hint)[0] is float else 'strings'}"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}
    return words.get(hint, "None" if hint is types.NoneType else hint.__name__)


def _unknown(name: str, valid: Iterable[str]) -> str:
    """The message for an unknown setting, with its new name or the nearest valid one."""
    if name in RENAMED:
        return f"the setting {name} was renamed; write {RENAMED[name]}"
    valid = list(valid)
    # Keys are compared without their section, or every key of the section would be near.
    keys = {each.rpartition(".")[2]: each for each in valid}
    near = difflib.get_close_matches(name.rpartition(".")[2], keys, n=1, cutoff=0.5)
    close = [keys[key] for key in near]
    if close:
        return f"unknown setting {name}; did you mean {close[0]}?"
    return f"unknown setting {name}; allowed are {', '.join(valid)}"


def parse_toml(text: str, name: str) -> dict[str, Table]:
    """Parse a settings file into its sections. `name` is how messages call it."""
    try:
        parsed = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{name} is not valid TOML: {error}") from None
    for section, table in parsed.items():
        if not isinstance(table, dict):
            raise InputError(
                f"{name}: {section} is outside of a section; write it below [training], [model], "
                "[tokenizer] or [data]"
            )
    return parsed


def parse_assignment(assignment: str) -> tuple[str, str, object]:
    """Split `section.key=value` of --set; a value that is not TOML is taken as a string."""
    name, equals, text = assignment.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and section and key):
        raise InputError(
            f"--set {assignment}: give section.key=value, as in training.max_updates=2000"
        )
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return section, key, text.strip()
    if len(parsed) > 1:
        raise InputError(f"--set {assignment}: one setting at a time; give --set several times")
    return section, key, parsed["value"]


def merged(*layers: Mapping[str, Table]) -> dict[str, Table]:
    """Lay settings over each other, section by section; later layers win."""
    result: dict[str, Table] = {}
    for layer in layers:
        for section, table in layer.items():
            result.setdefault(section, {}).update(table)
    return result


def with_todays_names(tables: Mapping[str, Table]) -> dict[str, Table]:
    """The sections of a file that an older version of this program wrote, with today's names."""
    result = {section: dict(table) for section, table in tables.items()}
    for old, new in RENAMED.items():
        section, _, key = old.partition(".")
        table = result.get(section, {})
        if key in table:
            table.setdefault(new.rpartition(".")[2], table.pop(key))
    return result


def check_sections(tables: Mapping[str, Table], valid: Iterable[str]) -> None:
    """Raise InputError for a section that does not exist."""
    valid = list(valid)
    for section in tables:
        if section not in valid:
            raise InputError(_unknown(f"[{section}]", [f"[{name}]" for name in valid]))


def to_toml(sections: Mapping[str, Mapping[str, object]]) -> str:
    """Write sections as TOML."""
    blocks = []
    for section, table in sections.items():
        lines = [f"{key} = {toml_value(value)}" for key, value in table.items()]
        blocks.append("\n".join([f"[{section}]", *lines, ""]))
    return "\n".join(blocks)


def toml_value(value: object) -> str:
    """Write a value as TOML."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, str):
        # A JSON string is a TOML basic string, except for DEL, which TOML requires to be escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value) if isinstance(value, bool) else repr(value)
