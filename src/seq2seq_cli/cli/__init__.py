"""The `seq2seq` command: one file for each subcommand. Only this package prints and exits."""

import signal


def main() -> None:
    """Run the command line.

    Ctrl-C ends the process at once wherever nothing else was decided: there is nothing to save,
    what is imported may swallow an exception, and SentencePiece learns for minutes without asking
    Python.
    """
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:  # not where it is ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from seq2seq_cli.cli.app import run

    run()


__all__ = ["main"]
