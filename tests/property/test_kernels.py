"""Compiled functions do what torch does in their place, for every row by itself."""

import itertools

import pytest
import torch

from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.errors import InputError
from seq2seq_cli.inference import inference_class, prepare_for_search, with_packed_layers
from seq2seq_cli.inference.candidates import best_extensions, log_sum_exp
from seq2seq_cli.kernels import library as kernels
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
from seq2seq_cli.search import Predictor, SearchOptions, beam_search
from seq2seq_cli.symbols import EOS

pytestmark = pytest.mark.skipif(
    not kernels.usable_builds(), reason="no compiled functions were built for this processor"
)

VOCABULARY = Vocabulary(source=30, target=30, joint=True)


@pytest.mark.usefixtures("_each_kernel_build")
@pytest.mark.parametrize("rows", [1, 5, 23])
@pytest.mark.parametrize(("inputs", "outputs"), [(64, 128), (33, 7), (3, 1), (256, 301)])
def test_linear_layers_equal_the_exact_product(rows: int, inputs: int, outputs: int) -> None:
    torch.manual_seed(rows + inputs)
    weight, bias = torch.randn(outputs, inputs), torch.randn(outputs)
    x = torch.randn(rows, inputs)
    exact = torch.nn.functional.linear(x, weight, bias)
    layer = Linear.pack(weight, bias, eight_bits=False)
    torch.testing.assert_close(layer(x), exact, rtol=1e-5, atol=1e-4)
    chosen = torch.tensor([outputs - 1, 0])
    torch.testing.assert_close(layer.select_outputs(chosen)(x), layer(x)[:, chosen])
    small = Linear.pack(weight, bias, eight_bits=True)
    assert float((small(x) - exact).norm() / exact.norm()) < 0.04
    torch.testing.assert_close(small.select_outputs(chosen)(x), small(x)[:, chosen], rtol=0, atol=0)


@pytest.mark.usefixtures("_each_kernel_build")
@pytest.mark.parametrize("eight_bits", [False, True])
def test_what_becomes_of_a_row_does_not_depend_on_the_others(eight_bits: bool) -> None:
    torch.manual_seed(2)
    layer = Linear.pack(torch.randn(70, 40), None, eight_bits=eight_bits)
    x = torch.randn(17, 40)
    x[3] *= 1000
    alone = torch.cat([layer(row[None]) for row in x])
    assert torch.equal(layer(x), alone)


@torch.inference_mode()
@pytest.mark.usefixtures("_each_kernel_build")
@pytest.mark.parametrize("norm", ["pre", "post", "deep"])
@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary"])
@pytest.mark.parametrize("attention", ["self", "average", "ssru"])
def test_a_compiled_transformer_equals_the_model_step_by_step(
    norm: str, positions: str, attention: str
) -> None:
    if (positions, attention) == ("rotary", "average"):
        pytest.skip("rotary positions and average attention do not go together")
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
        )
        _equals_its_model_step_by_step(config)


OTHERS = {
    "conv": {"architecture": "conv", "width": 20, "channels": 36, "decoder_layers": 2},
    "conv-wide": {"architecture": "conv", "width": 36, "channels": 20, "kernel": 5},
    "conv-narrow": {"architecture": "conv", "width": 20, "channels": 20, "kernel": 1},
    "lstm": {"architecture": "attention-rnn", "width": 20, "units": 36},
    "gru": {"architecture": "attention-rnn", "width": 20, "units": 36, "cell": "gru"}
    | {"score": "dot", "decoder_layers": 2, "encoder_layers": 2, "bidirectional": False},
    "feeding": {"architecture": "attention-rnn", "width": 20, "units": 36}
    | {"score": "scaled-dot", "decoder_layers": 2, "input_feeding": True},
}


