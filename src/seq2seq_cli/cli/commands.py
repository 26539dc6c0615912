"""Kinds of commands: with help of our own, with options of many values, loaded when asked for."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from seq2seq_cli.cli.help import Rows


class Command(TyperCommand):
    """A command that writes its help as `help` does."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        from seq2seq_cli.cli.help import print_help

        print_help(self, ctx, {})


class Group(TyperGroup):
    """A group of commands that writes its help as `help` does."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        from seq2seq_cli.cli.help import print_help

        print_help(self, ctx, self.panels(ctx))

    def panels(self, ctx: Any) -> "Mapping[str, Rows]":
        """The commands by panel, each with its summary."""
        from seq2seq_cli.cli.help import first_paragraph

        commands = [(name, self.commands[name]) for name in self.list_commands(ctx)]
        return {
            "Commands": [(name, first_paragraph(each.help or ""), "") for name, each in commands]
        }


class ManyValuesCommand(Command):
    """A command without arguments whose repeatable options also take several values at once.

    As in `--source a.en b.en` or `--source part-*.en`.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the name of a repeatable option before each of its values, then parse."""
        params: list[Any] = self.params
        many = {name for option in params if option.multiple for name in option.opts}
        return list(super().parse_args(ctx, repeat_options(args, many)))


def repeat_options(arguments: list[str], names: set[str]) -> list[str]:
    """Write `--source a b` as `--source a --source b`, for the options with these names.

    A value ends where the next option begins; `-` and `-:2` are values: standard input.
    """
    result: list[str] = []
    current = ""  # the option whose values are being read
    values = 0
    for argument in arguments:
        if argument.startswith("-") and argument != "-" and not argument.startswith("-:"):
            current = argument if argument in names else ""
            values = 0
        elif current:
            values += 1
            if values > 1:
                result.append(current)
        result.append(argument)
    return result


class LazyCommands(Mapping[str, Any]):
    """Commands by name, each loaded when it is first asked for."""

    def __init__(self, names: list[str], load: Callable[[str], Any]) -> None:
        self.names = names
        self.load = load
        self.loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self.names:
            raise KeyError(name)
        if name not in self.loaded:
            self.loaded[name] = self.load(name)
        return self.loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)
