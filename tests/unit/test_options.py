"""Options that take several values at once."""

from seq2seq_cli.cli.commands import repeat_options


def test_values_after_a_repeatable_option_each_get_it() -> None:
    given = ["--source", "a", "-:2", "-", "--output", "run", "--source", "c"]
    wanted = ["--source", "a", "--source", "-:2", "--source", "-"]
    wanted += ["--output", "run", "--source", "c"]
    assert repeat_options(given, {"--source", "--target"}) == wanted


def test_other_options_keep_their_one_value() -> None:
    assert repeat_options(["--output", "run", "rest"], {"--source"}) == ["--output", "run", "rest"]
