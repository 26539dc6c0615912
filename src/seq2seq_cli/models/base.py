"""The one interface that every architecture has, and that training and search use.

Dimensions, here and in every file of this package: B sentences, N decoder rows (B, or B x beams),
S source tokens, T target tokens, D width, V vocabulary, H heads.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias, cast

from torch import Tensor, nn

from seq2seq_cli.config.settings import require
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


@dataclass(frozen=True)
class Vocabulary:
    """Vocabulary sizes; a joint one is the same pieces on both sides."""

    source: int
    target: int
    joint: bool


@dataclass(frozen=True)
class ModelConfig:
    """The settings that all architectures share."""

    architecture: str = ""
    width: int = 256  # of embeddings and hidden states
    dropout: float = 0.1
    tie_source: bool = True  # one embedding for both sides where the vocabulary is joint

    def __post_init__(self) -> None:
        require(self.width >= 1, f"model.width = {self.width}: 1 or more is allowed")
        require(
            0 <= self.dropout < 1,
            f"model.dropout = {self.dropout}: at least 0 and below 1 is allowed",
        )


class TranslationModel(nn.Module, ABC):
    """Reads source tokens once, then predicts target tokens one by one or all at once.

    `encode` and `decode` serve teacher forcing (T = the whole target), search (T = 1), forced
    prefixes and scoring alike. Source rows hold ids, EOS, then PAD; target rows given to `decode`
    begin with BOS. Rows of one sentence are contiguous in the N decoder rows.

    Hidden states and `output` are apart so that a loss can be fused with the projection. The output
    weights are the target embedding (Press and Wolf 2017).
    """

    Config: ClassVar[type[ModelConfig]]
    compiled = False  # whether torch.compile makes its layers, which take padded sentences

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.config = config
        self.target_embedding = nn.Embedding(vocabulary.target, config.width)
        shared = vocabulary.joint and config.tie_source
        self.source_embedding = (
            self.target_embedding if shared else nn.Embedding(vocabulary.source, config.width)
        )
        self.output = nn.Linear(config.width, vocabulary.target, bias=False)
        self.output.weight = self.target_embedding.weight

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
        return cast(Tensor, self(source, target))[target != PAD]
