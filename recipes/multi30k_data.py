"""Fetches Multi30k English-German from the Hugging Face hub as plain text files."""

import sys
from pathlib import Path

from datasets import load_dataset

from seq2seq_cli.text import write_lines

FILES = {"train": "train", "validation": "val", "test": "test_2016_flickr"}

directory = Path(sys.argv[1])
if not (directory / "test_2016_flickr.de").exists():  # the last file written
    directory.mkdir(parents=True, exist_ok=True)
    for split, name in FILES.items():
        rows = load_dataset("bentrevett/multi30k", split=split)
        for language in ("en", "de"):
            write_lines(directory / f"{name}.{language}", rows[language])
