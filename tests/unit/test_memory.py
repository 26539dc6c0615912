"""Less memory, the same gradients; as many tokens as fit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.data.batch import Batch
from seq2seq_cli.data.sentence_arrays import Sentences
from seq2seq_cli.data.token_pairs import TokenPairs
from seq2seq_cli.errors import Seq2seqError
from seq2seq_cli.models import TranslationModel, Vocabulary, build, model_config
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.symbols import PAD
from seq2seq_cli.training import memory
from seq2seq_cli.training.objective import Objective
from seq2seq_cli.training.progress import Validation
from seq2seq_cli.training.trainer import Experiment, Trainer

CPU = torch.device("cpu")
SIZES = Vocabulary(9, 9, joint=True)
TRANSFORMER = {"architecture": "transformer", "width": 8, "heads": 2, "feed_forward": 12}
LAYERED = {
    "transformer": TRANSFORMER,
    "conv": {"architecture": "conv", "width": 6, "channels": 8},
    "attention-rnn": {"architecture": "attention-rnn", "width": 6, "units": 8, "encoder_layers": 2},
    "rnn": {"architecture": "rnn", "width": 6, "units": 8, "decoder_layers": 2},
}


def model_of(table: dict[str, object]) -> TranslationModel:
    torch.manual_seed(1)
    return build(model_config(table), SIZES).train()


def some_pairs(longest: int = 9) -> TokenPairs:
    sides = ([[4 + (row + i) % 5 for i in range(1 + row % longest)] for row in range(12)],) * 2
    return TokenPairs(*map(Sentences, sides))


class Listener:
    """Records messages."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def said(self, message: str) -> None:
        self.heard.append(message)

    def ticked(self, progress: object) -> None: ...
    def progressed(self, progress: object) -> None: ...


class Small:
    """An objective on a device with memory for `most` pairs.

    Memory runs out at the end of the backward pass, when most gradients are added already.
    """

    def __init__(self, objective: Objective, most: int, error: Exception) -> None:
        self.objective, self.most, self.error = objective, most, error
        self.sizes: list[int] = []

    def __call__(self, model: TranslationModel, batch: Batch) -> tuple[Tensor, Tensor]:
        self.sizes.append(len(batch.source))
        loss, plain = self.objective(model, batch)
        if len(batch.source) > self.most:
            self.handle = model.source_embedding.weight.register_hook(self.run_out)
        return loss, plain

    def run_out(self, gradient: Tensor) -> None:
        self.handle.remove()
        raise self.error


def never_called(model: TranslationModel) -> Validation:
    raise AssertionError("one update has no validation")


def updated(
    most: int, error: Exception, folder: Path, **training: Any
) -> tuple[list[Tensor], list[str], list[int]]:
    """The gradients of one update of all pairs, what was said, and the sizes of batches tried."""
    config = TrainingConfig(batch_tokens=1000, **training)
    model, listener = model_of(TRANSFORMER | {"dropout": 0.0}), Listener()
    trainer = Trainer(
        Experiment(
            model=model,
            pairs=some_pairs(),
            config=config,
            run=RunFolder(folder),
            validate=never_called,
            diagnose=lambda history: (),
            listener=listener,
            device=CPU,
            precision=torch.float32,
            data="",
        )
    )
    trainer.gradients.objective = small = Small(trainer.gradients.objective, most, error)
    found: list[Tensor] = []
    trainer.optimizer.register_step_pre_hook(
        lambda *_: found.extend(p.grad.clone() for p in model.parameters())
    )
    trainer.update()
    return found, listener.heard, small.sizes


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_batch_that_runs_out_of_memory_is_split(error: Exception, tmp_path: Path) -> None:
    """The gradients are those of the whole batch, however far the failed passes got."""
    whole, nothing, _ = updated(100, error, tmp_path)
    split, said, sizes = updated(4, error, tmp_path)
    assert nothing == []
    (message,) = said
    assert "do not fit into memory" in message
    assert sizes[0] > 4
    assert max(sizes[-3:]) <= 4
    for ours, expected in zip(split, whole, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-6)


def test_micro_batches_have_the_gradients_of_the_whole_batch(tmp_path: Path) -> None:
    whole, _, once = updated(100, ERRORS[0], tmp_path, micro_batch_tokens=0)
    split, said, sizes = updated(100, ERRORS[0], tmp_path, micro_batch_tokens=40)
    assert len(once) == 1
    assert len(sizes) > 2
    assert sum(sizes) == sum(once)
    assert max(sizes) - min(sizes) <= 1
    assert said == []
    for ours, expected in zip(split, whole, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-6)


def test_two_passes_at_once_have_micro_batches_half_as_large(tmp_path: Path) -> None:
    """As R-Drop computes them."""
    _, _, once = updated(100, ERRORS[0], tmp_path, micro_batch_tokens=80)
    _, _, twice = updated(100, ERRORS[0], tmp_path, micro_batch_tokens=80, r_drop=1.0)
    assert max(twice) == max(once) // 2


def test_micro_batches_are_padded_to_their_own_length() -> None:
    batch = some_pairs().batch(range(12))
    pieces = memory.micro_batches(batch, 1)
    assert len(pieces) == 12
    for piece, source, target in zip(pieces, batch.source, batch.target, strict=True):
        assert torch.equal(piece.source[0], source[source != PAD])
        assert torch.equal(piece.target[0], target[target != PAD])


def test_a_single_pair_that_does_not_fit_is_an_error_with_remedy(tmp_path: Path) -> None:
    with pytest.raises(Seq2seqError, match=r"alone does not fit .* data\.max_length"):
        updated(0, ERRORS[0], tmp_path)


def test_other_errors_do_not_mean_out_of_memory(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        updated(4, RuntimeError("shapes do not fit"), tmp_path)


@pytest.mark.parametrize("table", LAYERED.values(), ids=LAYERED)
def test_checkpointed_layers_have_the_same_gradients(table: dict[str, object]) -> None:
    """With dropout, which draws the same again, and from fewer saved bytes."""
    objective = Objective(TrainingConfig(), torch.float32)
    batch = some_pairs().batch(range(12))
    found = []
    for checkpointed in (False, True):
        model = model_of(table | {"dropout": 0.3})
        if checkpointed:
            memory.checkpoint_activations(model)
        loss, _ = objective(model, batch)
        loss.backward()
        torch.manual_seed(2)
        saved = memory.saved_bytes(lambda model=model: objective(model, batch))
        found.append((saved, loss.detach(), *(p.grad for p in model.parameters())))
    (much, *expected), (little, *gradients) = found
    torch.testing.assert_close(gradients, expected)
    assert little < 0.8 * much


def fitting(free: int, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(memory, "free_memory", lambda device: free)
    objective = Objective(TrainingConfig(), torch.float32)
    return memory.fitting_batch_tokens(model_of(TRANSFORMER), some_pairs(40), objective, CPU)


def test_auto_batches_follow_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fitting(1 << 40, monkeypatch) == memory.MOST_TOKENS["cpu"]
    assert fitting(0, monkeypatch) == memory.LEAST_TOKENS
    middle = fitting(8 << 20, monkeypatch)
    assert memory.LEAST_TOKENS < middle < memory.MOST_TOKENS["cpu"]
    assert fitting(4 << 20, monkeypatch) == middle // 2


def test_finding_what_fits_draws_no_random_number(monkeypatch: pytest.MonkeyPatch) -> None:
    model_of(TRANSFORMER)
    state = torch.get_rng_state()
    fitting(1 << 30, monkeypatch)
    assert torch.equal(torch.get_rng_state(), state)
