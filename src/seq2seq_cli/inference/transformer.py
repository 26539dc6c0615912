"""The Transformer, for search in kernels."""

from dataclasses import replace
from typing import cast

from seq2seq_cli.config.models import ModelConfig, Scaling, TransformerConfig
from seq2seq_cli.inference.base import InferenceModel
from seq2seq_cli.inference.transformer_positions import TransformerPositions
from seq2seq_cli.inference.weights import ModelWeights
from seq2seq_cli.kernels.arrays import Counts, Tokens
from seq2seq_cli.kernels.inference import transformer as kernels
from seq2seq_cli.kernels.inference.decoding import KVCache, TargetEmbedding
from seq2seq_cli.kernels.inference.encoder_memory import EncoderMemory
from seq2seq_cli.kernels.inference.linear import Linear


class TransformerInference(InferenceModel):
    """A Transformer whose encoder reads a batch in one call."""

    Config = TransformerConfig
    config: TransformerConfig

    def __init__(self, config: ModelConfig, weights: ModelWeights) -> None:
        self.config = config = cast(TransformerConfig, config)
        self.output = weights.output()
        self.source_embedding = weights.source_embedding()
        self.source_positions = TransformerPositions(config, weights, "source")
        target_positions = TransformerPositions(config, weights, "target")
        scaling = Scaling.of(config)
        settings = kernels.TransformerSettings(
            width=config.width,
            heads=config.heads,
            head_width=config.key_width,
            feed_forward=config.feed_forward,
            activation=config.activation,
            decoder_attention=config.decoder_attention,
            pre_norm=config.norm == "pre",
            dtype=weights.keys_values_type,
            residual=scaling.encoder_residual,
            norm_epsilon=config.norm_epsilon,
            embedding_scale=config.width**0.5 if config.scale_embeddings else 1.0,
        )
        self.encoder = kernels.Encoder(
            settings,
            [_encoder_layer(weights, f"encoder.{i}") for i in range(config.encoder_layers)],
            _end_norms(config, weights, "source_embedding_norm", "encoder_norm"),
            [
                weights.linear(f"decoder.{i}.cross_attention.key_value")
                for i in range(config.decoder_layers)
            ],
        )
        self.decoder = kernels.decoder(
            replace(settings, residual=scaling.decoder_residual),
            TargetEmbedding(weights.target_embedding(), target_positions.tables),
            [_decoder_layer(config, weights, f"decoder.{i}") for i in range(config.decoder_layers)],
            _end_norms(config, weights, "target_embedding_norm", "decoder_norm"),
        )

    def encode(self, tokens: Tokens, lengths: Counts) -> tuple[EncoderMemory, KVCache]:
        tables = self.source_positions.tables(int(lengths.max(initial=0)))
        memory = self.encoder.read(
            tokens,
            lengths,
            self.source_embedding,
            tables.positions,
            tables.rotations,
            tables.biases,
        )
        return memory, KVCache.empty(len(lengths))


def _end_norms(
    config: TransformerConfig, weights: ModelWeights, embedding: str, last: str
) -> kernels.EndNorms:
    return kernels.EndNorms(
        weights.norm(embedding) if config.embedding_norm else None,
        weights.norm(last) if config.norm == "pre" else None,
    )


def _encoder_layer(weights: ModelWeights, name: str) -> kernels.TransformerLayer:
    return kernels.TransformerLayer(
        self_input=weights.linear(f"{name}.attention.query_key_value"),
        self_output=weights.linear(f"{name}.attention.output"),
        inner=weights.linear(f"{name}.feed_forward.inner"),
        outer=weights.linear(f"{name}.feed_forward.outer"),
        self_norm=weights.norm(f"{name}.attention_sublayer.norm"),
        feed_forward_norm=weights.norm(f"{name}.feed_forward_sublayer.norm"),
    )


def _decoder_layer(
    config: TransformerConfig, weights: ModelWeights, name: str
) -> kernels.TransformerLayer:
    self_input, self_output, self_gates = _self_attention(config, weights, f"{name}.self_attention")
    return kernels.TransformerLayer(
        self_input=self_input,
        self_output=self_output,
        self_gates=self_gates,
        inner=weights.linear(f"{name}.feed_forward.inner"),
        outer=weights.linear(f"{name}.feed_forward.outer"),
        self_norm=weights.norm(f"{name}.self_sublayer.norm"),
        feed_forward_norm=weights.norm(f"{name}.feed_forward_sublayer.norm"),
        cross_query=weights.linear(f"{name}.cross_attention.query"),
        cross_output=weights.linear(f"{name}.cross_attention.output"),
        cross_norm=weights.norm(f"{name}.cross_sublayer.norm"),
    )


def _self_attention(
    config: TransformerConfig, weights: ModelWeights, name: str
) -> tuple[Linear, Linear | None, Linear | None]:
    """Pack the linear layers of self-attention, or of what replaces it; see `TransformerLayer`."""
    if config.decoder_attention == "ssru":
        both = weights.joined(
            [f"{name}.forget.weight", f"{name}.input.weight"], [f"{name}.forget.bias"]
        )
        return both, None, None
    if config.decoder_attention == "average":
        inner, outer, gates = (
            weights.linear(f"{name}.{each}") for each in ("inner", "outer", "gates")
        )
        return inner, outer, gates
    return weights.linear(f"{name}.query_key_value"), weights.linear(f"{name}.output"), None
