"""How large a model is and what a token costs: parameters and floating-point operations."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from seq2seq_cli.kernels.library import build_in_use
from seq2seq_cli.models import TranslationModel, Weight
from seq2seq_cli.runs.run_folder import RunFolder


@dataclass(frozen=True)
class Cost:
    """Floating-point operations of matrix products; a multiplication and an addition are two."""

    length: int  # tokens on each side of the sentences that the costs are averaged over
    source_token: float  # encoding one token of a sentence
    target_token: float  # predicting one token; a beam of k hypotheses costs k times as much

    @property
    def training(self) -> float:
        """Cost of one source and one target token: the backward pass is twice the forward pass."""
        return 3 * (self.source_token + self.target_token)


@torch.no_grad()
def cost(model: TranslationModel, length: int = 20) -> Cost:
    """Count a model's operations on sentences of `length` tokens."""
    token = model.target_embedding.num_embeddings - 1
    target = torch.full((1, length), token)
    source = torch.full((1, length), model.source_embedding.num_embeddings - 1)
    with _countable_products():
        with FlopCounterMode(display=False) as encoding:
            memory, state = model.encode(source)
        with FlopCounterMode(display=False) as decoding:
            hidden, _ = model.decode(target, state, memory)
            model.output(hidden)
    flops = (encoding.get_total_flops() / length, decoding.get_total_flops() / length)
    return Cost(length, *flops)


@contextmanager
def _countable_products() -> Iterator[None]:
    """Turn off PyTorch's fused attention and recurrence, whose products are not counted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the flags below also name hardware that is missing here
        with sdpa_kernel(SDPBackend.MATH), torch.backends.mkldnn.flags(enabled=False):
            yield


@dataclass(frozen=True)
class ModelInfo:
    """The size and cost of a run's model, as `seq2seq info` shows them."""

    architecture: str
    parameters: list[Weight]
    source_pieces: int  # size of the vocabulary
    target_pieces: int
    cost: Cost
    kernels: str | None  # the build of the kernels that runs on this machine

    @classmethod
    def of_run(cls, run: Path, length: int = 20) -> "ModelInfo":
        """Load a run folder and count; costs are for sentences of `length` tokens on each side.

        Raises InputError for a folder that is not a run or is damaged.
        """
        model = RunFolder(run).load_model()
        return cls(
            model.config.architecture,
            model.weights(),
            model.source_embedding.num_embeddings,
            model.target_embedding.num_embeddings,
            cost(model, length),
            build_in_use(),
        )

    @property
    def count(self) -> int:
        """The number of all parameters."""
        return sum(parameter.count for parameter in self.parameters)

    def as_json(self) -> str:
        """A JSON object: architecture, parameters, each tensor, operations, kernels."""
        record = {
            "architecture": self.architecture,
            "parameters": self.count,
            "tensors": [
                {"name": p.name, "shape": p.shape, "count": p.count} for p in self.parameters
            ],
            "flops": {
                "length": self.cost.length,
                "source_token": self.cost.source_token,
                "target_token": self.cost.target_token,
                "training": self.cost.training,
            },
            "kernels": self.kernels,
        }
        return json.dumps(record, indent=1)

    def as_text(self) -> str:
        """A table of the tensors, then architecture, vocabulary, cost and kernels."""
        width = max(len(parameter.name) for parameter in self.parameters)
        lines = []
        for p in self.parameters:
            shape = " x ".join(str(size) for size in p.shape)
            share = p.count / self.count
            lines.append(f"{p.name:<{width}}  {shape:>14}  {p.count:>12,}  {share:>6.1%}")
        return "\n".join(
            [
                *lines,
                f"{'total':<{width}}  {'':>14}  {self.count:>12,}",
                "",
                f"architecture     {self.architecture}",
                f"vocabulary       {self.source_pieces:,} source, {self.target_pieces:,} target "
                "pieces",
                f"a source token   {self.cost.source_token / 1e6:,.2f} MFLOP, read once",
                f"a target token   {self.cost.target_token / 1e6:,.2f} MFLOP a hypothesis in the "
                "beam",
                f"in training      {self.cost.training / 1e6:,.2f} MFLOP for one of each",
                "                 (matrix products, sentences of "
                f"{self.cost.length} tokens a side)",
                f"kernels          {self.kernels or 'none'}, on this machine",
            ]
        )
