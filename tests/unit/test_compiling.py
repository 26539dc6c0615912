"""Layers through torch.compile have the same gradients, and are compiled once."""

import shutil

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters

from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.data.sentence_arrays import Sentences
from seq2seq_cli.data.token_pairs import TokenPairs
from seq2seq_cli.errors import InputError
from seq2seq_cli.models import TranslationModel, Vocabulary, build, model_config
from seq2seq_cli.training.memory import checkpoint_activations
from seq2seq_cli.training.objective import Objective
from seq2seq_cli.training.torch_compile import compile_layers

pytestmark = pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # torch's own

CPU = torch.device("cpu")
COMPILED = {
    "transformer": {"architecture": "transformer", "width": 8, "heads": 2, "feed_forward": 12},
    "conv": {"architecture": "conv", "width": 8, "channels": 8},
}


def model_of(table: dict[str, object]) -> TranslationModel:
    torch.manual_seed(1)
    return build(model_config(table), Vocabulary(9, 9, joint=True)).train()


def pairs(longest: int) -> TokenPairs:
    sides = ([[4 + (row + i) % 5 for i in range(1 + row % longest)] for row in range(12)],) * 2
    return TokenPairs(*map(Sentences, sides))


def gradients(model: TranslationModel, rows: int, longest: int) -> list[Tensor]:
    model.zero_grad()
    torch.manual_seed(2)
    loss, _ = Objective(TrainingConfig(), torch.float32)(model, pairs(longest).batch(range(rows)))
    loss.backward()
    return [p.grad for p in model.parameters() if p.grad is not None]


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize("table", COMPILED.values(), ids=COMPILED)
def test_compiled_layers_have_the_same_gradients_whatever_the_sizes(table) -> None:
    plain, compiled = model_of(table | {"dropout": 0.0}), model_of(table | {"dropout": 0.0})
    compile_layers(compiled, CPU)
    torch._dynamo.reset()
    counters.clear()
    graphs = set()
    for rows, longest in ((12, 9), (7, 5), (11, 3)):
        expected = gradients(plain, rows, longest)
        torch.testing.assert_close(gradients(compiled, rows, longest), expected)
        graphs.add(counters["stats"]["unique_graphs"])
    assert len(graphs) == 1


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_layers_draw_the_same_dropout_when_computed_again() -> None:
    """Also when training continues with the random state of a checkpoint."""
    found = []
    for checkpointed in (False, True, True):
        model = model_of(COMPILED["transformer"] | {"dropout": 0.3})
        compile_layers(model, CPU)
        if checkpointed:
            checkpoint_activations(model)
        found.append(gradients(model, 12, 9))
    torch.testing.assert_close(found[1], found[0])
    assert all(torch.equal(*each) for each in zip(found[1], found[2], strict=True))


def test_recurrent_layers_are_not_compiled() -> None:
    with pytest.raises(InputError, match="architecture rnn has no layers to compile"):
        compile_layers(model_of({"architecture": "rnn", "width": 6, "units": 8}), CPU)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_without_a_compiler_training_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, "no-such-compiler"))
    torch._dynamo.reset()
    with pytest.raises(InputError, match=r"torch\.compile does not work here .*no-such-compiler"):
        compile_layers(model_of(COMPILED["transformer"]), CPU)
