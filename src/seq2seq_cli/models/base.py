"""The interface of every architecture, which training and search use.

Dimensions, here and in every file of this package: B sentences, N decoder rows (B, or B x beams),
S source tokens, T target tokens, D width, V vocabulary, H heads.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from seq2seq_cli.config.models import ModelConfig, Vocabulary
from seq2seq_cli.config.settings import require
from seq2seq_cli.errors import InputError
from seq2seq_cli.symbols import PAD


class Selectable(Protocol):
    """Decoder state that can be reordered by row but is not a tensor, such as a KV cache."""

    def select(self, rows: Tensor) -> "Selectable":
        """Gather these rows: row i of the result is row rows[i]."""
        ...


State: TypeAlias = "Tensor | Selectable | tuple[State, ...]"


def reorder_state(state: State, rows: Tensor) -> State:
    """Gather rows along axis 0 of every tensor in a state: reorder, repeat or drop hypotheses.

    Row i of the result is row rows[i] of the state.
    """
    if isinstance(state, Tensor):
        return state.index_select(0, rows)
    if isinstance(state, tuple):
        return tuple(reorder_state(each, rows) for each in state)
    return state.select(rows)


Role = Literal["embedding", "positions", "linear", "recurrent", "norm", "bias"]
Group = Literal["embeddings", "encoder", "decoder", "output"]


@dataclass(frozen=True)
class Weight:
    """One row of a model's table of weights."""

    name: str  # as in model.safetensors
    shape: tuple[int, ...]
    role: Role
    group: Group

    @property
    def count(self) -> int:
        """How many numbers the weight has."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class LayerStates:
    """States and attention of the layers of a model for a batch, from the lowest layer on.

    Hidden states (B, S or T, width) by name: "embedding", "layer-1" and so on, and "output" where
    something comes after the last layer. The last one of the source is what the decoder reads, the
    last one of the target what `TranslationModel.output` reads.
    """

    source: dict[str, Tensor]
    target: dict[str, Tensor]
    source_attention: list[Tensor] = field(default_factory=list)  # (B, H, S, S) of each layer
    target_attention: list[Tensor] = field(default_factory=list)  # (B, H, T, T)


def name_layers(
    embedding: Tensor, layers: Sequence[Tensor], output: Tensor | None = None
) -> dict[str, Tensor]:
    """Hidden states by the names that `LayerStates` has for them."""
    named = {"embedding": embedding}
    named |= {f"layer-{number}": states for number, states in enumerate(layers, start=1)}
    return named if output is None else named | {"output": output}


class TranslationModel(nn.Module, ABC):
    """Reads source tokens once, then predicts target tokens one by one or all at once.

    `encode` and `decode` serve teacher forcing (T = the whole target), search (T = 1), forced
    prefixes and scoring alike. Source rows hold ids, EOS, then PAD; target rows given to `decode`
    begin with BOS. Rows of one sentence are contiguous in the N decoder rows.

    Hidden states and `output` are apart so that a loss can be fused with the projection. The output
    weights are the target embedding (Press and Wolf 2017), unless the settings have them untied.
    """

    Config: ClassVar[type[ModelConfig]]
    attends_to_source: ClassVar[bool] = False  # through modules that are a `SourceAttention`
    torch_compile = False  # whether torch.compile made its layers, which take padded sentences
    in_step = False  # whether several processes compute each layer together, as it is sharded

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.config = config
        self.target_embedding = nn.Embedding(vocabulary.target, config.width)
        shared = vocabulary.joint and config.tie_source
        self.source_embedding = (
            self.target_embedding if shared else nn.Embedding(vocabulary.source, config.width)
        )
        self.output = nn.Linear(config.width, vocabulary.target, bias=config.output_bias)
        if config.tie_output:
            self.output.weight = self.target_embedding.weight
        self.copy_gate: nn.Linear | None = None
        if config.copy_attention:
            require(
                vocabulary.joint,
                "model.copy_attention copies pieces, which both sides must have in common; set "
                "data.joint_vocabulary = true",
            )
            self.copy_gate = nn.Linear(config.width, 1)

    def initialise_output(self) -> None:
        """Begin as a tied output without bias does; the embedding is initialised before."""
        with torch.no_grad():
            if not self.config.tie_output:
                self.output.weight.copy_(self.target_embedding.weight)
            if self.output.bias is not None:
                self.output.bias.zero_()

    def use_sparse_gradients(self) -> None:
        """Let embeddings have sparse gradients if they are the output weights too.

        For a loss that is fused with these weights: they have a dense gradient then, to which a few
        rows are added in place. Otherwise a matrix of zeros is made for each side and pass.
        """
        self.target_embedding.sparse = self.config.tie_output

    @abstractmethod
    def encode(self, source: Tensor) -> tuple[State, State]:
        """Read (B, S) ids; return memory, and the state before the first token, B rows each."""

    @abstractmethod
    def decode(self, target: Tensor, state: State, memory: State) -> tuple[Tensor, State]:
        """Read (N, T) ids, T >= 1; return hidden states (N, T, D) and the state after them."""

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Hidden states (B, T, D) of whole targets: each row sees the tokens before it."""
        memory, state = self.encode(source)
        hidden, _ = self.decode(target, state, memory)
        return hidden

    def hidden(self, source: Tensor, target: Tensor) -> Tensor:
        """Hidden states (tokens, D) of all target tokens but PAD, row by row; for training.

        A model that can compute them without the padding does so here.
        """
        return self.forward(source, target)[target != PAD]

    def layer_states(self, source: Tensor, target: Tensor) -> LayerStates:
        """States and attention of each layer for sources (B, S) and targets (B, T) of one length.

        For `evaluation.hidden_states`, in evaluation mode. An architecture says here what its
        layers are; attention to the source is captured by itself. Raises InputError for one that
        does not.
        """
        raise InputError(
            f"the architecture {self.config.architecture} does not say what its layers are: "
            "`layer_states` in the file of its model does"
        )

    def layers(self) -> Iterator[nn.Module]:
        """The layers that a model is a stack of: the members of its module lists."""
        for module in list(self.modules()):
            if isinstance(module, nn.ModuleList):
                yield from module

    def units(self) -> Iterator[nn.Module]:
        """The modules that are sharded by themselves, those within others first.

        Each is called once in a pass, and nothing but its own `forward` reads its parameters: these
        are whole while it runs. All other parameters are whole during the pass.
        """
        yield from self.layers()

    def weights(self) -> list[Weight]:
        """The table of weights, in the order they are made; a shared one stands there once."""
        modules = dict(self.named_modules())
        return [
            Weight(name, tuple(p.shape), _role(modules, name), self.group(name))
            for name, p in self.named_parameters()
        ]

    @staticmethod
    def group(name: str) -> Group:
        """The group of a weight, by its name; only an output of its own is in "output"."""
        if name.startswith("output."):
            return "output"
        if name.startswith(("source_embedding", "target_embedding")):
            return "embeddings"
        # source_positions are the encoder's; attention to the source is the decoder's
        return "encoder" if name.startswith(("encoder", "source_")) else "decoder"

    def parameter_groups(self) -> dict[str, list[Tensor]]:
        """Everything that can be frozen by name: groups, layers as encoder.0, and embeddings.

        The target embedding is the output projection too unless that is untied, and the source
        embedding where the vocabulary is joint; only where they are apart does each have a name of
        its own.
        """
        groups: dict[str, list[Tensor]] = {}
        for name, parameter in self.named_parameters():
            groups.setdefault(self.group(name), []).append(parameter)
        if self.source_embedding is not self.target_embedding:
            for side in ("source", "target"):
                groups[f"{side}-embeddings"] = [
                    parameter
                    for name, parameter in self.named_parameters()
                    if name.startswith(f"{side}_embedding")
                ]
        if self.output.bias is not None:
            groups["output-bias"] = [self.output.bias]
        for name, module in self.named_modules():
            path = name.split(".")
            if path[0] in ("encoder", "decoder") and path[-1].isdigit():
                groups[name] = list(module.parameters())
        return groups

    def freeze(self, names: Sequence[str]) -> int:
        """Exclude parameter groups from training; returns how many numbers that are.

        Raises InputError for a name that is not a group of this model, and if nothing would be left
        to train.
        """
        groups = self.parameter_groups()
        for name in names:
            require(
                name in groups,
                f'training.freeze = "{name}": this model has no such parameter group; it has '
                f'{", ".join(groups)}; give several as ["encoder", "embeddings"]',
            )
            for parameter in groups[name]:
                parameter.requires_grad = False
        require(
            any(parameter.requires_grad for parameter in self.parameters()),
            f"training.freeze = {list(names)} leaves nothing to train; leave one group out",
        )
        return sum(p.numel() for p in self.parameters() if not p.requires_grad)


def _role(modules: Mapping[str, nn.Module], name: str) -> Role:
    """The role of a weight, by the layer that it belongs to."""
    layer, _, own = name.rpartition(".")
    if "bias" in own:
        return "bias"
    if isinstance(modules[layer], nn.Embedding):
        return "positions" if "positions" in name else "embedding"
    if isinstance(modules[layer], nn.RNNBase):
        return "recurrent"
    return "norm" if isinstance(modules[layer], nn.LayerNorm | nn.RMSNorm) else "linear"
