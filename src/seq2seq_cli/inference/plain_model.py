"""A model as its settings and the weights by name: what kernels and PyTorch are made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seq2seq_cli.config.models import ModelConfig, Vocabulary
from seq2seq_cli.kernels.arrays import Array, Floats

if TYPE_CHECKING:
    from seq2seq_cli.models import TranslationModel


def do_nothing() -> None:
    """Release nothing, for arrays that do not lie in a mapped file."""


@dataclass(frozen=True)
class PlainModel:
    """A model as its settings and the weights by name."""

    config: ModelConfig
    vocabulary: Vocabulary
    arrays: Mapping[str, Floats]  # as in model.safetensors
    release: Callable[[], None] = do_nothing  # gives back the memory of arrays that were read
    # The arrays as they are in the file: those of 16 bits are not widened. None: as `arrays`.
    stored: Mapping[str, Array] | None = None

    @classmethod
    def of(cls, model: "TranslationModel") -> "PlainModel":
        """The settings and weights of a model in PyTorch on the CPU; the memory is shared."""
        arrays = {name: weight.detach().numpy() for name, weight in model.named_parameters()}
        source = model.source_embedding.num_embeddings
        target = model.target_embedding.num_embeddings
        is_joint = model.source_embedding is model.target_embedding
        return cls(model.config, Vocabulary(source, target, is_joint), arrays)

    def in_torch(self) -> "TranslationModel":
        """Make the model in PyTorch, in evaluation mode."""
        from seq2seq_cli.models import model_of_arrays

        return model_of_arrays(self.config, self.vocabulary, self.arrays)
