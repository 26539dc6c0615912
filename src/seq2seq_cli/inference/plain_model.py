"""A model as its settings and the weights by name: what kernels and PyTorch are made of."""

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from seq2seq_cli.config.models import ModelConfig, Vocabulary
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.kernels.arrays import Array, Floats

if TYPE_CHECKING:
    from seq2seq_cli.kernels.inference.linear import Linear
    from seq2seq_cli.models import TranslationModel


def do_nothing() -> None:
    """Release nothing, for arrays that do not lie in a mapped file."""


def keep_nothing(layers: "Mapping[str, Linear]") -> None:
    """Forget packed layers, which are packed again at the next start."""


@dataclass(frozen=True)
class PlainModel:
    """A model as its settings and the weights by name."""

    config: ModelConfig
    vocabulary: Vocabulary
    arrays: Mapping[str, Floats]  # as in model.safetensors
    release: Callable[[], None] = do_nothing  # gives back the memory of arrays that were read
    # The arrays as they are in the file: those of 16 bits are not widened. None: as `arrays`.
    stored: Mapping[str, Array] | None = None
    packed: Mapping[str, Array] = field(default_factory=dict)  # layers that were packed before
    keep: "Callable[[Mapping[str, Linear]], None]" = keep_nothing  # called with what is packed now

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
