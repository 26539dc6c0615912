"""The names of a Transformer's weights here and in CTranslate2, for import and export.

Embeddings, positions and the projection to the vocabulary are not among them: their rows are in
another order, or their settings say what they are.
"""

from collections.abc import Iterator

from seq2seq_cli.config.models import TransformerConfig

PARTS = {
    "linear": {"weight": "weight", "bias": "bias"},
    "norm": {"weight": "gamma", "bias": "beta"},
}

Names = Iterator[tuple[str, tuple[str, ...]]]


def names(config: TransformerConfig) -> Names:
    """Yield our name of each weight and theirs, whose rows ours has one after the other."""
    for ours, kind, *theirs in _layers(config):
        for part, their_part in PARTS[kind].items():
            if kind == "linear" or part == "weight" or config.normalisation == "layer":
                yield f"{ours}.{part}", tuple(f"{each}/{their_part}" for each in theirs)


def _layers(config: TransformerConfig) -> Iterator[tuple[str, ...]]:
    """Yield our name of a linear layer or norm, which of both it is, and their names."""
    for side, theirs, count in (
        ("encoder", "encoder", config.encoder_layers),
        ("decoder", "decoder", config.decoder_layers),
    ):
        if config.embedding_norm:
            embedding = "source_embedding_norm" if side == "encoder" else "target_embedding_norm"
            yield embedding, "norm", f"{theirs}/layernorm_embedding"
        if config.norm == "pre":
            yield f"{side}_norm", "norm", f"{theirs}/layer_norm"
        for number in range(count):
            yield from _layer(config, f"{side}.{number}", f"{theirs}/layer_{number}")


def _layer(config: TransformerConfig, ours: str, theirs: str) -> Iterator[tuple[str, ...]]:
    is_encoder = ours.startswith("encoder")
    own, own_sublayer = ("attention", "attention") if is_encoder else ("self_attention", "self")
    attention = f"{theirs}/self_attention"
    yield f"{ours}.{own}.query_key_value", "linear", f"{attention}/linear_0"
    yield f"{ours}.{own}.output", "linear", f"{attention}/linear_1"
    yield f"{ours}.{own_sublayer}_sublayer.norm", "norm", f"{attention}/layer_norm"
    if not is_encoder:
        attention = f"{theirs}/attention"
        for number, part in enumerate(("query", "key_value", "output")):
            yield f"{ours}.cross_attention.{part}", "linear", f"{attention}/linear_{number}"
        yield f"{ours}.cross_sublayer.norm", "norm", f"{attention}/layer_norm"
    inner = [f"{theirs}/ffn/linear_0"]
    if config.activation == "swiglu":  # the first half is the gate, which has the activation
        inner.append(f"{theirs}/ffn/linear_0_noact")
    yield f"{ours}.feed_forward.inner", "linear", *inner
    yield f"{ours}.feed_forward.outer", "linear", f"{theirs}/ffn/linear_1"
    yield f"{ours}.feed_forward_sublayer.norm", "norm", f"{theirs}/ffn/layer_norm"
