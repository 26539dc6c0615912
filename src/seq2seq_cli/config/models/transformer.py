"""Settings of the architectures: the section [model].

They are here and not beside the code in `models` so that they can be read without torch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, ClassVar, Literal

from seq2seq_cli.config.settings import Section, require, setting, settings_from
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.errors import InputError

ScoreName = Literal[
    "additive", "dot", "scaled-dot", "general", "location-base", "content-base", "multi-head"
]
ScopeName = Literal["global", "local-m", "local-p"]


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
    training has not shown are copied by it. There are no kernels for it.

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


@dataclass(frozen=True)
class RecurrentConfig(ModelConfig):
    """Settings of both recurrent architectures; depths are in layers."""

    cell: Literal["lstm", "gru"] = "lstm"
    """Kind of recurrent cell.

    Paper: Hochreiter and Schmidhuber 1997, Long Short-Term Memory; Cho et al. 2014, Learning Phrase
    Representations using RNN Encoder-Decoder (gru).
    """

    units: int = setting(512, at_least=1)
    """Units of a recurrent layer; a bidirectional one has half of them in each direction."""

    encoder_layers: int = setting(1, at_least=1)
    """Layers of the encoder."""

    decoder_layers: int = setting(1, at_least=1)
    """Layers of the decoder."""

    bidirectional: bool = True
    """Whether the encoder reads the source in both directions."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            not self.bidirectional or self.units % 2 == 0,
            f"model.units = {self.units} cannot be halved between two directions; choose an even "
            "number or model.bidirectional = false",
        )


@dataclass(frozen=True)
class RnnConfig(RecurrentConfig):
    """Settings of the RNN with a context vector of fixed length."""

    architecture: Literal["rnn"] = "rnn"

    context: Literal["initial", "every-step"] = "every-step"
    """Where the decoder gets the context vector: as its initial state only, or at every step too.

    Paper: Sutskever et al. 2014, Sequence to Sequence Learning with Neural Networks (initial); Cho
    et al. 2014, Learning Phrase Representations using RNN Encoder-Decoder (every-step).
    """

    reverse_source: bool = False
    """Whether the source is read from last to first, so that the first words are near each other.

    Paper: Sutskever et al. 2014, Sequence to Sequence Learning with Neural Networks.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            not (self.reverse_source and self.bidirectional),
            "model.reverse_source does not go with model.bidirectional: a bidirectional encoder "
            "reads from both ends; set model.bidirectional = false",
        )


@dataclass(frozen=True)
class AttentionRnnConfig(RecurrentConfig):
    """Settings of the RNN with attention."""

    attends_to_source = True

    architecture: Literal["attention-rnn"] = "attention-rnn"

    score: ScoreName = "general"
    """Score function of attention.

    Paper: Bahdanau et al. 2015, Neural Machine Translation by Jointly Learning to Align and
    Translate (additive); Luong et al. 2015, Effective Approaches to Attention-based Neural Machine
    Translation (dot, general, location-base); Graves et al. 2014, Neural Turing Machines
    (content-base); Vaswani et al. 2017, Attention Is All You Need (scaled-dot, multi-head).
    """

    scope: ScopeName = "global"
    """Source positions that attention sees: all, or a window around a centre.

    The centre is the target position with local-m; local-p predicts it.

    Paper: Luong et al. 2015, Effective Approaches to Attention-based Neural Machine Translation.
    """

    window: int = setting(10, at_least=1)
    """Source tokens that attention sees on each side of the centre, where the scope is local."""

    heads: int = setting(4, at_least=1)
    """Heads of multi-head attention."""

    location_length: int = setting(200, at_least=1)
    """Source positions that location-base scores can tell apart; later ones get no attention."""

    input_feeding: bool = False
    """Whether the last attended vector is read together with the next token.

    Paper: Luong et al. 2015, Effective Approaches to Attention-based Neural Machine Translation.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.score != "multi-head" or self.units % self.heads == 0,
            f"model.units = {self.units} cannot be split over model.heads = {self.heads}; "
            "choose units that are a multiple of the heads",
        )
        require(
            self.score != "location-base" or self.scope == "global",
            f'model.score = "location-base" does not go with model.scope = "{self.scope}": it '
            "chooses positions by itself, and a window elsewhere would hide them; use global",
        )


@dataclass(frozen=True)
class ConvConfig(ModelConfig):
    """Settings of the convolutional architecture; depths are in layers."""

    attends_to_source = True

    architecture: Literal["conv"] = "conv"

    channels: int = setting(256, at_least=1)
    """Channels of a layer's input and output."""

    encoder_layers: int = setting(4, at_least=1)
    """Layers of the encoder."""

    decoder_layers: int = setting(3, at_least=1)
    """Layers of the decoder."""

    kernel: int = setting(3, at_least=1, odd=True)
    """Tokens that a layer sees at once."""

    max_positions: int = setting(512, at_least=1)
    """Positions that have vectors of their own; later tokens share the last one's."""


