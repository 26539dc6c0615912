"""Models compute what their papers say: compared with independent, plain implementations."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from seq2seq_cli.config.models import AttentionRnnConfig
from seq2seq_cli.inference import positions
from seq2seq_cli.models import TranslationModel, Vocabulary, build, model_config, source_attentions
from seq2seq_cli.models.attention import SCORES, Attention, MultiHeadAttention
from seq2seq_cli.models.layers import SourceAttention, sinusoids
from seq2seq_cli.symbols import BOS, EOS, PAD

U = 8  # units
LENGTHS = (6, 3, 1)  # of sources

Weights = dict[str, Tensor]


def softmax(scores: Tensor, visible: Tensor) -> Tensor:
    e = scores.exp() * visible
    return e / e.sum(dim=-1, keepdim=True)


def dot(w: Weights, query: Tensor, source: Tensor) -> Tensor:
    return torch.einsum("bqu,bsu->bqs", query, source)


PLAIN: dict[str, Callable[[Weights, Tensor, Tensor], Tensor]] = {
    "dot": dot,
    "scaled-dot": lambda w, query, source: dot(w, query, source) / math.sqrt(U),
    "general": lambda w, query, source: torch.einsum(
        "bqu,uv,bsv->bqs", query, w["weight.weight"], source
    ),
    "additive": lambda w, query, source: torch.einsum(
        "v,bqsv->bqs",
        w["score.weight"][0],
        (
            torch.einsum("vu,bqu->bqv", w["query_weight.weight"], query)[:, :, None]
            + w["query_weight.bias"]
            + torch.einsum("vu,bsu->bsv", w["key_weight.weight"], source)[:, None]
        ).tanh(),
    ),
    "location-base": lambda w, query, source: torch.einsum(
        "su,bqu->bqs", w["weight.weight"], query
    )[..., : source.size(1)],
    "content-base": lambda w, query, source: (
        dot(w, query, source)
        / torch.einsum("bqu,bqu->bq", query, query).sqrt()[..., None]
        / torch.einsum("bsu,bsu->bs", source, source).sqrt()[:, None]
        * (8 + (1 + (query @ w["strength.weight"][0] + w["strength.bias"]).exp()).log())[..., None]
    ),
}


@dataclass
class Setting:
    """An attention module with random weights, and inputs for it."""

    attention: Attention
    query: Tensor
    source: Tensor
    mask: Tensor
    position: Tensor

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        keys, values = self.attention.keys(self.source), self.attention.values(self.source)
        return self.query, keys, values, self.mask, self.position


def setting(**options: Any) -> Setting:
    torch.manual_seed(3)
    config = AttentionRnnConfig(units=U, **options)
    attention = SCORES[config.score](config)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.normal_()
    mask = torch.arange(max(LENGTHS))[None] < torch.tensor(LENGTHS)[:, None]
    shape = (len(LENGTHS), 5, U)
    source = torch.randn(len(LENGTHS), max(LENGTHS), U)
    return Setting(attention, torch.randn(shape), source, mask, torch.arange(5))


@pytest.mark.parametrize("score", PLAIN)
def test_scores_are_the_papers(score: str) -> None:
    s = setting(score=score)
    weights = dict(s.attention.named_parameters())
    expected = softmax(PLAIN[score](weights, s.query, s.source), s.mask[:, None])
    torch.testing.assert_close(s.attention.weights(*s.inputs)[:, 0], expected)
    context = torch.einsum("bqs,bsu->bqu", expected, s.source)
    torch.testing.assert_close(s.attention(*s.inputs), context)


def test_multi_head_scores_are_the_papers() -> None:
    s = setting(score="multi-head", heads=2)
    w = {name: p.detach() for name, p in s.attention.named_parameters()}
    heads = []
    for half in (slice(0, 4), slice(4, 8)):
        query = s.query @ w["query_weight.weight"][half].T + w["query_weight.bias"][half]
        key = s.source @ w["key_weight.weight"][half].T + w["key_weight.bias"][half]
        value = s.source @ w["value_weight.weight"][half].T + w["value_weight.bias"][half]
        scores = torch.einsum("bqu,bsu->bqs", query, key) / 2
        heads.append(torch.einsum("bqs,bsu->bqu", softmax(scores, s.mask[:, None]), value))
    expected = torch.cat(heads, dim=2) @ w["output.weight"].T + w["output.bias"]
    torch.testing.assert_close(s.attention(*s.inputs), expected)


def test_local_m_attends_around_the_target_position() -> None:
    s = setting(score="dot", scope="local-m", window=1)
    for row, length in enumerate(LENGTHS):
        for t in range(5):
            centre = min(t, length - 1)
            places = [i for i in range(length) if abs(i - centre) <= 1]
            scores = torch.tensor([float(s.query[row, t] @ s.source[row, i]) for i in places])
            context = sum(
                w * s.source[row, i] for w, i in zip(scores.softmax(0), places, strict=True)
            )
            torch.testing.assert_close(s.attention(*s.inputs)[row, t], context)


def test_local_p_predicts_its_centre_and_falls_off_as_a_gaussian() -> None:
    s = setting(score="general", scope="local-p", window=2)
    w = {name: p.detach() for name, p in s.attention.named_parameters()}
    for row, length in enumerate(LENGTHS):
        for t in range(5):
            h = s.query[row, t]
            inner = (w["window.inner.weight"] @ h).tanh()
            centre = (length - 1) * float((w["window.outer.weight"][0] @ inner).sigmoid())
            places = [i for i in range(length) if abs(i - centre) <= 2]
            scores = torch.stack([h @ w["weight.weight"] @ s.source[row, i] for i in places])
            sigma = 2 / 2
            fall = torch.tensor([math.exp(-((i - centre) ** 2) / (2 * sigma**2)) for i in places])
            weights = scores.softmax(0) * fall
            context = sum(a * s.source[row, i] for a, i in zip(weights, places, strict=True))
            torch.testing.assert_close(s.attention(*s.inputs)[row, t], context)


@torch.inference_mode()
def test_weights_are_those_that_forward_uses(model: TranslationModel) -> None:
    """Captured attention is what the model did, although fused kernels return no weights."""
    calls: list[tuple[SourceAttention, tuple[Tensor, ...], Tensor]] = []
    for module in (attentions := source_attentions(model)):
        module.register_forward_hook(lambda m, inputs, out: calls.append((m, inputs, out)))
    source = torch.tensor([[4, 5, 6, 4, EOS], [5, EOS, PAD, PAD, PAD]])
    model(source, torch.tensor([[BOS, 6, 5], [BOS, 4, 4]]))
    for module in attentions:
        module._forward_hooks.clear()
    assert bool(calls) == model.attends_to_source
    for module, inputs, out in calls:
        weights, values = module.weights(*inputs), inputs[2]
        assert bool((weights[1, ..., 2:] == 0).all())  # PAD gets nothing
        if isinstance(module, MultiHeadAttention):
            continue  # what it sums is projected once more; compared above
        if values.dim() == 3:
            values, out = values[:, None], out[:, None]
        torch.testing.assert_close(weights @ values, out)


POSITIONS = {  # number i of the position p, of 8
    "halves": lambda p, i: math.sin(p / 10000 ** (2 * (i % 4) / 8) + math.pi / 2 * (i // 4)),
    "tensor2tensor": lambda p, i: math.sin(p / 10000 ** ((i % 4) / 3) + math.pi / 2 * (i // 4)),
    "interleaved": lambda p, i: math.sin(p / 10000 ** (2 * (i // 2) / 8) + math.pi / 2 * (i % 2)),
}


@pytest.mark.parametrize("form", POSITIONS)
def test_sinusoids_are_those_of_their_formula_in_both_engines(form: str) -> None:
    expected = torch.tensor([[POSITIONS[form](p, i) for i in range(8)] for p in range(3, 90)])
    found = sinusoids(3, 87, 8, torch.device("cpu"), form)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)
    plain = positions.sinusoids(90, 8, form)[3:]
    torch.testing.assert_close(torch.from_numpy(plain), expected, atol=2e-5, rtol=0)


# The Transformer, written once more with einsum alone


def plain_norm(x: Tensor, w: Weights, name: str) -> Tensor:
    centred = x - x.mean(dim=-1, keepdim=True)
    deviation = (centred.pow(2).mean(dim=-1, keepdim=True) + 1e-5).sqrt()
    return centred / deviation * w[f"{name}.weight"] + w[f"{name}.bias"]


def plain_linear(x: Tensor, w: Weights, name: str) -> Tensor:
    return torch.einsum("ntd,ed->nte", x, w[f"{name}.weight"]) + w[f"{name}.bias"]


def plain_attention(query: Tensor, key: Tensor, value: Tensor, visible: Tensor) -> Tensor:
    """Two heads of width 4 over (N, T, 8)."""
    heads = []
    for half in (slice(0, 4), slice(4, 8)):
        scores = torch.einsum("ntd,nsd->nts", query[..., half], key[..., half]) / 2
        heads.append(torch.einsum("nts,nsd->ntd", softmax(scores, visible), value[..., half]))
    return torch.cat(heads, dim=-1)


def plain_positions(ids: Tensor) -> Tensor:
    angles = [
        [position / 10000 ** (2 * i / 8) for i in range(4)] for position in range(ids.size(1))
    ]
    return torch.cat((torch.tensor(angles).sin(), torch.tensor(angles).cos()), dim=1)


def plain_transformer(w: Weights, source: Tensor, target: Tensor) -> Tensor:
    """Pre-norm, ReLU, one layer on each side, width 8."""
    visible = (source != PAD)[:, None]

    def feed_forward(x: Tensor, side: str) -> Tensor:
        read = plain_norm(x, w, f"{side}.0.feed_forward_sublayer.norm")
        inner = plain_linear(read, w, f"{side}.0.feed_forward.inner").relu()
        return x + plain_linear(inner, w, f"{side}.0.feed_forward.outer")

    x = w["source_embedding.weight"][source] * math.sqrt(8) + plain_positions(source)
    read = plain_norm(x, w, "encoder.0.attention_sublayer.norm")
    joint = plain_linear(read, w, "encoder.0.attention.query_key_value").split(8, dim=-1)
    attended = plain_attention(*joint, visible)
    x = x + plain_linear(attended, w, "encoder.0.attention.output")
    encoded = plain_norm(feed_forward(x, "encoder"), w, "encoder_norm")

    y = w["target_embedding.weight"][target] * math.sqrt(8) + plain_positions(target)
    read = plain_norm(y, w, "decoder.0.self_sublayer.norm")
    joint = plain_linear(read, w, "decoder.0.self_attention.query_key_value").split(8, dim=-1)
    past = torch.ones(target.size(1), target.size(1)).tril()
    attended = plain_attention(*joint, past)
    y = y + plain_linear(attended, w, "decoder.0.self_attention.output")
    read = plain_norm(y, w, "decoder.0.cross_sublayer.norm")
    query = plain_linear(read, w, "decoder.0.cross_attention.query")
    key, value = plain_linear(encoded, w, "decoder.0.cross_attention.key_value").split(8, dim=-1)
    attended = plain_attention(query, key, value, visible)
    y = y + plain_linear(attended, w, "decoder.0.cross_attention.output")
    return plain_norm(feed_forward(y, "decoder"), w, "decoder_norm")


SOURCE = torch.tensor([[4, 5, 6, 8, EOS], [7, 4, EOS, PAD, PAD]])
TARGET = torch.tensor([[BOS, 6, 5, 4], [BOS, 5, 5, 6]])


def test_the_transformer_equals_a_plain_one() -> None:
    torch.manual_seed(4)
    table = {"architecture": "transformer", "width": 8, "heads": 2, "feed_forward": 12}
    config = model_config(table | {"encoder_layers": 1, "decoder_layers": 1})
    model = build(config, Vocabulary(9, 7, joint=False)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    with torch.inference_mode():
        torch.testing.assert_close(
            model(SOURCE, TARGET), plain_transformer(weights, SOURCE, TARGET)
        )


@pytest.mark.parametrize("activation", ["relu", "gelu", "swish"])
def test_the_transformer_equals_marian(activation: str) -> None:
    transformers = pytest.importorskip(
        "transformers", reason="pip install 'seq2seq-cli[dev]' to compare with MarianMTModel"
    )
    torch.manual_seed(5)
    marian = transformers.MarianMTModel(
        transformers.MarianConfig(
            vocab_size=11, d_model=16, encoder_layers=2, decoder_layers=3,
            encoder_attention_heads=4, decoder_attention_heads=4,
            encoder_ffn_dim=24, decoder_ffn_dim=24, activation_function=activation,
            scale_embedding=True, pad_token_id=PAD, eos_token_id=EOS, decoder_start_token_id=BOS,
            max_position_embeddings=32, init_std=0.3,
        )
    ).eval()  # fmt: skip
    table = {"architecture": "transformer", "width": 16, "heads": 4, "feed_forward": 24}
    table |= {"encoder_layers": 2, "decoder_layers": 3, "norm": "post", "activation": activation}
    model = build(model_config(table), Vocabulary(11, 11, joint=True)).eval()
    model.load_state_dict(from_marian(marian.state_dict(), model.state_dict()))

    source = SOURCE.clamp(max=10)
    with torch.inference_mode():
        expected = marian(
            input_ids=source, attention_mask=source != PAD, decoder_input_ids=TARGET
        ).logits
        actual = model.output(model(source, TARGET))
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def from_marian(theirs: Weights, ours: Weights) -> Weights:
    """Marian's weights under our names."""
    names = {
        "attention.output": "self_attn.out_proj",
        "attention_sublayer.norm": "self_attn_layer_norm",
        "self_attention.output": "self_attn.out_proj",
        "self_sublayer.norm": "self_attn_layer_norm",
        "cross_attention.query": "encoder_attn.q_proj",
        "cross_attention.output": "encoder_attn.out_proj",
        "cross_sublayer.norm": "encoder_attn_layer_norm",
        "feed_forward.inner": "fc1",
        "feed_forward.outer": "fc2",
        "feed_forward_sublayer.norm": "final_layer_norm",
    }
    joined = {
        "attention.query_key_value": ("self_attn", "qkv"),
        "self_attention.query_key_value": ("self_attn", "qkv"),
        "cross_attention.key_value": ("encoder_attn", "kv"),
    }
    result = {}
    for name in ours:
        if "embedding" in name or name == "output.weight":
            result[name] = theirs["model.shared.weight"]
            continue
        side, layer, rest = name.split(".", 2)
        part, _, kind = rest.rpartition(".")
        prefix = f"model.{side}.layers.{layer}"
        if part in joined:
            module, letters = joined[part]
            result[name] = torch.cat(
                [theirs[f"{prefix}.{module}.{letter}_proj.{kind}"] for letter in letters]
            )
        else:
            result[name] = theirs[f"{prefix}.{names[part]}.{kind}"]
    return result
