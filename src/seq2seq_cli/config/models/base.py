"""Settings that all architectures share, and the sizes of vocabularies."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import ClassVar

from seq2seq_cli.config.settings import Section, require, setting
from seq2seq_cli.deferred import dataclass


@dataclass(frozen=True)
class Vocabulary:
    """Vocabulary sizes; a joint one is one list of pieces for both sides."""

    source: int
    target: int
    joint: bool


@dataclass(frozen=True)
class ModelConfig(Section):
    """The settings that all architectures share."""

    SECTION: ClassVar[str] = "model"
    DROPOUTS: ClassVar[tuple[str, ...]] = ("dropout",)  # settings that are probabilities of dropout
    attends_to_source: ClassVar[bool] = False  # whether the decoder attends to the source

    architecture: str = ""
    """Which of the architectures the model has; a preset sets it."""

    width: int = setting(256, at_least=1)
    """Width of embeddings and hidden states."""

    dropout: float = setting(0.1, at_least=0, below=1)
    """Probability with which training sets an activation to zero.

    Paper: Srivastava et al. 2014, Dropout: A Simple Way to Prevent Neural Networks from
    Overfitting.
    """

    tie_source: bool = True
    """Whether both sides share their embeddings where the vocabulary is joint."""

    tie_output: bool = True
    """Whether the target embedding is also the projection to the vocabulary.

    Paper: Press and Wolf 2017, Using the Output Embedding to Improve Language Models.
    """

    output_bias: bool = False
    """Whether the projection to the vocabulary adds a bias to the logit of each piece."""

    copy_attention: bool = False
    """Whether pieces of the source can be copied: its attention is a second distribution.

    A gate mixes it with that over the vocabulary, which must be joint. Names and numbers that
    training has not shown are copied by it.

    Paper: See et al. 2017, Get To The Point: Summarization with Pointer-Generator Networks.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            not self.copy_attention or self.attends_to_source,
            f"model.copy_attention copies what attention looks at, and model.architecture = "
            f'"{self.architecture}" has none; choose another one, or model.copy_attention = false',
        )

    @classmethod
    def training_only(cls) -> tuple[str, ...]:
        """The settings that only training uses; translating is the same whatever they are."""
        return cls.DROPOUTS

    @property
    def drops(self) -> bool:
        """Whether training drops anything at random, so that two passes of a batch differ."""
        return any(getattr(self, name) not in (0, "auto") for name in self.DROPOUTS)

    @property
    def drops_layers(self) -> bool:
        """Whether training leaves out layers, the same ones for all sentences of a batch."""
        return False

    @property
    def alignment(self) -> tuple[int | None, int | None]:
        """The layer and the head whose attention aligns words; None is the mean of all."""
        return None, None

    def differences(self, other: "ModelConfig") -> Iterator[tuple[str, object, object]]:
        """The settings in which two models differ, other than those that only training uses.

        Yields the name, the own value, and the other's value; a value is None where an architecture
        lacks the setting.
        """
        own, others = asdict(self), asdict(other)
        for name in {**own, **others}:
            training_only = name in {*self.training_only(), *other.training_only()}
            if not training_only and own.get(name) != others.get(name):
                yield name, own.get(name), others.get(name)
