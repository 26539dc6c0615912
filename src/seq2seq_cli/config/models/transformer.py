"""Settings of the Transformer, and what DeepNorm derives from them."""

from typing import Literal

from seq2seq_cli.config.models.base import ModelConfig
from seq2seq_cli.config.settings import require, setting
from seq2seq_cli.deferred import dataclass


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
    certain distance, which all layers of a side share.

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
        self._check_positions()

    def _check_positions(self) -> None:
        """Raise InputError if positions do not go with the other settings."""
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
