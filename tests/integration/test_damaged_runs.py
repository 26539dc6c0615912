"""A run folder that was cut or changed anywhere is refused or harmless; no process ends."""

import shutil
from pathlib import Path
from random import Random

import pytest

from seq2seq_cli.errors import Seq2seqError
from seq2seq_cli.translation import TranslationSettings, Translator

FILES = ("config.toml", "model.safetensors", "tokenizer.model", "shortlist.safetensors")
LINES = ["one two three .", "four"]
DAMAGES = 250  # of each file


def damaged(content: bytes, random: Random) -> bytes:
    """Cut a file, or change some of its bits; the beginning, which has a header, more often."""
    if random.random() < 0.3:
        return content[: random.randrange(len(content))]
    changed = bytearray(content)
    for _ in range(random.choice([1, 1, 1, 4, 40])):
        end = len(changed) if random.random() < 0.5 else min(len(changed), 200)
        changed[random.randrange(end)] ^= 1 << random.randrange(8)
    return bytes(changed)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_run_is_refused_or_harmless(name: str, trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for each in FILES:
        shutil.copy(trained / each, run)
    settings = TranslationSettings(shortlist=name == "shortlist.safetensors")
    expected = [each.text for each in Translator.load(run, settings).translate(LINES)]
    content, random, refused = (run / name).read_bytes(), Random(name), 0
    for _ in range(DAMAGES):
        (run / name).write_bytes(damaged(content, random))
        try:
            found = [each.text for each in Translator.load(run, settings).translate(LINES)]
        except Seq2seqError:
            refused += 1
            continue
        assert name == "config.toml" or found == expected
    assert refused > DAMAGES // 2
