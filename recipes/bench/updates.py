"""What `train.py` and `finetune.py` share: our update and one as it is usually written, and engines
in processes of their own, which answer with their time and memory.
"""

import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.data.batching import epoch_batches
from seq2seq_cli.data.token_pairs import TokenPairs
from seq2seq_cli.devices import autocast
from seq2seq_cli.models import TranslationModel
from seq2seq_cli.padding import split_by_tokens
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.symbols import PAD
from seq2seq_cli.training.trainer import Experiment, Trainer

CPU = torch.device("cpu")
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

Update = Callable[[], object]


class Silent:
    """Ignores the progress of training."""

    def progressed(self, *figures: object) -> None: ...
    def ticked(self, *figures: object) -> None: ...
    def validated(self, *figures: object, **more: object) -> None: ...
    def said(self, message: str) -> None: ...


def our_update(
    model: TranslationModel, pairs: TokenPairs, config: TrainingConfig, precision: str
) -> Update:
    """Return the trainer's update, as `seq2seq train` runs it."""
    trainer = Trainer(
        Experiment(
            model=model,
            pairs=pairs,
            config=config,
            run=RunFolder(Path(tempfile.mkdtemp())),
            validate=None,
            diagnose=None,
            listener=Silent(),
            device=CPU,
            precision=TYPES[precision],
            data="",
        )
    )
    trainer.model.train()
    return trainer.update


def usual_update(
    model: Any,
    pairs: TokenPairs,
    config: TrainingConfig,
    precision: str,
    micro_batch_tokens: int = 0,
) -> Update:
    """Return an update of a MarianMTModel as it is usually written with PyTorch alone."""
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(), config.learning_rate, (config.beta1, config.beta2)
    )
    batches = iter(epoch_batches(pairs, config.batch_tokens, config.seed, 0))

    def update() -> None:
        rows = next(batches)
        lengths = np.maximum(pairs.source.lengths, pairs.target.lengths)[rows] + 1
        total = pairs.batch(rows).target_tokens()
        for part in split_by_tokens(lengths, micro_batch_tokens or 1 << 30):
            batch = pairs.batch(rows[part])
            with autocast(CPU, TYPES[precision]):
                logits = model(
                    input_ids=batch.source,
                    attention_mask=batch.source != PAD,
                    decoder_input_ids=batch.target[:, :-1],
                ).logits
                loss = F.cross_entropy(
                    logits.flatten(0, 1), batch.target[:, 1:].flatten(), reduction="sum",
                    ignore_index=PAD, label_smoothing=config.label_smoothing,
                )  # fmt: skip
            (loss / total).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()

    return update


def received(pipe: Any) -> int | None:
    """The next number of updates; None at the end, which the end of the asking process is too."""
    try:
        updates: int | None = pipe.recv()
    except EOFError:
        return None
    return updates


def serve(pipe: Any, make_update: Callable[..., Update], warm_up: int, *given: Any) -> None:
    """Warm up, then answer each number of updates: seconds, processor seconds, peak MB."""
    torch.manual_seed(1)
    update = make_update(*given)
    for _ in range(warm_up):
        update()
    pipe.send("ready")
    for updates in iter(partial(received, pipe), None):
        began, used = time.perf_counter(), time.process_time()
        for _ in range(updates):
            update()
        seconds, used = time.perf_counter() - began, time.process_time() - used
        pipe.send((seconds, used, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


class Engine:
    """An engine in a process of its own, which makes its update there from what is `given`."""

    def __init__(
        self, label: str, precision: str, make_update: Callable[..., Update], warm_up: int,
        *given: Any,
    ) -> None:  # fmt: skip
        self.label, self.precision = label, precision
        self.pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        arguments = (theirs, make_update, warm_up, *given)
        self.process = context.Process(target=serve, args=arguments, daemon=True)
        self.process.start()
        assert self.pipe.recv() == "ready"
        self.speeds: list[float] = []  # target tokens/s of each round
        self.processor_speeds: list[float] = []  # and for each second of a processor
        self.megabytes = 0.0

    def train(self, updates: int, tokens: int) -> None:
        self.pipe.send(updates)
        seconds, used, self.megabytes = self.pipe.recv()
        self.speeds.append(tokens / seconds)
        self.processor_speeds.append(tokens / used)

    def stop(self) -> None:
        self.pipe.send(None)
        self.process.join()
