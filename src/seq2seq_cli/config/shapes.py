"""The names and shapes of the weights of every architecture, without making a model.

Dimensions: D width, V vocabulary, U units, C channels.
"""

from collections.abc import Callable, Iterator

from seq2seq_cli.config.models import (
    AttentionRnnConfig,
    ConvConfig,
    ModelConfig,
    RecurrentConfig,
    RnnConfig,
    TransformerConfig,
    Vocabulary,
)

Shape = tuple[int, ...]
Named = Iterator[tuple[str, Shape]]


def weight_shapes(config: ModelConfig, vocabulary: Vocabulary) -> dict[str, Shape]:
    """The weights of a model by name, in the order they are made; a shared one is there once."""
    shapes: dict[str, Shape] = {"target_embedding.weight": (vocabulary.target, config.width)}
    if not (vocabulary.joint and config.tie_source):
        shapes["source_embedding.weight"] = (vocabulary.source, config.width)
    if not config.tie_output:
        shapes["output.weight"] = (vocabulary.target, config.width)
    if config.output_bias:
        shapes["output.bias"] = (vocabulary.target,)
    if config.copy_attention:
        shapes.update(_linear("copy_gate", config.width, 1))
    shapes.update(_ARCHITECTURES[type(config)](config))
    return shapes


def _linear(name: str, inputs: int, outputs: int, *, bias: bool = True) -> Named:
    yield f"{name}.weight", (outputs, inputs)
    if bias:
        yield f"{name}.bias", (outputs,)


def _cell(config: RecurrentConfig, name: str, inputs: int, units: int, suffix: str) -> Named:
    gates = (4 if config.cell == "lstm" else 3) * units
    yield f"{name}.weight_ih_{suffix}", (gates, inputs)
    yield f"{name}.weight_hh_{suffix}", (gates, units)
    yield f"{name}.bias_ih_{suffix}", (gates,)
    yield f"{name}.bias_hh_{suffix}", (gates,)


