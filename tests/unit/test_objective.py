"""The loss is what the papers say, however it is computed."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.data.batch import Batch
from seq2seq_cli.kernels import autograd
from seq2seq_cli.kernels.autograd import products
from seq2seq_cli.models import TranslationModel, Vocabulary, build, model_config
from seq2seq_cli.search.alignment import attention_to_source
from seq2seq_cli.symbols import BOS, EOS, NEVER, PAD, UNK
from seq2seq_cli.training import cross_entropy, r_drop
from seq2seq_cli.training.cross_entropy import plain_cross_entropy
from seq2seq_cli.training.objective import Objective, without_words

V, D = 11, 6
ROW_BYTES = 2 * V * 4  # logits of one token in both passes
TARGET = torch.tensor([[4, 5, 3, PAD, PAD], [6, 7, 8, 9, 3]])


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    hidden = torch.randn(4, 5, D, requires_grad=True)
    return hidden, torch.randn(V, D, requires_grad=True)


@pytest.mark.usefixtures("_with_and_without_kernels")
@pytest.mark.parametrize("chunk_bytes", [1, 3 * ROW_BYTES, 8 << 20])  # 1, 3 and all tokens at once
@pytest.mark.parametrize("few_rows", [1, 2, 128])  # that there are a multiple of, filled up
@pytest.mark.parametrize(("smoothing", "alpha"), [(0.0, 1.0), (0.1, 5.0)])
def test_r_drop_and_its_gradients_equal_the_plain_ones(
    monkeypatch: pytest.MonkeyPatch,
    inputs: tuple[Tensor, Tensor],
    smoothing: float,
    alpha: float,
    few_rows: int,
    chunk_bytes: int,
) -> None:
    monkeypatch.setattr(cross_entropy, "CHUNK_BYTES", chunk_bytes)
    monkeypatch.setattr(products, "FEW_ROWS", few_rows)
    fused, likelihood = r_drop.r_drop(*inputs, TARGET, smoothing, alpha)
    plain = r_drop.plain_r_drop(*inputs, TARGET, smoothing, alpha)
    torch.testing.assert_close(fused, plain)
    torch.testing.assert_close(likelihood, r_drop.plain_r_drop(*inputs, TARGET, 0.0, 0.0))
    assert not likelihood.requires_grad
    gradients = (torch.autograd.grad(value / 7, inputs) for value in (fused, plain))
    torch.testing.assert_close(next(gradients), next(gradients))


def test_r_drop_of_equal_passes_is_the_cross_entropy(inputs: tuple[Tensor, Tensor]) -> None:
    hidden, weight = inputs
    loss, _ = r_drop.r_drop(hidden[:2].repeat(2, 1, 1), weight, TARGET, 0.1, 5.0)
    torch.testing.assert_close(loss, plain_cross_entropy(hidden[:2], weight, TARGET, 0.1))


@pytest.mark.usefixtures("_with_and_without_kernels")
def test_r_drop_leaves_out_the_pieces_that_cross_entropy_leaves_out(
    inputs: tuple[Tensor, Tensor],
) -> None:
    hidden, weight = inputs
    bias = torch.zeros(V)
    bias[[BOS, V - 1]] = NEVER
    found = []
    for loss in (
        r_drop.r_drop(hidden[:2].repeat(2, 1, 1), weight, TARGET, 0.1, 5.0, bias)[0],
        cross_entropy.cross_entropy(hidden[:2], weight, TARGET, 0.1, bias)[0],
    ):
        found.append((loss, *torch.autograd.grad(loss, (hidden, weight))))
    torch.testing.assert_close(*found)


@pytest.mark.usefixtures("_with_and_without_kernels")
@pytest.mark.parametrize("joint", [True, False])
def test_sparse_gradients_of_embeddings_are_added_to_those_of_the_output(joint: bool) -> None:
    """Where they are one matrix; the sum is dense, over several batches too."""
    torch.manual_seed(1)
    table = {"architecture": "transformer", "width": 8, "heads": 2, "feed_forward": 12}
    model = build(model_config(table | {"dropout": 0.0}), Vocabulary(V, V, joint))
    batch = Batch(torch.tensor([[4, 5, 4, EOS], [6, EOS, PAD, PAD]]), TARGET)
    objective = Objective(TrainingConfig(), torch.float32)
    found = []
    for sparse in (False, True):
        if sparse:
            model.use_sparse_gradients()
        model.zero_grad()
        for _ in range(2):
            objective(model, batch)[0].backward()  # type: ignore[no-untyped-call]
        found.append({name: parameter.grad for name, parameter in model.named_parameters()})
    assert model.target_embedding.sparse
    torch.testing.assert_close(*found)


@pytest.mark.usefixtures("_with_and_without_kernels")
def test_r_drop_takes_bfloat16_hidden_states(inputs: tuple[Tensor, Tensor]) -> None:
    hidden, weight = inputs
    rounded = hidden.detach().bfloat16().requires_grad_()
    loss, _ = r_drop.r_drop(rounded, weight, TARGET, 0.1, 5.0)
    plain = r_drop.plain_r_drop(hidden, weight, TARGET, 0.1, 5.0)
    torch.testing.assert_close(loss, plain, rtol=0.03, atol=0.03)
    grad_hidden, grad_weight = torch.autograd.grad(loss, (rounded, weight))
    assert (grad_hidden.dtype, grad_weight.dtype) == (torch.bfloat16, torch.float32)
    expected = torch.autograd.grad(plain, (hidden, weight))
    torch.testing.assert_close(grad_hidden.float(), expected[0], rtol=0.05, atol=0.1)
    torch.testing.assert_close(grad_weight, expected[1], rtol=0.05, atol=0.1)


def test_the_logits_of_a_whole_batch_are_never_stored(
    monkeypatch: pytest.MonkeyPatch, inputs: tuple[Tensor, Tensor]
) -> None:
    sizes, gradient = [], autograd.r_drop_gradient

    def spy(logits: Tensor, *arguments: object) -> object:
        sizes.append(logits.numel() * logits.element_size())
        return gradient(logits, *arguments)

    monkeypatch.setattr(autograd, "r_drop_gradient", spy)
    monkeypatch.setattr(cross_entropy, "CHUNK_BYTES", 3 * ROW_BYTES)
    monkeypatch.setattr(products, "FEW_ROWS", 1)
    r_drop.r_drop(*inputs, TARGET, 0.1, 5.0)  # of 8 tokens
    assert sizes == [3 * ROW_BYTES, 3 * ROW_BYTES, 2 * ROW_BYTES]


def test_word_dropout_replaces_words_and_nothing_else() -> None:
    torch.manual_seed(1)
    ids = torch.tensor([BOS, 4, 5, 6, EOS, PAD]).repeat(2000, 1)
    dropped = without_words(ids, 0.25)
    changed = dropped != ids
    assert (dropped[changed] == UNK).all()
    assert not changed[:, [0, 4, 5]].any()
    assert abs(float(changed[:, 1:4].float().mean()) - 0.25) < 0.02
    assert torch.equal(without_words(ids, 0.0), ids)
    assert not (without_words(ids, 0.9, spared=[5]) != ids)[:, 2].any()  # a tag of a language


class Recorder:
    """Takes the place of a model and records its inputs."""

    def __init__(self, model: TranslationModel) -> None:
        self.output, self.config, self.copy_gate = model.output, model.config, model.copy_gate
        self.model = model

    def hidden(self, source: Tensor, read: Tensor) -> Tensor:
        self.source, self.read = source, read
        self.hidden_states: Tensor = self.model(source, read)
        return self.hidden_states[read != PAD]


@pytest.fixture
def recorder() -> Recorder:
    torch.manual_seed(1)
    table = {"architecture": "transformer", "width": 8, "heads": 2, "dropout": 0.3}
    return Recorder(build(model_config(table), Vocabulary(V, V, joint=True)).train())


def batch() -> Batch:
    """Source and target are 1,000 words each that are not predicted as themselves."""
    words = torch.arange(1000).view(20, 50) % (V - 4) + 4
    ends = torch.full((20, 1), EOS)
    return Batch(torch.cat((words, ends), 1), torch.cat((ends - 1, words, ends), 1))


def objective(**settings: float) -> Callable[..., tuple[Tensor, Tensor]]:
    return Objective(TrainingConfig(**settings), torch.float32)  # type: ignore[arg-type]


def test_words_are_dropped_where_they_are_read_and_never_where_predicted(
    recorder: Recorder,
) -> None:
    given = batch()
    loss, _ = objective(word_dropout=0.5)(recorder, given)
    for read, whole in ((recorder.source, given.source), (recorder.read, given.target[:, :-1])):
        changed = read != whole
        assert 300 < int(changed.sum()) < 700
        assert (read[changed] == UNK).all()
    predicted = plain_cross_entropy(
        recorder.hidden_states, recorder.output.weight, given.target[:, 1:], 0.1
    )
    torch.testing.assert_close(loss, predicted)


def test_the_two_passes_of_r_drop_read_the_same_and_differ_in_what_is_dropped(
    recorder: Recorder,
) -> None:
    given = batch()
    loss, _ = objective(r_drop=5.0)(recorder, given)
    assert torch.equal(recorder.source, torch.cat((given.source, given.source)))
    first, second = recorder.hidden_states.chunk(2)
    assert not torch.allclose(first, second)
    plain = r_drop.plain_r_drop(
        recorder.hidden_states, recorder.output.weight, given.target[:, 1:], 0.1, 5.0
    )
    torch.testing.assert_close(loss, plain)


@pytest.mark.parametrize("name", TransformerConfig.DROPOUTS)
def test_the_two_passes_of_r_drop_differ_whatever_the_only_dropout_is(name: str) -> None:
    """Whole layers too are left out of one pass and not of the other."""
    table = {"architecture": "transformer", "width": 8, "heads": 2, "dropout": 0.0, name: 0.5}
    torch.manual_seed(1)
    model = build(model_config(table), Vocabulary(V, V, joint=True)).train()

    def loss(alpha: float) -> float:
        torch.manual_seed(2)
        return float(objective(r_drop=alpha)(model, batch())[0].detach())

    assert loss(5.0) > 1.005 * loss(1e-9)


GUIDED = {
    "transformer": {"architecture": "transformer", "heads": 2, "decoder_layers": 2},
    # With R-Drop, a probability above 0 makes two passes of a batch; this one leaves nothing out.
    "layer-dropout": {"architecture": "transformer", "heads": 2, "layer_dropout": 1e-9},
    "one-head": {"architecture": "transformer", "heads": 2}
    | {"decoder_layers": 2, "alignment_layer": 1, "alignment_head": 0},
    "conv": {"architecture": "conv", "channels": 8},
    "attention-rnn": {"architecture": "attention-rnn", "units": 8, "input_feeding": True},
    "local": {"architecture": "attention-rnn", "units": 8, "scope": "local-p", "window": 1},
}


@pytest.mark.parametrize("table", GUIDED.values(), ids=GUIDED.keys())
@pytest.mark.parametrize("alpha", [0.0, 5.0])
def test_guided_alignment_draws_attention_to_what_is_linked(
    table: dict[str, object], alpha: float
) -> None:
    """Its loss is the cross-entropy of what attention shows, and falls along its gradient."""
    torch.manual_seed(1)
    settings = {"width": 8, "dropout": 0.0, **table}
    model = build(model_config(settings), Vocabulary(V, V, joint=True)).train()
    source = torch.tensor([[4, 5, 6, EOS], [6, 7, EOS, PAD]])
    target = torch.tensor([[BOS, 9, 8, EOS], [BOS, 4, EOS, PAD]])
    alignment = torch.zeros(2, 3, 4)
    alignment[0, 0, 2] = alignment[1, 0, 1] = 1.0
    alignment[0, 1, :2] = 0.5
    plain, guided = Batch(source, target), Batch(source, target, alignment)
    objective = Objective(TrainingConfig(guided_alignment=0.3, r_drop=alpha), torch.float32)

    def misalignment() -> Tensor:
        return objective(model, guided)[0] - objective(model, plain)[0]

    weights = attention_to_source([model], source, target[:, :-1])
    expected = -0.3 * (alignment * weights.clamp_min(1e-6).log()).sum()
    before = misalignment()
    torch.testing.assert_close(before, expected, rtol=1e-3, atol=1e-4)
    before.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 0.02 * parameter.grad
    assert misalignment() < before
