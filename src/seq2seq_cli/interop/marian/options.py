"""The options that describe a model to Marian, and our settings of the Transformer.

Marian and its descendants in Bergamot and Firefox keep them beside the weights, as YAML
(`special:model.yml`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from seq2seq_cli.config.models import TransformerConfig, Vocabulary
from seq2seq_cli.config.settings import require
from seq2seq_cli.errors import InputError

EPSILON = 1e-6  # what Marian's norms add to the variance
EPSILON_OPTION = "seq2seq-norm-epsilon"  # another epsilon, of a run of ours; Marian ignores it

OPTIONS = "special:model.yml"  # the parameter that holds the options
MOST_YAML_BYTES = 1 << 20


ACTIVATIONS = ("relu", "swish", "gelu")  # by the same names; gelu is the exact one in Marian 1.12

# Options that only one value can be held of; others of the same meaning are named too.
FIXED_OPTIONS: dict[str, tuple[Any, ...]] = {
    "transformer-ffn-depth": (2,),
    "transformer-decoder-ffn-depth": (0, 2),
    "transformer-no-projection": (False,),
    "transformer-no-bias": (False,),
    "transformer-no-affine": (False,),
    "transformer-tied-layers": ([], ""),
    "transformer-rnn-projection": (False,),
    "transformer-train-positions": (False,),
    "transformer-train-position-embeddings": (False,),
    "transformer-disable-position-embeddings": (False,),
    "transformer-attention-mask": ("default",),
    "transformer-pool": (False,),
    "layer-normalization": (False,),
    "lemma-dim-emb": (0,),
    "factors-dim-emb": (0,),
    "input-types": ([], ["sequence"], ["sequence", "sequence"]),
    "right-left": (False,),
    "skip": (False,),
    "ulr": (False,),
}


def read_yaml(data: bytes, path: object) -> Any:
    """Read YAML that a stranger wrote. Raises InputError, which begins with `path`."""
    import yaml  # type: ignore[import-untyped]

    class PlainLoader(yaml.SafeLoader):  # type: ignore[misc]
        """Reads YAML without references, which could make a short file endlessly long."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("references are not read")
            return super().compose_node(parent, index)

    require(len(data) <= MOST_YAML_BYTES, f"{path} has {len(data):,} bytes, which is too many")
    try:
        return yaml.load(data.decode().rstrip("\0"), Loader=PlainLoader)
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is not the YAML of a Marian model: {reason[:200]}") from None


def read_options(data: bytes, path: object) -> dict[str, Any]:
    """Read the options of a model, the bytes of `special:model.yml`.

    Raises InputError, which begins with `path`, unless they are a table.
    """
    options = read_yaml(data, f"{path}: {OPTIONS}")
    if not isinstance(options, dict):
        raise InputError(f"{path}: {OPTIONS} does not hold the options of a model")
    return {str(name): value for name, value in options.items()}


@dataclass(frozen=True)
class MarianArchitecture:
    """The architecture of a model, by its options."""

    config: TransformerConfig
    is_joint: bool  # one embedding for both sides
    vocabulary_sizes: tuple[int, int]


def architecture(options: Mapping[str, Any], path: object) -> MarianArchitecture:
    """Read the options of a model (`special:model.yml`); messages begin with its `path`.

    Raises InputError that names the option, for what the Transformer of this program cannot hold.
    """
    read = _Options(options, path)
    kind = read.text("type", "transformer")
    require(
        kind == "transformer",
        f"{path}: type: {kind} cannot be held; only the type transformer can",
    )
    for name, values in FIXED_OPTIONS.items():
        value = options.get(name, values[0])
        require(
            value in values,
            f"{path}: {name}: {value} cannot be held; only {values[0]!r} can",
        )
    inner = read.number("transformer-dim-ffn")
    read.one_of("transformer-decoder-dim-ffn", 0, (0, inner))
    norm, normalisation, embedding_norm = _norms(read)
    decoder_layers = read.number("dec-depth")
    joint = read.flag("tied-embeddings-all") or read.flag("tied-embeddings-src")
    settings: dict[str, Any] = {
        "width": read.number("dim-emb"),
        "heads": read.number("transformer-heads", 8),
        "feed_forward": inner,
        "encoder_layers": read.number("enc-depth"),
        "decoder_layers": decoder_layers,
        "norm": norm,
        "normalisation": normalisation,
        "norm_epsilon": read.positive(EPSILON_OPTION, EPSILON),
        "embedding_norm": embedding_norm,
        "activation": read.one_of("transformer-ffn-activation", "swish", ACTIVATIONS),
        "sinusoids": "tensor2tensor",
        "decoder_attention": _decoder_attention(read),
        "tie_output": read.flag("tied-embeddings-all") or read.flag("tied-embeddings"),
        "zero_start": True,
        "output_bias": True,  # without one, control symbols could not be forbidden
        "alignment_layer": _alignment_layer(read, decoder_layers),
        "alignment_head": 0,
    }
    try:
        config = TransformerConfig(**settings)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return MarianArchitecture(config, joint, read.two_numbers("dim-vocabs"))