def _recurrent(config: RecurrentConfig, input_width: int) -> Named:
    """Encoder and decoder of both recurrent architectures."""
    units, states = config.units, 2 if config.cell == "lstm" else 1
    suffixes = ("l0", "l0_reverse") if config.bidirectional else ("l0",)
    for i in range(config.encoder_layers):
        inputs = units if i else config.width
        for suffix in suffixes:
            yield from _cell(config, f"encoder.layers.{i}", inputs, units // len(suffixes), suffix)
    for i in range(config.decoder_layers):
        yield from _cell(config, f"decoder.layers.{i}", units if i else input_width, units, "l0")
    yield from _linear("decoder.bridge", units, config.decoder_layers * states * units)


def _rnn(config: RnnConfig) -> Named:
    yield from _recurrent(config, config.width)
    yield from _linear("features", config.units, config.width)
    if config.context == "every-step":
        yield from _linear("context_input", config.units, config.width, bias=False)
        yield from _linear("context_features", config.units, config.width, bias=False)


def _attention_rnn(config: AttentionRnnConfig) -> Named:
    units = config.units
    yield from _recurrent(config, config.width * (2 if config.input_feeding else 1))
    if config.scope == "local-p":
        yield from _linear("attention.window.inner", units, units, bias=False)
        yield from _linear("attention.window.outer", units, 1, bias=False)
    if config.score == "additive":
        yield from _linear("attention.query_weight", units, units)
        yield from _linear("attention.key_weight", units, units, bias=False)
        yield from _linear("attention.score", units, 1, bias=False)
    elif config.score == "general":
        yield from _linear("attention.weight", units, units, bias=False)
    elif config.score == "location-base":
        yield from _linear("attention.weight", units, config.location_length, bias=False)
    elif config.score == "content-base":
        yield from _linear("attention.strength", units, 1)
    elif config.score == "multi-head":
        for name in ("query_weight", "key_weight", "value_weight", "output"):
            yield from _linear(f"attention.{name}", units, units)
    yield from _linear("features", 2 * units, config.width)


def _conv(config: ConvConfig) -> Named:
    width, channels = config.width, config.channels
    yield "encoder.embed.positions.embedding.weight", (config.max_positions, width)
    yield from _linear("encoder.input", width, channels)
    for i in range(config.encoder_layers):
        name = f"encoder.layers.{i}.weight"
        yield from _linear(name, config.kernel * channels, 2 * channels)
    yield from _linear("encoder.output", channels, width)
    yield "embed.positions.embedding.weight", (config.max_positions, width)
    yield from _linear("input", width, channels)
    for i in range(config.decoder_layers):
        name = f"decoder.{i}.convolution.weight"
        yield from _linear(name, config.kernel * channels, 2 * channels)
        yield from _linear(f"decoder.{i}.query", channels, width)
        yield from _linear(f"decoder.{i}.context", width, channels)
    yield from _linear("features", channels, width)


def _transformer(config: TransformerConfig) -> Named:
    width, inner, bias = config.width, config.feed_forward, config.linear_bias
    attended = config.attention_width
    if config.positions in ("learned", "relative"):
        learned = config.positions == "learned"
        shape = (
            (config.max_positions, width) if learned else (config.position_buckets, config.heads)
        )
        yield "source_positions.embedding.weight", shape
        yield "target_positions.embedding.weight", shape
    if config.embedding_norm:
        yield from _norm(config, "source_embedding_norm")
        yield from _norm(config, "target_embedding_norm")
    for i in range(config.encoder_layers):
        name = f"encoder.{i}"
        yield from _linear(f"{name}.attention.query_key_value", width, 3 * attended, bias=bias)
        yield from _linear(f"{name}.attention.output", attended, width, bias=bias)
        yield from _norm(config, f"{name}.attention_sublayer.norm")
        yield from _feed_forward(config, name)
    for i in range(config.decoder_layers):
        name = f"decoder.{i}"
        past = f"{name}.self_attention"
        if config.decoder_attention == "self":
            yield from _linear(f"{past}.query_key_value", width, 3 * attended, bias=bias)
            yield from _linear(f"{past}.output", attended, width, bias=bias)
        elif config.decoder_attention == "average":
            yield from _linear(f"{past}.inner", width, inner)
            yield from _linear(f"{past}.outer", inner, width)
            yield from _linear(f"{past}.gates", 2 * width, 2 * width)
        else:
            yield from _linear(f"{past}.forget", width, width)
            yield from _linear(f"{past}.input", width, width, bias=False)
        yield from _norm(config, f"{name}.self_sublayer.norm")
        cross = f"{name}.cross_attention"
        yield from _linear(f"{cross}.query", width, attended, bias=bias)
        yield from _linear(f"{cross}.key_value", width, 2 * attended, bias=bias)
        yield from _linear(f"{cross}.output", attended, width, bias=bias)
        yield from _norm(config, f"{name}.cross_sublayer.norm")
        yield from _feed_forward(config, name)
    if config.norm == "pre":
        yield from _norm(config, "encoder_norm")
        yield from _norm(config, "decoder_norm")


def _feed_forward(config: TransformerConfig, layer: str) -> Named:
    inner, gates, bias = config.feed_forward, 2 if config.is_gated else 1, config.linear_bias
    yield from _linear(f"{layer}.feed_forward.inner", config.width, gates * inner, bias=bias)
    yield from _linear(f"{layer}.feed_forward.outer", inner, config.width, bias=bias)
    yield from _norm(config, f"{layer}.feed_forward_sublayer.norm")


def _norm(config: TransformerConfig, name: str) -> Named:
    yield f"{name}.weight", (config.width,)
    if config.normalisation == "layer":
        yield f"{name}.bias", (config.width,)


_ARCHITECTURES: dict[type[ModelConfig], Callable[..., Named]] = {
    RnnConfig: _rnn,
    AttentionRnnConfig: _attention_rnn,
    ConvConfig: _conv,
    TransformerConfig: _transformer,
}
