"""Models made ready for search on a CPU: with compiled products, or compiled as a whole.

Each of the classes that stand for a whole model is in the file of the model's name; what none of
them serves has compiled linear layers between torch's operations.
"""

from typing import Protocol

from torch import Tensor, nn

from seq2seq_cli import native
from seq2seq_cli.models.base import TranslationModel, Tree
from seq2seq_cli.models.compiled.attention_rnn import CompiledAttentionRnn
from seq2seq_cli.models.compiled.conv import CompiledConv
from seq2seq_cli.models.compiled.linear import narrowed, with_linear_layers
from seq2seq_cli.models.compiled.transformer import CompiledTransformer
from seq2seq_cli.models.compiled.whole import CompiledModel

__all__ = ["CompiledModel", "Steps", "compiled_kind", "narrowed", "stepping", "with_linear_layers"]


class Steps(Protocol):
    """What search asks of a model; see `TranslationModel`."""

    @property
    def output(self) -> nn.Module: ...
    def encode(self, source: Tensor) -> tuple[Tree, Tree]: ...
    def decode(self, target: Tensor, state: Tree, memory: Tree) -> tuple[Tensor, Tree]: ...


KINDS: tuple[type[CompiledModel], ...] = (CompiledTransformer, CompiledConv, CompiledAttentionRnn)


def compiled_kind(model: TranslationModel) -> type[CompiledModel] | None:
    """What can stand for the whole model, if anything."""
    return next((kind for kind in KINDS if kind.serves(model)), None)


def stepping(model: TranslationModel) -> Steps:
    """The model as search should ask it, with the same weights: compiled where that is possible."""
    weight = next(model.parameters())
    if not native.serves(weight.detach()):
        return model  # on another device, or nothing is compiled
    kind = compiled_kind(model)
    return kind(model) if kind else with_linear_layers(model, eight_bits=False)
