"""Tables of settings or options, and the warnings about those that have no effect."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from seq2seq_cli.deferred import dataclass

Values = Mapping[str, Any]  # name -> value; what is not known yet is not there


@dataclass(frozen=True)
class Condition:
    """A condition under which some settings have no effect, and why."""

    names: tuple[str, ...]
    holds: Callable[[Values], bool]  # a value that is not known raises KeyError
    reason: str


@dataclass(frozen=True)
class Caution:
    """A warning that is worth giving if one of some settings is given, and when."""

    names: tuple[str, ...]
    holds: Callable[[Values], bool]
    sentence: str


@dataclass(frozen=True)
class Effects:
    """The conditions for all settings of one command."""

    always: frozenset[str]
    conditions: tuple[Condition, ...]
    cautions: tuple[Caution, ...] = ()

    def sentences(
        self,
        given: Collection[str],
        values: Values,
        write: Callable[[str], str] = lambda name: name,
    ) -> Iterator[str]:
        """Say which of the settings that were given have no effect, each once.

        `given` are those with another value than they would have anyway; `write` is how messages
        write the name of a setting.
        """
        told = set[str]()
        for condition in self.conditions:
            names = [name for name in condition.names if name in given and name not in told]
            if names and _holds(condition.holds, values):
                told.update(names)
                yield from (f"{write(name)} has no effect: {condition.reason}" for name in names)
        for caution in self.cautions:
            if any(name in given for name in caution.names) and _holds(caution.holds, values):
                yield caution.sentence

    def names(self) -> set[str]:
        """All settings that are named here."""
        return set(self.always).union(*(condition.names for condition in self.conditions))


def _holds(condition: Callable[[Values], bool], values: Values) -> bool:
    try:
        return condition(values)
    except KeyError:  # what is chosen later, such as by the preset auto
        return False


# The options of every command that reads text.
READING_OPTIONS = frozenset({"encoding", "delimiter", "as_text"})