def _norms(read: "_Options") -> tuple[Literal["pre", "post"], Literal["layer", "rms"], bool]:
    """Where norms are, their kind, and whether embeddings have one; dropout changes nothing."""
    names = ("preprocess", "postprocess", "postprocess-top", "postprocess-emb")
    defaults = ("", "dan", "", "d")
    steps = tuple(
        read.text(f"transformer-{name}", default).replace("d", "")
        for name, default in zip(names, defaults, strict=True)
    )
    positions: dict[tuple[str, ...], Literal["pre", "post"]] = {
        ("", "an", ""): "post",
        ("n", "a", "n"): "pre",
    }
    for letter, kind in (("n", "layer"), ("r", "rms")):
        where = positions.get(tuple(step.replace(letter, "n") for step in steps[:3]))
        if where is None or steps[3] not in ("", letter):
            continue
        if "n" in "".join(steps) and letter == "r":
            continue
        return where, kind, bool(steps[3])  # type: ignore[return-value]
    shown = ", ".join(
        f'transformer-{name}: "{read.text(f"transformer-{name}", default)}"'
        for name, default in zip(names, defaults, strict=True)
    )
    raise InputError(
        f"{read.path}: {shown} cannot be held; norms after each sublayer can (postprocess dan), "
        "or before it and at the end (preprocess n, postprocess da, postprocess-top n)"
    )


def _decoder_attention(read: "_Options") -> Literal["self", "ssru"]:
    kind = read.text("transformer-decoder-autoreg", "self-attention")
    if kind == "self-attention":
        return "self"
    cell = read.text("dec-cell", "gru")
    if kind == "rnn" and cell == "ssru":
        return "ssru"
    shown = f"{kind} with dec-cell: {cell}" if kind == "rnn" else kind
    raise InputError(
        f"{read.path}: transformer-decoder-autoreg: {shown} cannot be held; self-attention can, "
        "and rnn with dec-cell: ssru"
    )


def _alignment_layer(read: "_Options", decoder_layers: int) -> int:
    """The layer, counted from 0, whose first head Marian reads alignments off."""
    layer = read.text("transformer-guided-alignment-layer", "last")
    if layer == "last" or not layer.isdecimal():
        return decoder_layers - 1
    return min(max(int(layer), 1), decoder_layers) - 1


class _Options:
    """Reads options, which a stranger's file may give any value."""

    def __init__(self, options: Mapping[str, Any], path: object) -> None:
        self.options = options
        self.path = path

    def text(self, name: str, default: str) -> str:
        value = self.options.get(name, default)
        return "" if value is None else str(value)

    def flag(self, name: str) -> bool:
        return self.options.get(name, False) is True

    def number(self, name: str, default: int | None = None) -> int:
        value = self.options.get(name, default)
        if type(value) is not int or not 0 < value < 1 << 24:
            raise InputError(f"{self.path}: {name}: {value} is not a positive whole number")
        return value

    def positive(self, name: str, default: float) -> float:
        value = self.options.get(name, default)
        if type(value) is not float or not 0 < value < 1:
            raise InputError(f"{self.path}: {name}: {value} is not a number above 0 and below 1")
        return value

    def two_numbers(self, name: str) -> tuple[int, int]:
        values = self.options.get(name)
        if not isinstance(values, list) or len(values) != 2:
            raise InputError(
                f"{self.path}: {name}: {values}: one size for each of two sides is needed"
            )
        if any(type(value) is not int or not 0 < value < 1 << 24 for value in values):
            raise InputError(f"{self.path}: {name}: {values} are not positive whole numbers")
        return values[0], values[1]

    def one_of(self, name: str, default: Any, allowed: tuple[Any, ...]) -> Any:
        value = self.options.get(name, default)
        if value not in allowed:
            raise InputError(
                f"{self.path}: {name}: {value} cannot be held; "
                f"{' and '.join(str(each) for each in allowed)} can"
            )
        return value


