"""The `seq2seq` command: one file for each subcommand. Only this package prints and exits."""

from seq2seq_cli.cli.app import main

__all__ = ["main"]
