"""Reads checkpoints of unbabel-comet, without running anything in them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml  # type: ignore[import-untyped]

from seq2seq_cli.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

CHECKPOINT, SETTINGS = "checkpoints/model.ckpt", "hparams.yaml"
FETCH = (
    "fetch it once with a connection: `hf download NAME --local-dir FOLDER`, where NAME is "
    "Unbabel/wmt22-comet-da for comet and Unbabel/wmt22-cometkiwi-da for comet-kiwi, and into "
    "FOLDER/encoder the files config.json and tokenizer.json of its encoder: of "
    "xlm-roberta-large for the former, microsoft/infoxlm-large for the latter"
)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint: its settings, its weights by name, and a hash of its file."""

    path: Path  # as it was given: the file, or the folder that has it
    folder: Path
    settings: Mapping[str, Any]
    weights: "Mapping[str, Tensor]"
    sha256: str

    def head(self, encoder: str, device: Any) -> "dict[str, Tensor]":
        """All weights but those of the encoder, whose names begin so, in float32."""
        import torch

        return {
            name: weight.to(device, torch.float32)
            for name, weight in self.weights.items()
            if not name.startswith(encoder)
        }


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint without running anything in it. Raises InputError if it cannot be read."""
    import torch

    file = path / CHECKPOINT if path.is_dir() else path
    folder = file.parent.parent
    if not file.is_file():
        raise InputError(f"{file}: no such checkpoint of COMET; {FETCH}")
    if not (folder / SETTINGS).is_file():
        raise InputError(f"{folder / SETTINGS} is missing; it belongs to the checkpoint {file}")
    try:
        beside = yaml.safe_load((folder / SETTINGS).read_text(encoding="utf-8"))
        if not isinstance(beside, dict):
            raise ValueError
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        raise InputError(
            f"{folder / SETTINGS}: not the settings of a checkpoint, in YAML"
        ) from None
    try:
        stored = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        weights = {str(name): weight for name, weight in stored["state_dict"].items()}
        if not all(isinstance(weight, torch.Tensor) for weight in weights.values()):
            raise TypeError
        own = stored.get("hyper_parameters", {})
        settings = {**beside, **own, "class_identifier": beside["class_identifier"]}
        if beside.get("layer_transformation") == "sparsemax_patch":  # means softmax
            settings["layer_transformation"] = "softmax"
    except Exception:  # of the archive and of the unpickler: many kinds, in words of PyTorch's own
        raise InputError(
            f"{file}: not a checkpoint of COMET that can be read: it is incomplete, or holds "
            f"other things than tensors and plain values, which are not loaded; {FETCH}"
        ) from None
    return Checkpoint(path, folder, settings, weights, _hash(file))


def _hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
