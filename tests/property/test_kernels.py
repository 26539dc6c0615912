"""Compiled functions do what torch does in their place, for every row by itself."""

import gc
import itertools
import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch

from seq2seq_cli.config.models import ScopeName, ScoreName, TransformerConfig
from seq2seq_cli.errors import InputError
from seq2seq_cli.inference.architectures import inference_class, make_inference_model
from seq2seq_cli.inference.base import InferenceModel
from seq2seq_cli.inference.plain_model import PlainModel
from seq2seq_cli.kernels import library as kernels
from seq2seq_cli.kernels.inference.decoding import KVCache
from seq2seq_cli.kernels.inference.encoder_memory import EncoderMemory
from seq2seq_cli.kernels.inference.linear import Linear
from seq2seq_cli.models import (
    ModelConfig,
    TranslationModel,
    Vocabulary,
    build,
    model_config,
    reorder_state,
)
from seq2seq_cli.padding import pad
from seq2seq_cli.search import EnginePredictor, SearchOptions, TorchPredictor
from seq2seq_cli.symbols import EOS

pytestmark = pytest.mark.skipif(
    not kernels.usable_builds(), reason="no compiled functions were built for this processor"
)

VOCABULARY = Vocabulary(source=30, target=30, joint=True)


@pytest.mark.usefixtures("_each_kernel_build")
@pytest.mark.parametrize("rows", [1, 5, 23])
@pytest.mark.parametrize(("inputs", "outputs"), [(64, 128), (33, 7), (3, 1), (256, 301)])
def test_linear_layers_equal_the_exact_product(rows: int, inputs: int, outputs: int) -> None:
    random = np.random.default_rng(rows + inputs)
    weight = random.standard_normal((outputs, inputs), dtype=np.float32)
    bias, x = (
        random.standard_normal(outputs, np.float32),
        random.standard_normal((rows, inputs), np.float32),
    )
    exact = x @ weight.T + bias
    layer = Linear.pack(weight, bias, eight_bits=False)
    np.testing.assert_allclose(layer(x), exact, rtol=1e-5, atol=1e-4)
    chosen = np.array([outputs - 1, 0])
    np.testing.assert_allclose(layer.select_outputs(chosen)(x), layer(x)[:, chosen], rtol=1e-6)
    small = Linear.pack(weight, bias, eight_bits=True)
    assert np.linalg.norm(small(x) - exact) / np.linalg.norm(exact) < 0.04
    assert (small.select_outputs(chosen)(x) == small(x)[:, chosen]).all()


@pytest.mark.usefixtures("_each_kernel_build")
@pytest.mark.parametrize("greatest", [1e-15, 1e36, 2.7e36, 3e38])
def test_weights_of_any_size_are_rounded_to_eight_bits(greatest: float) -> None:
    """Above 2.7e36, 127 times a weight is infinite."""
    random = np.random.default_rng(5)
    weight = random.uniform(-1, 1, (40, 64))
    x = random.uniform(-1, 1, (3, 64)) / 1e10
    layer = Linear.pack((weight * greatest).astype(np.float32), None, eight_bits=True)
    exact = x @ (weight * greatest).T
    found = layer(x.astype(np.float32))
    assert np.linalg.norm(found - exact) / np.linalg.norm(exact) < 0.04


@pytest.mark.usefixtures("_each_kernel_build")
@pytest.mark.parametrize("eight_bits", [False, True])
def test_a_layer_computes_the_same_from_weights_that_were_packed_before(eight_bits: bool) -> None:
    random = np.random.default_rng(7)
    weight, x = (random.standard_normal((rows, 43), dtype=np.float32) for rows in (70, 17))
    bias = random.standard_normal(70, np.float32)
    packed = Linear.pack(weight, bias, eight_bits=eight_bits)
    block = np.frombuffer(bytearray(len(packed.block) + 128), np.uint8)
    block = block[-block.ctypes.data % 64 :][: len(packed.block)]
    block[:] = packed.block
    block.flags.writeable = False
    expected = packed(x)
    del packed
    layer = Linear.of_block(block, 70, 43, eight_bits=eight_bits)
    del block
    assert (layer(x) == expected).all()
    assert (layer.select_outputs(np.array([69, 3]))(x) == expected[:, [69, 3]]).all()


