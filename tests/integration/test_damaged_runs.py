"""A run folder that was cut or changed anywhere is refused or harmless; no process ends."""

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from seq2seq_cli.errors import InputError, Seq2seqError
from seq2seq_cli.kernels.arrays import Array
from seq2seq_cli.runs.run_folder import RunFolder
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


def test_tokenizers_of_another_size_than_the_weights_are_refused(run_copy: Path) -> None:
    """Their tokens could lie beyond the rows of the embedding."""
    run = RunFolder(run_copy)
    model, sizes = run.load_plain_model(), run.config.vocabulary()
    fewer = {
        name: torch.from_numpy(np.array(array[:-1] if "embedding" in name else array))
        for name, array in model.arrays.items()
    }
    run.save_model(fewer)
    text = (run_copy / "config.toml").read_text()
    for side in ("source", "target"):
        size = getattr(sizes, side)
        text = text.replace(f"{side} = {size}\n", f"{side} = {size - 1}\n")
    (run_copy / "config.toml").write_text(text)
    with pytest.raises(InputError, match="its tokenizers do not have the vocabulary"):
        Translator.load(run_copy)


BAD_LISTS: dict[str, Callable[[Array, Array], tuple[Array, Array]]] = {
    "too few source tokens": lambda translations, common: (translations[1:], common),
    "a token out of range": lambda translations, common: (translations + 10_000, common),
    "negative tokens": lambda translations, common: (-translations, common),
    "no integers": lambda translations, common: (translations.astype(np.float32), common),
    "no control symbols": lambda translations, common: (translations, common[4:]),
}


@pytest.mark.parametrize("change", BAD_LISTS.values(), ids=BAD_LISTS)
def test_a_shortlist_that_does_not_fit_is_refused(
    change: Callable[[Array, Array], tuple[Array, Array]], run_copy: Path
) -> None:
    run = RunFolder(run_copy)
    run.save_shortlist(*change(*run.load_shortlist(run.config.vocabulary())))
    with pytest.raises(InputError, match="does not fit the vocabularies"):
        Translator.load(run_copy, TranslationSettings(shortlist=True))