@dataclass(frozen=True)
class TransformerConfig(ModelConfig):
    """Settings of the Transformer; depths are in layers."""

    DROPOUTS = (
        *ModelConfig.DROPOUTS,
        *("attention_dropout", "activation_dropout", "layer_dropout"),
    )

    attends_to_source = True

    architecture: Literal["transformer"] = "transformer"

    encoder_layers: int = setting(3, at_least=1)
    """Layers of the encoder."""

    decoder_layers: int = setting(3, at_least=1)
    """Layers of the decoder."""

    heads: int = setting(4, at_least=1)
    """Heads of attention; model.width is a multiple of them unless model.head_width is given."""

    head_width: int | Literal["auto"] = setting("auto", at_least=1)
    """Width of the queries, keys and values of a head; auto is model.width divided by the heads."""

    feed_forward: int = setting(1024, at_least=1)
    """Inner width of the feed-forward layers."""

    linear_bias: bool = True
    """Whether the linear layers of attention and the feed-forward layers add a bias."""

    norm: Literal["pre", "post", "deep"] = "pre"
    """Where layers are normalised: before each sublayer, after it, or after it as in DeepNet.

    pre trains without care for the learning rate; deep scales the residual connections.

    Paper: Xiong et al. 2020, On Layer Normalization in the Transformer Architecture (pre); Wang et
    al. 2022, DeepNet: Scaling Transformers to 1,000 Layers (deep).
    """

    normalisation: Literal["layer", "rms"] = "layer"
    """Kind of normalisation: LayerNorm or RMSNorm.

    Paper: Zhang and Sennrich 2019, Root Mean Square Layer Normalization (rms).
    """

    norm_epsilon: float = setting(1e-5, above=0, at_most=1)
    """Number that normalisation adds to the variance."""

    activation: Literal["relu", "gelu", "gelu-tanh", "gelu-sigmoid", "swish", "swiglu", "geglu"] = (
        "relu"
    )
    """Activation of the feed-forward layers; swiglu and geglu have a gate, and more weights.

    gelu-tanh and gelu-sigmoid approximate gelu, the latter by x sigmoid(1.702 x). The gate of
    swiglu is swish, that of geglu gelu-tanh.

    Paper: Hendrycks and Gimpel 2016, Gaussian Error Linear Units (gelu and its approximations);
    Shazeer 2020, GLU Variants Improve Transformer (swiglu, geglu).
    """

    scale_embeddings: bool = True
    """Whether embeddings are multiplied by the square root of the width."""

    embedding_norm: bool = False
    """Whether the sum of embedding and position is normalised, on each side by itself."""

    zero_start: bool = False
    """Whether the decoder starts from zeros, as in Marian: the vector of <s> stays zero."""

    positions: Literal["sinusoidal", "learned", "rotary", "relative"] = "sinusoidal"
    """How positions are encoded.

    With relative ones each head of self-attention learns what to add to the score of a token at a
    certain distance, which all layers of a side share. Training has no kernels for them.

    Paper: Su et al. 2021, RoFormer: Enhanced Transformer with Rotary Position Embedding (rotary);
    Raffel et al. 2020, Exploring the Limits of Transfer Learning with a Unified Text-to-Text
    Transformer (relative).
    """

    position_buckets: int = setting(32, at_least=4)
    """Groups of distances that are learned if positions are relative.

    The encoder has half of them for tokens before and half for tokens after. Of each direction, the
    nearer half are single distances, the others ever wider ranges of them.
    """

    position_distance: int = setting(128, at_least=2)
    """Distance in tokens from which on all are the same if positions are relative."""

    sinusoids: Literal["halves", "tensor2tensor", "interleaved"] = "halves"
    """Form of sinusoidal positions: all sines before all cosines, or sine and cosine in turns.

    Of D numbers, halves and interleaved have the wavelengths 10000^(2i/D), and tensor2tensor, which
    has halves too, 10000^(i/(D/2 - 1)).
    """

    first_position: int = setting(0, at_least=0)
    """Position of the first token of a sentence, if positions are sinusoidal."""

    max_positions: int = setting(512, at_least=1)
    """Positions that have vectors of their own if they are learned; later ones share the last."""

    decoder_attention: Literal["self", "average", "ssru"] = "self"
    """How the decoder looks at the tokens before; average and ssru take constant time for a token.

    Paper: Zhang et al. 2018, Accelerating Neural Transformer via an Average Attention Network
    (average); Kim et al. 2019, From Research to Production and Back (ssru).
    """

    alignment_layer: int | Literal["all"] = setting("all", at_least=0)
    """Layer of the decoder whose attention aligns words, the first one being 0; all is their mean.

    Alignments, the copying of unknown words, coverage and training.guided_alignment read it.
    """

    alignment_head: int | Literal["all"] = setting("all", at_least=0)
    """Head of attention that aligns words, the first one being 0; all is their mean."""

    attention_dropout: float = setting(0.0, at_least=0, below=1)
    """Dropout of the weights of attention."""

    activation_dropout: float | Literal["auto"] = setting("auto", at_least=0, below=1)
    """Dropout inside the feed-forward layers; auto is the same as model.dropout."""

    layer_dropout: float = setting(0.0, at_least=0, below=1)
    """Probability with which training leaves out a whole layer.

    Paper: Fan et al. 2020, Reducing Transformer Depth on Demand with Structured Dropout.
    """

    @property
    def drops_layers(self) -> bool:
        return self.layer_dropout > 0

    @property
    def alignment(self) -> tuple[int | None, int | None]:
        layer, head = self.alignment_layer, self.alignment_head
        return None if layer == "all" else layer, None if head == "all" else head

    @property
    def key_width(self) -> int:
        """The width of the queries, keys and values of a head."""
        return self.width // self.heads if self.head_width == "auto" else self.head_width

    @property
    def attention_width(self) -> int:
        """The width of the queries, keys and values of all heads together."""
        return self.heads * self.key_width

    @property
    def is_gated(self) -> bool:
        """Whether the feed-forward layers have a gate."""
        return self.activation in ("swiglu", "geglu")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.head_width != "auto" or self.width % self.heads == 0,
            f"model.width = {self.width} cannot be split over model.heads = {self.heads}; "
            "choose a width that is a multiple of the heads, or a model.head_width",
        )
        for name, count, of in (
            ("alignment_layer", self.decoder_layers, "decoder_layers"),
            ("alignment_head", self.heads, "heads"),
        ):
            chosen = getattr(self, name)
            require(
                chosen == "all" or chosen < count,
                f"model.{name} = {chosen}, counted from 0, is beyond model.{of} = {count}; choose "
                f'one below that, or "all"',
            )
        if self.positions == "rotary":
            require(
                self.key_width % 2 == 0,
                f"heads are {self.key_width} wide, an odd number, and cannot be rotated in pairs; "
                "choose another model.head_width, model.heads or model.positions",
            )
            require(
                self.decoder_attention != "average",
                'model.positions = "rotary" does not go with model.decoder_attention = "average": '
                "an average has no order, and nothing to rotate; use sinusoidal or learned",
            )
        if self.positions == "relative":
            require(
                self.decoder_attention == "self",
                'model.positions = "relative" does not go with model.decoder_attention = '
                f'"{self.decoder_attention}": distances belong to self-attention; use self, or '
                "another model.positions",
            )
            half = self.position_buckets // 2
            require(
                self.position_buckets % 2 == 0,
                f"model.position_buckets = {self.position_buckets} cannot be halved between two "
                "directions; choose an even number",
            )
            require(
                self.position_distance > half,
                f"model.position_distance = {self.position_distance}: the nearest {half} distances "
                f"have groups of their own by model.position_buckets = {self.position_buckets}; "
                "choose a greater distance",
            )


