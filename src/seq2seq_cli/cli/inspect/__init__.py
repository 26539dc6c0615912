"""`seq2seq inspect`: attention and hidden states of a model, and the course of its training.

- `options`: options that its commands share
- `pairs`: source lines and the translations given for them
- `attention`: seq2seq inspect attention
- `states`: seq2seq inspect states
- `geometry`: seq2seq inspect geometry
- `curves`: seq2seq inspect curves
- `probe`: seq2seq inspect probe
- `agreement`: seq2seq inspect agreement
"""

import typer

from seq2seq_cli.cli.commands import Command, Group
from seq2seq_cli.cli.inspect.agreement import agreement
from seq2seq_cli.cli.inspect.attention import attention
from seq2seq_cli.cli.inspect.curves import curves
from seq2seq_cli.cli.inspect.geometry import geometry
from seq2seq_cli.cli.inspect.probe import probe
from seq2seq_cli.cli.inspect.states import states

app = typer.Typer(
    cls=Group,
    help="Show attention and hidden states of a model, or the course of its training.",
    no_args_is_help=True,
)


@app.callback()
def inspect() -> None:
    """Show attention and hidden states of a model, or the course of its training."""


for function in (attention, states, geometry, probe, agreement, curves):
    app.command(cls=Command)(function)
