"""Weights that training puts aside, to be averaged or chosen at its end."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class SavedWeights:
    """Weights of several updates, saved so that they can be averaged or be the best."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, update: int) -> Path:
        """The file with the weights of an update."""
        return self.folder / f"update-{update:08d}.safetensors"

    def save(self, update: int, weights: "Mapping[str, Tensor]") -> None:
        """Save the weights of an update."""
        from seq2seq_cli.runs.tensors import save_tensors

        self.folder.mkdir(parents=True, exist_ok=True)
        save_tensors(self.path(update), weights)

    def save_one_by_one(
        self,
        update: int,
        shapes: Mapping[str, Sequence[int]],
        tensors: "Iterable[tuple[str, Tensor]]",
    ) -> None:
        """As `save`, of tensors that come one after the other, sorted by name."""
        from seq2seq_cli.runs.tensors import save_one_by_one

        self.folder.mkdir(parents=True, exist_ok=True)
        save_one_by_one(self.path(update), shapes, tensors)

    def load(self, update: int) -> "dict[str, Tensor]":
        """Read the weights of an update. Raises InputError if they are missing or damaged."""
        from seq2seq_cli.runs.tensors import load_tensors

        return load_tensors(self.path(update))

    def updates(self) -> list[int]:
        """The updates whose weights are saved, oldest first."""
        names = [
            path.stem.removeprefix("update-") for path in self.folder.glob("update-*.safetensors")
        ]
        return sorted(int(name) for name in names if name.isdecimal())

    def remove_all_but(self, updates: set[int]) -> None:
        """Remove the weights of all other updates."""
        needed = {self.path(update) for update in updates}
        for path in self.folder.glob("*"):
            if path not in needed:
                path.unlink(missing_ok=True)
