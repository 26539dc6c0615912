"""Writes runs as Marian's models: model.npz, vocabularies and decoder.yml."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seq2seq_cli.config.settings import require
from seq2seq_cli.interop.marian.files import DECODER, MODEL
from seq2seq_cli.interop.marian.model import MarianExport, export_model
from seq2seq_cli.interop.marian.npz import write_npz
from seq2seq_cli.interop.marian.options import OPTIONS
from seq2seq_cli.interop.marian.vocabulary import written_list
from seq2seq_cli.interop.search_notes import penalty_notes
from seq2seq_cli.kernels.arrays import Array
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.tokenization.exported_vocabulary import MARIAN_SPM
from seq2seq_cli.whole_files import replace_file

MODEL_FILE, LIST_FILE, JOINT_FILE = f"model{MODEL}", "vocab.yml", "vocab.spm"
SIDE_FILES = ("source.spm", "target.spm")


def write(run: RunFolder, output: Path, quantization: str) -> Sequence[str]:
    """Write a run as Marian has it: model.npz, vocabularies and decoder.yml.

    Returns notes on what Marian does otherwise. Raises InputError with the setting that Marian does
    not have.
    """
    require(
        quantization in ("", "float32"),
        f"--quantization {quantization}: Marian's npz holds float32; marian-conv makes other types "
        "of it, and --format firefox writes int8",
    )
    exported = export_model(run)
    write_npz(output / MODEL_FILE, _arrays(exported))
    source, target = exported.source.model, exported.target.model
    if exported.layout is MARIAN_SPM:
        names = [JOINT_FILE] * 2 if source == target else list(SIDE_FILES)
    else:
        names = [LIST_FILE] * 2
        replace_file(output / LIST_FILE, written_list(exported.source.pieces))
    if exported.layout is MARIAN_SPM and source == target:
        replace_file(output / JOINT_FILE, source)
    else:
        for name, model in zip(SIDE_FILES, (source, target), strict=True):
            replace_file(output / name, model)
    replace_file(output / DECODER, _decoder(run, names).encode())
    return [*exported.notes, *penalty_notes("Marian", run.config.facts().search)]


def _arrays(exported: MarianExport) -> Iterator[tuple[str, Array]]:
    yield from exported.parameters
    text = _yaml(exported.options).encode() + b"\0"
    yield OPTIONS, np.frombuffer(text, dtype=np.int8)


def _decoder(run: RunFolder, vocabularies: Sequence[str]) -> str:
    """How to decode: the defaults of `translate`, as far as Marian has them."""
    return _yaml(
        {
            "relative-paths": True,
            "models": [MODEL_FILE],
            "vocabs": list(vocabularies),
            "beam-size": 5,
            "normalize": 1.0,
            "word-penalty": 0.0,
            "max-length-factor": 3.0,
            "mini-batch": 32,
            "maxi-batch": 100,
            "maxi-batch-sort": "src",
        }
    )


def _yaml(values: dict[str, Any]) -> str:
    import yaml  # type: ignore[import-untyped]

    text: str = yaml.safe_dump(values, sort_keys=False)
    return text