def options_of(config: TransformerConfig, vocabulary: Vocabulary) -> dict[str, Any]:
    """The options that describe a model to Marian, in the order of its files.

    `vocabulary` has the sizes as Marian will have them. Raises InputError with the setting that
    Marian does not have.
    """
    check_marian(config)
    joint = vocabulary.joint and config.tie_source
    epsilon = {} if config.norm_epsilon == EPSILON else {EPSILON_OPTION: config.norm_epsilon}
    letter = "n" if config.normalisation == "layer" else "r"
    pre = config.norm == "pre"
    layer = config.alignment_layer
    return {
        "dec-cell": "ssru" if config.decoder_attention == "ssru" else "gru",
        "dec-cell-base-depth": 2,
        "dec-cell-high-depth": 1,
        "dec-depth": config.decoder_layers,
        "dim-emb": config.width,
        "dim-rnn": config.width,
        "dim-vocabs": [vocabulary.source, vocabulary.target],
        "enc-cell": "gru",
        "enc-cell-depth": 1,
        "enc-depth": config.encoder_layers,
        "enc-type": "bidirectional",
        "input-types": [],
        "layer-normalization": False,
        "lemma-dim-emb": 0,
        "output-omit-bias": False,
        "right-left": False,
        "skip": False,
        "tied-embeddings": config.tie_output and not joint,
        "tied-embeddings-all": config.tie_output and joint,
        "tied-embeddings-src": not config.tie_output and joint,
        "transformer-aan-activation": "swish",
        "transformer-aan-depth": 2,
        "transformer-aan-nogate": False,
        "transformer-decoder-autoreg": (
            "rnn" if config.decoder_attention == "ssru" else "self-attention"
        ),
        "transformer-decoder-dim-ffn": 0,
        "transformer-decoder-ffn-depth": 0,
        "transformer-depth-scaling": False,
        "transformer-dim-aan": config.feed_forward,
        "transformer-dim-ffn": config.feed_forward,
        "transformer-ffn-activation": config.activation,
        "transformer-ffn-depth": 2,
        "transformer-guided-alignment-layer": "last" if layer == "all" else str(layer + 1),
        "transformer-heads": config.heads,
        "transformer-no-projection": False,
        "transformer-postprocess": "da" if pre else f"da{letter}",
        "transformer-postprocess-emb": f"d{letter}" if config.embedding_norm else "d",
        "transformer-postprocess-top": letter if pre else "",
        "transformer-preprocess": letter if pre else "",
        "transformer-tied-layers": [],
        "transformer-train-position-embeddings": False,
        "type": "transformer",
        "ulr": False,
        "ulr-dim-emb": 0,
        "ulr-trainable-transformation": False,
        "version": "v1.12.0",
        **epsilon,
    }


def check_marian(config: TransformerConfig) -> None:
    """Raise InputError, with the setting, for a model that Marian does not have."""
    for name, allowed in (
        ("norm", ("pre", "post")),
        ("activation", ACTIVATIONS),
        ("positions", ("sinusoidal",)),
        ("head_width", ("auto", config.width // config.heads)),
        ("linear_bias", (True,)),
        ("sinusoids", ("tensor2tensor",)),
        ("first_position", (0,)),
        ("scale_embeddings", (True,)),
        ("decoder_attention", ("self", "ssru")),
    ):
        value = getattr(config, name)
        if value not in allowed:
            raise InputError(
                f"{config.assignment(name, value)} cannot be exported: Marian has only "
                f"{' and '.join(str(each) for each in allowed)}"
            )