@torch.inference_mode()
@pytest.mark.usefixtures("_each_kernel_build")
@pytest.mark.parametrize("table", OTHERS.values(), ids=OTHERS)
def test_other_compiled_models_equal_theirs_step_by_step(table: dict[str, object]) -> None:
    torch.manual_seed(5)
    _equals_its_model_step_by_step(model_config(table))


def _equals_its_model_step_by_step(config: ModelConfig) -> None:
    model = build(config, VOCABULARY).eval()
    assert inference_class(model)
    compiled = prepare_for_search(model)
    source = pad([[4, 5, 6, 7, EOS], [9, EOS], [8, 9, EOS]])
    given, found = model.encode(source)[::-1], compiled.encode(source)[::-1]
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
        hidden, own = compiled.decode(tokens, *found)
        torch.testing.assert_close(hidden, exact, rtol=1e-4, atol=1e-5)
        chosen = torch.tensor(order)
        given = reorder_state(state, chosen), given[1]
        found = reorder_state(own, chosen), found[1]
        if len(order) < rows:
            kept = torch.tensor([0, 2])
            given, found = (
                (state, reorder_state(memory, kept)) for state, memory in (given, found)
            )
        rows = len(order)


@torch.inference_mode()
@pytest.mark.usefixtures("_each_kernel_build")
@pytest.mark.parametrize("eight_bits", [False, True])
def test_what_becomes_of_a_sentence_does_not_depend_on_the_batch(eight_bits: bool) -> None:
    torch.manual_seed(7)
    model = build(TransformerConfig(width=32, heads=2, feed_forward=48), VOCABULARY).eval()
    compiled = prepare_for_search(with_packed_layers(model, eight_bits=eight_bits))
    sentences = [[4, 5, 6, 7, 8, 9, EOS], [9, EOS], [8, 9, 10, EOS]]
    tokens = torch.tensor([[1], [5], [6]])
    memory, state = compiled.encode(pad(sentences))
    together = []
    for _ in range(3):
        hidden, state = compiled.decode(tokens, state, memory)
        together.append(hidden)
    for place, sentence in enumerate(sentences):
        memory, state = compiled.encode(torch.tensor([sentence]))
        for step in together:
            hidden, state = compiled.decode(tokens[place : place + 1], state, memory)
            assert torch.equal(hidden[0], step[place])


@torch.inference_mode()
@pytest.mark.usefixtures("_each_kernel_build")
def test_the_best_extensions_are_those_that_torch_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(6)
    for columns, count in ((9, 3), (64, 5), (1500, 5), (3, 4)):
        logits = torch.randn(8, columns)
        logits[torch.rand(8, columns) < 0.3] = -torch.inf
        offsets = torch.randn(2, 4)
        offsets[1, 2] = -torch.inf
        own = best_extensions(logits, offsets, count), log_sum_exp(logits)
        with monkeypatch.context() as without:
            without.setattr(kernels, "can_compute", lambda *tensors: False)
            exact = best_extensions(logits, offsets, count), log_sum_exp(logits)
        torch.testing.assert_close(own[0][0], exact[0][0])
        real = exact[0][0] > -torch.inf
        for mine, theirs in zip(own[0][1:], exact[0][1:], strict=True):
            assert torch.equal(mine[real], theirs[real])
        torch.testing.assert_close(own[1], exact[1])


@torch.inference_mode()
@pytest.mark.usefixtures("_without_kernels")
def test_search_finds_the_same_where_nothing_is_compiled(
    model: TranslationModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = pad([[4, 5, 6, EOS], [5, EOS], [6, 6, 4, 5, EOS]])
    options = SearchOptions(beam=4, n_best=3)
    plain = beam_search(Predictor([model]), source, options)
    monkeypatch.delenv("SEQ2SEQ_NATIVE")
    kernels.library.cache_clear()
    compiled = Predictor([model])
    found = beam_search(compiled, source, options)
    kind = inference_class(model)
    assert kind is None or isinstance(compiled.search_models()[0], kind)
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
