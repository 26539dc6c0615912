"""Options of `seq2seq tokenizer train` under each of their names."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from seq2seq_cli.cli.app import app
from seq2seq_cli.tokenization.tokenizer import Tokenizer


@pytest.mark.parametrize("name", ["--vocab-size", "--vocabulary-size"])
def test_the_size_of_the_vocabulary_has_the_name_of_the_setting_too(
    name: str, tmp_path: Path
) -> None:
    text, model = tmp_path / "text", tmp_path / "model"
    text.write_text("one two three four five six seven\n" * 3)
    command = ["tokenizer", "train", str(text), "-o", str(model), name, "20"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert len(Tokenizer.load(model)) == 20
