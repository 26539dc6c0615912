"""The `seq2seq` command: one file for each subcommand. Only this package prints and exits.

To read it, begin with `app`, then the file of a command.

- `console`: messages on standard error
- `help`: what `--help` prints
- `commands`: kinds of commands
- `options`: values of options that several commands share
- `paths`: checks of paths that are read and written
- `pipe`: lines from an input through a function to an output
- `progress`: the progress of training in the terminal
- `terminal_plots`: attention and curves in the terminal
- `terminal_tables`: comparisons of systems in the terminal
- `presets`: seq2seq presets
- `settings`: seq2seq settings
- `info`: seq2seq info
- `data`: seq2seq data
- `tokenizer`: seq2seq tokenizer
- `score`: seq2seq score
- `compare`: seq2seq compare
- `inspect`: seq2seq inspect
- `average`: seq2seq average
- `import_run`: seq2seq import
- `export`: seq2seq export
- `push`: seq2seq push
- `likelihood`: seq2seq likelihood
- `translate_files`: the files of seq2seq translate
- `translate`: seq2seq translate
- `train`: seq2seq train
- `app`: all commands together
"""

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