def test_a_block_of_another_layer_is_refused() -> None:
    block = np.zeros(1 << 16, np.uint8)
    block = block[-block.ctypes.data % 64 :]
    size = len(Linear.pack(np.zeros((70, 43), np.float32), None, eight_bits=True).block)
    for wrong in (block[: size - 1], block[: size + 64], block[:0], block[16 : 16 + size]):
        with pytest.raises(ValueError, match="packed layer"):
            Linear.of_block(wrong, 70, 43, eight_bits=True)


@pytest.mark.usefixtures("_each_kernel_build")
@pytest.mark.parametrize("eight_bits", [False, True])
def test_what_becomes_of_a_row_does_not_depend_on_the_others(eight_bits: bool) -> None:
    random = np.random.default_rng(2)
    weight, x = (random.standard_normal((rows, 40), dtype=np.float32) for rows in (70, 17))
    layer = Linear.pack(weight, None, eight_bits=eight_bits)
    x[3] *= 1000
    assert (layer(x) == np.concatenate([layer(row[None]) for row in x])).all()


@torch.inference_mode()
@pytest.mark.usefixtures("_each_kernel_build")
@pytest.mark.parametrize("norm", ["pre", "post", "deep"])
@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary", "relative"])
@pytest.mark.parametrize("attention", ["self", "average", "ssru"])
def test_a_compiled_transformer_equals_the_model_step_by_step(
    norm: str, positions: str, attention: str
) -> None:
    if (positions, attention) == ("rotary", "average"):
        pytest.skip("rotary positions and average attention do not go together")
    if positions == "relative" and attention != "self":
        pytest.skip("relative positions need self-attention")
    kinds = itertools.product(("layer", "rms"), ("relu", "gelu", "swish", "swiglu"))
    for normalisation, activation in kinds:
        torch.manual_seed(5)
        config = TransformerConfig(
            width=36,
            heads=3,
            feed_forward=21,
            norm=norm,  # type: ignore[arg-type]
            normalisation=normalisation,  # type: ignore[arg-type]
            activation=activation,  # type: ignore[arg-type]
            positions=positions,  # type: ignore[arg-type]
            decoder_attention=attention,  # type: ignore[arg-type]
            max_positions=4,
            position_buckets=4,
            position_distance=3,
        )
        _equals_its_model_step_by_step(config)


RNN = {"width": 20, "units": 36}
DEPTHS = [
    {"encoder_layers": 1, "decoder_layers": 2, "bidirectional": True},
    {"encoder_layers": 2, "decoder_layers": 1, "bidirectional": False},
]


@torch.inference_mode()
@pytest.mark.usefixtures("_each_kernel_build")
@pytest.mark.parametrize("scope", get_args(ScopeName))
@pytest.mark.parametrize("score", get_args(ScoreName))
def test_a_compiled_rnn_with_attention_equals_the_model_step_by_step(
    score: str, scope: str
) -> None:
    if score == "location-base" and scope != "global":
        pytest.skip("location-base scores choose positions by themselves")
    attention = {"score": score, "scope": scope, "window": 1, "location_length": 4}
    for cell, feeding, depths in itertools.product(("lstm", "gru"), (False, True), DEPTHS):
        table = RNN | attention | depths | {"cell": cell, "input_feeding": feeding}
        _equals_its_model_step_by_step(model_config({"architecture": "attention-rnn"} | table))


