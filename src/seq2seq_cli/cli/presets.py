"""`seq2seq presets`: the settings files that come with the program."""

import sys
from typing import Annotated

import typer


def presets(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Print this preset's settings.", show_default=False),
    ] = None,
) -> None:
    """List the presets, or print the settings of one, as TOML.

    \b
    seq2seq presets
    seq2seq presets transformer-tiny > my.toml
    """
    from seq2seq_cli.config import presets as package

    if name is not None:
        sys.stdout.write(package.read(name))
        return
    known = package.names()
    width = max(map(len, known), default=0)
    for each in known:
        print(f"{each:<{width}}  {package.description(package.read(each))}".rstrip())
