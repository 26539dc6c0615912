"""Dataclasses whose methods are compiled when they are called behave like those of the library."""

import copy
import dataclasses
import pickle
import re
import subprocess
import sys
from dataclasses import field
from typing import Any, ClassVar

import pytest

from seq2seq_cli.deferred import FEW_OBJECTS, dataclass, pattern


def classes(make: Any) -> dict[str, Any]:
    """The same classes, made by one of both decorators."""

    @make(frozen=True)
    class Point:
        """A point."""

        ORIGIN: ClassVar[str] = "origin"
        x: int
        y: int = 2
        names: list[str] = field(default_factory=list, compare=False)
        told: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

        def __post_init__(self) -> None:
            if self.x < 0:
                raise ValueError(self.x)

    @make(frozen=True)
    class Further(Point):
        """A point in space."""

        z: int = 3

    @make
    class Changing:
        """A record that may change."""

        x: int = 1
        fixed: int = field(default=7, init=False)

    @make(frozen=True, eq=False)
    class Alone:
        """A record that only equals itself."""

        x: int = 1

    @make(frozen=True, kw_only=True)
    class Named:
        """A record of another kind."""

        x: int = 1

    return {each.__name__: each for each in (Point, Further, Changing, Alone, Named)}


OURS, THEIRS = classes(dataclass), classes(dataclasses.dataclass)
CASES: dict[str, Any] = {
    "fields": lambda c: [(f.name, f.init, f.repr) for f in dataclasses.fields(c["Further"])],
    "values": lambda c: vars(c["Further"](1, z=4)),
    "by name": lambda c: vars(c["Point"](x=1, names=["a"])),
    "default": lambda c: c["Point"].y,
    "a list of its own": lambda c: c["Point"](1).names is c["Point"](1).names,
    "repr": lambda c: repr([c["Further"](1), c["Changing"](), c["Named"]()]).replace("classes", ""),
    "equal": lambda c: c["Point"](1) == c["Point"](1, names=["b"]),
    "unequal": lambda c: c["Point"](1) == c["Point"](2),
    "unequal classes": lambda c: (c["Point"](1) == c["Further"](1), c["Point"](1) == 1),
    "equal to itself only": lambda c: (c["Alone"]() == c["Alone"](), len({c["Alone"](), 1})),
    "hash": lambda c: len({c["Point"](1), c["Point"](1, 2), c["Further"](1)}),
    "no hash": lambda c: c["Changing"].__hash__,
    "replace": lambda c: vars(dataclasses.replace(c["Further"](1, 5), z=9)),
    "asdict": lambda c: dataclasses.asdict(c["Point"](1, names=["a"])),
    "copy": lambda c: vars(copy.deepcopy(c["Point"](1, names=["a"]))),
    "match": lambda c: c["Further"].__match_args__,
    "subclass": lambda c: vars(type("Sub", (c["Point"],), {})(3)),
    "frozen": lambda c: setattr(c["Point"](1), "x", 3),
    "frozen for what it inherits": lambda c: setattr(c["Further"](1), "x", 3),
    "frozen for good": lambda c: delattr(c["Point"](1), "x"),
    "missing": lambda c: c["Point"](),
    "too many": lambda c: c["Point"](1, 2, [], 4),
    "unknown": lambda c: c["Point"](1, w=2),
    "not given at init": lambda c: c["Changing"](fixed=1),
    "refused": lambda c: c["Point"](-1),
    "changed": lambda c: (setattr(one := c["Changing"](), "x", 3), vars(one))[1],
}  # fmt: skip


def result(case: Any, made: dict[str, Any]) -> tuple[object, ...]:
    try:
        return (case(made),)
    except (TypeError, ValueError, AttributeError) as error:
        if "missing" in str(error) or "lacks" in str(error):
            return (type(error),)
        return type(error), re.sub(r"\S*__init__\(\)", "__init__()", str(error))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_dataclass_is_like_one_of_the_standard_library(case: Any) -> None:
    expected = result(case, THEIRS)
    made = classes(dataclass)
    for _ in range(2 * FEW_OBJECTS):  # in the end with compiled methods
        assert result(case, made) == expected


def test_both_kinds_inherit_from_each_other() -> None:
    for one, other in ((OURS, dataclasses.dataclass), (THEIRS, dataclass)):
        own = {"__annotations__": {"w": int}, "w": 4}
        made = other(frozen=True)(type("Child", (one["Point"],), own))
        assert vars(made(1)) == {"x": 1, "y": 2, "names": [], "told": set(), "w": 4}
        with pytest.raises(dataclasses.FrozenInstanceError):
            made(1).w = 5
        with pytest.raises(TypeError, match="frozen"):
            other(type("Child", (one["Point"],), {}))
    assert OURS["Point"].__dataclass_params__.frozen


@dataclass(frozen=True)
class AtModule:
    """A record that can be pickled by the standard library."""

    x: int = 1


def test_records_travel_between_processes() -> None:
    assert pickle.loads(pickle.dumps(AtModule(3))) == AtModule(3)


def test_a_pattern_is_like_a_regular_expression() -> None:
    ours, theirs = pattern(r"(a)(\d+)", re.IGNORECASE), re.compile(r"(a)(\d+)", re.IGNORECASE)
    assert ours.pattern == theirs.pattern
    for _ in range(2):
        assert ours.findall("A1 a22") == theirs.findall("A1 a22")
        assert ours.sub("-", "A1 a22") == "- -"
        found = ours.fullmatch("a3")
        assert found is not None
        assert found[2] == "3"
    with pytest.raises(AttributeError):
        ours.unknown  # type: ignore[attr-defined]  # noqa: B018


def test_a_translation_imports_only_what_it_needs() -> None:
    """Each of these takes milliseconds, and none is needed to translate a line."""
    code = (
        "import sys, seq2seq_cli.cli.translate, seq2seq_cli.data.sources\n"
        "import seq2seq_cli.translation.translator\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not {"logging", "numpy.random", "concurrent.futures", "rich", "torch"} & loaded
    ours = {name.removeprefix("seq2seq_cli.") for name in loaded if name.startswith("seq2seq_cli.")}
    unneeded = {"runs.checkpoints", "data.token_pairs", "data.cache", "cli.help", "inference.conv"}
    assert not unneeded & ours