@torch.inference_mode()
@pytest.mark.usefixtures("_each_kernel_build")
@pytest.mark.parametrize("context", ["initial", "every-step"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_compiled_rnn_with_a_fixed_context_equals_the_model_step_by_step(
    cell: str, context: str
) -> None:
    for depths in (*DEPTHS, {"bidirectional": False, "reverse_source": True}):
        table = RNN | depths | {"cell": cell, "context": context}
        _equals_its_model_step_by_step(model_config({"architecture": "rnn"} | table))


WIDE_TRANSFORMER = {"architecture": "transformer", "width": 20, "heads": 2, "feed_forward": 36}
OTHERS = {
    "conv": {"architecture": "conv", "width": 20, "channels": 36, "decoder_layers": 2},
    "conv-wide": {"architecture": "conv", "width": 36, "channels": 20, "kernel": 5},
    "conv-narrow": {"architecture": "conv", "width": 20, "channels": 20, "kernel": 1},
    "transformer-unscaled": WIDE_TRANSFORMER
    | {"activation": "gelu-tanh", "scale_embeddings": False, "embedding_norm": True}
    | {"sinusoids": "interleaved", "norm_epsilon": 0.1, "norm": "post"},
    "transformer-narrow-heads": WIDE_TRANSFORMER
    | {"positions": "relative", "head_width": 6, "linear_bias": False, "activation": "geglu"}
    | {"position_buckets": 6, "position_distance": 5, "normalisation": "rms"},
    "transformer-wide-heads": WIDE_TRANSFORMER
    | {"head_width": 18, "positions": "rotary", "activation": "geglu", "encoder_layers": 1},
    "transformer-offset": WIDE_TRANSFORMER
    | {"activation": "gelu-sigmoid", "first_position": 61, "sinusoids": "tensor2tensor"}
    | {"embedding_norm": True, "normalisation": "rms", "norm_epsilon": 0.1},
}


@torch.inference_mode()
@pytest.mark.usefixtures("_each_kernel_build")
@pytest.mark.parametrize("table", OTHERS.values(), ids=OTHERS)
def test_other_compiled_models_equal_theirs_step_by_step(table: dict[str, object]) -> None:
    torch.manual_seed(5)
    _equals_its_model_step_by_step(model_config(table))


def _equals_its_model_step_by_step(config: ModelConfig) -> None:
    model = build(config, VOCABULARY).eval()
    compiled = engine_model(model)
    sentences = [[4, 5, 6, 7, EOS], [9, EOS], [8, 9, EOS]]
    given = model.encode(pad(sentences))[::-1]
    memory, cache = encode(compiled, sentences)
    # One row of each sentence, then two, which change places; then a sentence is left out.
    plan = (
        [0, 0, 1, 1, 2, 2],
        [1, 0, 2, 2, 3, 2],
        [1, 1, 0, 0, 5, 4],
        [0, 1, 4, 5],
        [1, 0, 2, 2],
    )
    rows = 3
    for order in plan:
        tokens = torch.randint(4, 30, (rows, 1))
        exact, state = model.decode(tokens, *given)
        hidden, cache = compiled.decoder.step(tokens[:, 0].numpy(), cache, memory)
        torch.testing.assert_close(torch.from_numpy(hidden), exact[:, 0], rtol=1e-4, atol=1e-5)
        chosen = torch.tensor(order)
        given = reorder_state(state, chosen), given[1]
        cache = cache.select(chosen.numpy())
        if len(order) < rows:
            given = given[0], reorder_state(given[1], torch.tensor([0, 2]))
            memory = replace(memory, sentences=memory.sentences[[0, 2]])
        rows = len(order)


def engine_model(model: TranslationModel, *, eight_bits: bool = False) -> InferenceModel:
    return make_inference_model(PlainModel.of(model), eight_bits=eight_bits)


def encode(
    model: InferenceModel, sentences: Sequence[Sequence[int]]
) -> tuple[EncoderMemory, KVCache]:
    lengths = np.array([len(each) for each in sentences], dtype=np.int32)
    return model.encode(np.concatenate([np.array(each) for each in sentences]), lengths)


SMALL = {
    "transformer": {"architecture": "transformer", "width": 32, "heads": 2, "feed_forward": 48},
    "attention-rnn": {"architecture": "attention-rnn", "encoder_layers": 2} | RNN,
    "rnn": {"architecture": "rnn"} | RNN,
}


@torch.inference_mode()
@pytest.mark.usefixtures("_each_kernel_build")
@pytest.mark.parametrize("eight_bits", [False, True])
@pytest.mark.parametrize("table", SMALL.values(), ids=SMALL)
def test_what_becomes_of_a_sentence_does_not_depend_on_the_batch(
    table: dict[str, object], eight_bits: bool
) -> None:
    torch.manual_seed(7)
    model = build(model_config(table), VOCABULARY).eval()
    compiled = engine_model(model, eight_bits=eight_bits)
    sentences = [[4, 5, 6, 7, 8, 9, EOS], [9, EOS], [8, 9, 10, EOS]]
    tokens = np.array([1, 5, 6])
    memory, cache = encode(compiled, sentences)
    together = []
    for _ in range(3):
        hidden, cache = compiled.decoder.step(tokens, cache, memory)
        together.append(hidden)
    for place, sentence in enumerate(sentences):
        memory, cache = encode(compiled, [sentence])
        for step in together:
            hidden, cache = compiled.decoder.step(tokens[place : place + 1], cache, memory)
            assert (hidden[0] == step[place]).all()


@pytest.mark.usefixtures("_each_kernel_build")
@pytest.mark.parametrize("eight_bits", [False, True])
def test_an_rnn_reads_a_batch_of_any_size_as_it_reads_each_sentence(eight_bits: bool) -> None:
    torch.manual_seed(8)
    table: dict[str, object] = {"architecture": "attention-rnn", "score": "multi-head"} | RNN
    compiled = engine_model(build(model_config(table), VOCABULARY), eight_bits=eight_bits)
    random = np.random.default_rng(8)
    # More than the encoder steps together, and a sentence that is longer than that alone
    lengths = [*random.integers(1, 60, 50), 1500]
    sentences = [random.integers(4, 30, length).tolist() for length in lengths]
    memory, cache = encode(compiled, sentences)
    state = cache.steps[0].reshape(-1, len(sentences), 36)
    for index, (start, sentence) in enumerate(zip(memory.starts, sentences, strict=True)):
        alone, its_cache = encode(compiled, [sentence])
        for layer, its_layer in zip(memory.layers, alone.layers, strict=True):
            assert (layer[start : start + len(sentence)] == its_layer).all()
        assert (state[:, index] == its_cache.steps[0].reshape(-1, 36)).all()


@pytest.mark.usefixtures("_each_kernel_build")
@pytest.mark.parametrize("name", ["attention.key_weight", "decoder.layers.0", "features"])
def test_weights_of_an_rnn_that_do_not_fit_its_settings_are_refused(name: str) -> None:
    config = model_config({"architecture": "attention-rnn", "score": "additive"} | RNN)
    plain = PlainModel.of(build(config, VOCABULARY))
    arrays = {
        key: weight[:-4] if key.startswith(name) else weight for key, weight in plain.arrays.items()
    }
    with pytest.raises(RuntimeError, match="does not fit the settings"):
        make_inference_model(replace(plain, arrays=arrays), eight_bits=False)


def test_every_architecture_and_option_has_kernels(model: TranslationModel) -> None:
    """A model without any would be slow, and skipped by the tests of kernels."""
    assert inference_class(model.config) is not None


def test_the_engine_is_freed_as_soon_as_nobody_uses_it(model: TranslationModel) -> None:
    """Training makes one for each validation: a cycle would keep their weights in memory."""
    predictor = EnginePredictor([PlainModel.of(model)])
    predictor.search([[4, 5, EOS]], SearchOptions(max_extra=2, max_ratio=1))
    engine = weakref.ref(predictor.models[0])
    gc.disable()
    try:
        del predictor
        assert engine() is None
    finally:
        gc.enable()


def test_the_engine_finds_what_torch_finds(model: TranslationModel) -> None:
    if inference_class(model.config) is None:
        pytest.skip("this architecture has no kernels")
    sources = [[4, 5, 6, EOS], [5, EOS], [6, 6, 4, 5, EOS]]
    options = SearchOptions(beam=4, n_best=3)
    plain = TorchPredictor([model]).search(sources, options)
    found = EnginePredictor([PlainModel.of(model)]).search(sources, options)
    for mine, theirs in zip(found, plain, strict=True):
        assert [each.tokens for each in mine] == [each.tokens for each in theirs]
        assert [each.score for each in mine] == pytest.approx(
            [each.score for each in theirs], rel=1e-4
        )


def test_builds_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQ2SEQ_NATIVE", "avx-512")
    kernels.library.cache_clear()
    try:
        with pytest.raises(InputError, match=r"SEQ2SEQ_NATIVE=avx-512: .*off are allowed"):
            kernels.library()
    finally:
        kernels.library.cache_clear()