@dataclass(frozen=True)
class Scaling:
    """Factors of residual connections and of initial weights, for each side."""

    encoder_residual: float = 1.0
    encoder_weight: float = 1.0
    decoder_residual: float = 1.0
    decoder_weight: float = 1.0

    @classmethod
    def of(cls, config: TransformerConfig) -> "Scaling":
        """Those of DeepNorm (Wang 2022, table 1) for norm = "deep", otherwise 1."""
        if config.norm != "deep":
            return cls()
        encoder, decoder = config.encoder_layers, config.decoder_layers
        both = (encoder**4 * decoder) ** (1 / 16)
        return cls(0.81 * both, 0.87 / both, (3 * decoder) ** 0.25, (12 * decoder) ** -0.25)


# The settings of each architecture; `models` has its code under the same name.
MODEL_CONFIGS: dict[str, type[ModelConfig]] = {
    kind.architecture: kind
    for kind in (RnnConfig, AttentionRnnConfig, ConvConfig, TransformerConfig)
}


def model_config(table: Mapping[str, Any]) -> ModelConfig:
    """Read the [model] section. Raises InputError for what is unknown or does not fit together."""
    name = table.get("architecture")
    if name not in MODEL_CONFIGS:
        raise InputError(
            f"model.architecture = {name!r}: one of {', '.join(MODEL_CONFIGS)} is allowed"
        )
    return settings_from(MODEL_CONFIGS[name], "model", table)


def check_attends_to_source(config: ModelConfig, purpose: str) -> None:
    """Raise InputError, which begins with the purpose, unless models with `config` attend."""
    *others, last = (name for name, kind in MODEL_CONFIGS.items() if kind.attends_to_source)
    require(
        config.attends_to_source,
        f"{purpose} needs attention to the source, which the architecture "
        f"{config.architecture} does not have; {', '.join(others)} and {last} have it",
    )
