"""The settings of a Transformer, from the variables of a CTranslate2 model.

Whatever a variable says that our Transformer lacks is refused by its name.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.ctranslate2.model_file import SPECIFICATION, ModelFile

ACTIVATIONS = {0: "relu", 1: "gelu-tanh", 2: "swish", 3: "gelu", 4: "gelu-sigmoid"}
OTHER_ACTIVATIONS = {5: "tanh", 6: "sigmoid"}
SIDES = {"encoder": "source", "decoder": "target"}  # their name of a side -> ours
OLD_HEADS = {"TransformerBase": 8, "TransformerBig": 16}  # specifications of the first versions
OLDEST_REVISION = 2  # the first one had names of OpenNMT-tf
OTHER_SPECIFICATIONS = {
    "TransformerDecoderSpec": "a language model",
    "TransformerEncoderSpec": "an encoder alone",
    "WhisperSpec": "speech recognition",
    "Wav2Vec2Spec": "an encoder of speech",
    "Wav2Vec2BertSpec": "an encoder of speech",
}

# What our Transformer lacks, by a part of the names of its variables.
LACKING = {
    "relative_position_keys": "relative positions (Shaw et al. 2018)",
    "relative_position_values": "relative positions (Shaw et al. 2018)",
    "relative_asymmetric_position": "relative positions of two directions",
    "relative_attention": "a bias of attention by distance, as in T5 and MADLAD",
    "q_norm": "norms of queries",
    "k_norm": "norms of keys",
    "v_norm": "norms of values",
    "rotary_scaling": "scaled rotary positions",
    "memory_kv": "attention to the past and the source in one",
    "project_in": "a projection of the embedding",
    "project_out": "a projection before the output",
    "scale_outputs": "a scale of the output",
    "final_logit_softcapping": "capped logits",
    "layer_scalar": "a scale of layers",
    "shared_layer_norm": "parallel residual connections",
    "input_layer_norm": "norms before and after sublayers",
    "post_attention_layer_norm": "norms before and after sublayers",
    "pre_feedforward_layer_norm": "norms before and after sublayers",
    "post_feedforward_layer_norm": "norms before and after sublayers",
    "external_": "norms before and after sublayers",
    "weight_zero": "weights of AWQ",
    "router": "a mixture of experts",
    "expert": "a mixture of experts",
}
# Attributes, by the last part of their names: those that are read here, or have one meaning here.
ATTRIBUTES = {
    # of files before version 6, where config.json has them
    *("unk_token", "bos_token", "eos_token", "with_source_bos", "with_source_eos"),
    *("with_target_bos", "user_decoder_start_tokens"),
    *("num_heads", "pre_norm", "activation", "embeddings_merge", "alignment_layer"),
    *("alignment_heads", "scale_embeddings", "multiply_by_sqrt_depth"),
    *("start_from_zero_embedding", "multi_query_attention", "num_heads_kv", "multi_query"),
    *("head_dim", "queries_scale", "rotary_dim", "rotary_interleave", "rotary_base"),
    *("original_max_position_embeddings", "max_position_embeddings", "alibi", "scale_alibi"),
    *("alibi_use_positive_positions", "sliding_window", "layer_norm_use_residual"),
    *("layer_scalar", "final_logit_softcapping", "scale_outputs"),
}


class Attributes:
    """The numbers that say how a model is built, by name; what is absent has the default."""

    def __init__(self, file: ModelFile) -> None:
        self.file = file

    def number(self, *names: str, default: float) -> float:
        """The attribute that has one of these names."""
        for name in names:
            if name in self.file.variables:
                if not math.prod(self.file.variables[name].shape):
                    raise self.refusal(f"{name} has no number")
                return self.file.variables[name].scalar()
        return default

    def of_side(self, side: str, name: str, default: float) -> float:
        """An attribute of the encoder or decoder; old files have one for both."""
        return self.number(f"{side}/{name}", name, default=default)

    def shape(self, name: str, dimensions: int) -> tuple[int, ...]:
        """The shape of a variable. Raises InputError if it is missing or has other dimensions."""
        if name not in self.file.variables:
            raise InputError(f"{self.file.path} lacks the variable {name}")
        shape = self.file.variables[name].shape
        if len(shape) != dimensions or 0 in shape:
            raise InputError(f"{self.file.path} is damaged: {name} is {list(shape)}")
        return shape

    def has(self, prefix: str) -> bool:
        """Whether a variable has this name, or is of the layer with this name."""
        variables = self.file.variables
        return prefix in variables or any(name.startswith(prefix + "/") for name in variables)

    def refusal(self, reason: str) -> InputError:
        """The error for something that cannot be held."""
        return InputError(f"{self.file.path} cannot be imported: {reason}")


def check_specification(file: ModelFile) -> None:
    """Raise InputError for a model that is no Transformer with encoder and decoder."""
    kind, name = Attributes(file), file.specification
    if name in OTHER_SPECIFICATIONS:
        raise kind.refusal(f"it is {OTHER_SPECIFICATIONS[name]} ({name}), not a translation model")
    if name not in (SPECIFICATION, *OLD_HEADS):
        raise kind.refusal(f"{name} is not known; {SPECIFICATION} can be imported")
    if file.revision < OLDEST_REVISION:
        raise kind.refusal(
            f"revision {file.revision} has other names; convert it again with a newer CTranslate2"
        )


def settings(file: ModelFile, config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of `TransformerConfig` but those of positions, vocabularies and embeddings.

    `config` is config.json. Raises InputError for what our Transformer lacks.
    """
    check_specification(file)
    found = Attributes(file)
    check_lacking(file, config)
    pre_norm = _same(found, "pre_norm", 1)
    heads = int(_same(found, "num_heads", OLD_HEADS.get(file.specification, 8)))
    _, width = found.shape(embedding_name(file, "encoder"), 2)
    inner, _ = found.shape("encoder/layer_0/ffn/linear_0/weight", 2)
    if heads < 1 or width % heads:
        raise found.refusal(f"{heads} heads do not divide a width of {width}")
    layers = {side: _count_layers(file, side) for side in SIDES}
    for side, count in layers.items():
        for number in range(count):
            _check_attention(found, f"{side}/layer_{number}", width // heads, heads)
    normed = {found.has(f"{side}/layernorm_embedding") for side in SIDES}
    if len(normed) > 1:
        raise found.refusal("only one side has a norm of the embedding (layernorm_embedding)")
    for side in SIDES:
        _check_last_norm(found, side, bool(pre_norm))
    is_layer_norm = "encoder/layer_0/ffn/layer_norm/beta" in file.variables
    return {
        "width": width,
        "heads": heads,
        "encoder_layers": layers["encoder"],
        "decoder_layers": layers["decoder"],
        "feed_forward": inner,
        "norm": "pre" if pre_norm else "post",
        "normalisation": "layer" if is_layer_norm else "rms",
        "norm_epsilon": norm_epsilon(found, config, 1e-5 if is_layer_norm else 1e-6),
        "activation": _activation(found),
        "embedding_norm": normed == {True},
        "scale_embeddings": _scales_embeddings(found, width),
        **_alignment(found, layers["decoder"], heads),
    }


def embedding_name(file: ModelFile, side: str) -> str:
    """The name of the embedding of a side. Sources of several features are refused before."""
    name = f"{side}/embeddings_0/weight"
    return name if name in file.variables else f"{side}/embeddings/weight"


def check_lacking(file: ModelFile, config: Mapping[str, Any]) -> None:
    """Raise InputError for parts of a model that ours lacks, by their names."""
    found = Attributes(file)
    for name in file.variables:
        reason = next((why for part, why in LACKING.items() if f"/{part}" in name), None)
        if reason is not None and _is_effective(found, name):
            raise found.refusal(f"it has {reason} ({name})")
    for name, why in (
        ("alibi", "attention with linear biases (ALiBi)"),
        ("sliding_window", "a sliding window of attention"),
        ("layer_norm_use_residual", "norms whose weights are added to 1"),
    ):
        for variable in file.variables:
            if f"/{variable}".endswith(f"/{name}") and found.number(variable, default=0):
                raise found.refusal(f"it has {why} ({variable})")
    if found.has("encoder/embeddings_1"):
        raise found.refusal("its source has several features of a word (encoder/embeddings_1)")
    if config.get("quantization_type"):
        raise found.refusal(
            f"quantization_type = {config['quantization_type']!r}: weights of AWQ or another "
            "method with fewer than 8 bits"
        )


def _is_effective(found: Attributes, name: str) -> bool:
    """Whether a variable changes anything: scalars can have a value that does nothing."""
    neutral = {"layer_scalar": 1.0, "final_logit_softcapping": 0.0, "scale_outputs": 1.0}
    last = name.rpartition("/")[2]
    if last not in neutral or math.prod(found.file.variables[name].shape) != 1:
        return True
    return found.number(name, default=0) != neutral[last]


def _count_layers(file: ModelFile, side: str) -> int:
    """Count the layers of a side, which are numbered from 0. Raises InputError for a gap."""
    pattern = re.compile(rf"{side}/layer_(\d+)/")
    numbers = {int(match[1]) for name in file.variables if (match := pattern.match(name))}
    if numbers != set(range(len(numbers))) or not numbers:
        raise InputError(f"{file.path} is damaged: the layers of its {side} are incomplete")
    return len(numbers)


def _same(found: Attributes, name: str, default: float) -> float:
    """An attribute that both sides need to share. Raises InputError if they do not."""
    values = [found.of_side(side, name, default) for side in SIDES]
    if values[0] != values[1]:
        raise found.refusal(
            f"{name} is {values[0]:g} in the encoder and {values[1]:g} in the decoder; a run has "
            "one for both"
        )
    return values[0]


def _check_attention(found: Attributes, layer: str, head_width: int, heads: int) -> None:
    """Raise InputError unless the attention of a layer has plain heads."""
    for attention in (f"{layer}/self_attention", f"{layer}/attention"):
        scale = found.number(f"{attention}/queries_scale", default=head_width**-0.5)
        if not math.isclose(scale, head_width**-0.5, rel_tol=1e-5):
            raise found.refusal(f"it has another scale of queries ({attention}/queries_scale)")
        for name, expected in (("num_heads_kv", heads), ("head_dim", head_width)):
            value = found.number(f"{attention}/{name}", default=expected)
            if value != expected:
                what = "multi-query attention" if name == "num_heads_kv" else "heads of other width"
                raise found.refusal(f"it has {what} ({attention}/{name} = {value:g})")
        if found.number(f"{attention}/multi_query", default=0):
            raise found.refusal(f"it has multi-query attention ({attention}/multi_query)")


def _check_last_norm(found: Attributes, side: str, pre_norm: bool) -> None:
    has_norm = found.has(f"{side}/layer_norm")
    if pre_norm and not has_norm:
        raise found.refusal(f"it has no norm after its last layer ({side}/layer_norm)")
    if has_norm and not pre_norm:
        raise found.refusal(f"it has a norm too many after its last layer ({side}/layer_norm)")


def norm_epsilon(found: Attributes, config: Mapping[str, Any], default: float) -> float:
    """The epsilon of norms, which config.json may leave to the engine's default."""
    epsilon = config.get("layer_norm_epsilon")
    if epsilon is None:
        return default
    if not isinstance(epsilon, int | float) or not 0 < epsilon <= 1:
        raise found.refusal(f"layer_norm_epsilon = {epsilon!r} in config.json; 0 to 1 is allowed")
    return float(epsilon)


def _activation(found: Attributes) -> str:
    number = int(_same(found, "activation", 0))
    name = ACTIVATIONS.get(number)
    if name is None:
        shown = OTHER_ACTIVATIONS.get(number, f"number {number}")
        known = ", ".join(ACTIVATIONS.values())
        raise found.refusal(f"its activation is {shown}; {known} are known")
    gated = {found.has(f"{side}/layer_0/ffn/linear_0_noact") for side in SIDES}
    if gated == {False}:
        return name
    if name != "swish" or len(gated) > 1:
        raise found.refusal(
            f"it has feed-forward layers with a gate and {name} (ffn/linear_0_noact); those with "
            "swish on both sides are known"
        )
    return "swiglu"


def _scales_embeddings(found: Attributes, width: int) -> bool:
    """Whether embeddings are multiplied by the root of the width: a flag, or the factor itself."""
    answers = set()
    for side in SIDES:
        names = (
            f"{side}/scale_embeddings",
            f"{side}/embeddings_0/multiply_by_sqrt_depth",
            f"{side}/embeddings/multiply_by_sqrt_depth",
        )
        scale = found.number(*names, default=1)
        name = next((each for each in names if each in found.file.variables), "")
        is_flag = not name or found.file.variables[name].type == "int8"
        if is_flag or scale == 1:
            answers.add(bool(scale) and is_flag)
        elif math.isclose(scale, width**0.5, rel_tol=1e-3):
            answers.add(True)
        else:
            raise found.refusal(
                f"it multiplies embeddings by {scale:g} ({name}); by {width**0.5:g}, the root of "
                "the width, or not at all is known"
            )
    if len(answers) > 1:
        raise found.refusal("only one side scales its embeddings (scale_embeddings)")
    return answers.pop()


def _alignment(found: Attributes, layers: int, heads: int) -> dict[str, Any]:
    """The settings of word alignment: the first head of a layer, or the mean of all of them."""
    layer = int(found.of_side("decoder", "alignment_layer", -1))
    count = int(found.of_side("decoder", "alignment_heads", 1))
    layer = layer + layers if layer < 0 else layer
    if not 0 <= layer < layers:
        raise found.refusal(f"alignment_layer is {layer} of {layers} layers")
    return {"alignment_layer": layer, "alignment_head": 0 if count == 1 else "all"}


def rotary(found: Attributes, layers: Mapping[str, int], head_width: int) -> bool | None:
    """Whether rotary positions pair neighbours (True) or halves; None without rotary positions.

    Raises InputError for those with another base, or of a part of a head.
    """
    answers: set[bool | None] = set()
    for side in SIDES:
        for number in range(layers[side]):
            name = f"{side}/layer_{number}/self_attention/rotary_"
            if name + "dim" not in found.file.variables:
                answers.add(None)
                continue
            dimensions = found.number(name + "dim", default=0)
            if dimensions not in (0, head_width):
                raise found.refusal(f"it rotates a part of each head ({name}dim = {dimensions:g})")
            base = found.number(name + "base", default=10000)
            if base != 10000:
                raise found.refusal(f"{name}base is {base:g}; 10000 is known")
            answers.add(bool(found.number(name + "interleave", default=1)))
    if len(answers) > 1:
        raise found.refusal("its layers have different rotary positions (rotary_dim)")
    return answers.pop()


def check_all_read(file: ModelFile, read: set[str]) -> None:
    """Raise InputError, with its name, for a variable that nothing was made of."""
    for name in sorted(file.variables.keys() - read):
        last = name.rpartition("/")[2]
        if last not in ATTRIBUTES and name.removesuffix("_scale") not in read:
            raise Attributes(file).refusal(f"it has {name}, which our Transformer has no place for")
