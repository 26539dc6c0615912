"""Settings and options that have no effect under others, in a table for each command.

Every setting, and every option of the commands in `commands`, is named in a table: among those that
always have an effect (or are refused where they have none), or in a condition under which it has
none. `tests/unit/test_effects.py` fails for one that is missing. Settings are written as
`section.key`, options of `train` that are not settings as `--option`, and those of the other
commands as the parameters of their functions.

- `conditions`: what a table is made of, and the warnings that it makes
- `train`: the settings, and the options of `seq2seq train`
- `translate`: translate and likelihood
- `score`: score and compare
- `inspect`: the commands of inspect
- `tokenizer`: the commands of tokenizer
- `commands`: the tables of all commands
"""
