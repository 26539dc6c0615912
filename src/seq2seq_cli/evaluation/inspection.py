"""What is inside a run, as numbers: parameters, cost, where the model looks, how it learned."""

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from seq2seq_cli.errors import InputError
from seq2seq_cli.models import TranslationModel, capture_attention, check_attends_to_source
from seq2seq_cli.padding import pad
from seq2seq_cli.runs.layout import METRICS
from seq2seq_cli.search import beam_search
from seq2seq_cli.symbols import BOS, EOS
from seq2seq_cli.translation.translator import Translator


@dataclass(frozen=True)
class Parameter:
    """One tensor of a model."""

    name: str
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        return torch.Size(self.shape).numel()


def parameters(model: TranslationModel) -> list[Parameter]:
    """All tensors of a model in the order they are made; a shared one once."""
    return [Parameter(name, tuple(p.shape)) for name, p in model.named_parameters()]


@dataclass(frozen=True)
class Cost:
    """Floating-point operations of matrix products; a multiplication and an addition are two."""

    length: int  # tokens on each side that were read
    source_token: float  # reading one, with those around it
    target_token: float  # predicting one, with those before it; a beam of k costs k times as much

    @property
    def training(self) -> float:
        """Of one source and one target token: forward once, and twice as much backward."""
        return 3 * (self.source_token + self.target_token)


@torch.no_grad()
def cost(model: TranslationModel, length: int = 20) -> Cost:
    """Count a model's operations on sentences of this many tokens."""
    token = model.target_embedding.num_embeddings - 1
    target = torch.full((1, length), token)
    source = torch.full((1, length), model.source_embedding.num_embeddings - 1)
    with _visible_products():
        with FlopCounterMode(display=False) as encoding:
            memory, state = model.encode(source)
        with FlopCounterMode(display=False) as decoding:
            hidden, _ = model.decode(target, state, memory)
            model.output(hidden)
    flops = (encoding.get_total_flops() / length, decoding.get_total_flops() / length)
    return Cost(length, *flops)


@contextmanager
def _visible_products() -> Iterator[None]:
    """Without the fused kernels of attention and recurrence, whose products no one can count."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the flags below ask for hardware that is not there
        with sdpa_kernel(SDPBackend.MATH), torch.backends.mkldnn.flags(enabled=False):
            yield


@dataclass(frozen=True)
class AttentionMap:
    """Where a model looked in the source for each target token.

    `weights` has layers, heads, target tokens and source tokens; those of one layer, head and
    target token sum to one, but with a Gaussian window to less.
    """

    source: tuple[str, ...]  # pieces, EOS the last
    target: tuple[str, ...]
    weights: Tensor  # (L, H, T, S)

    def chosen(self, layer: int | None, head: int | None) -> Tensor:
        """Weights (T, S) of one layer and head, both from 1; None is the mean.

        Raises InputError for one that the model does not have.
        """
        result = self.weights
        for name, axis, number in (("layer", 0, layer), ("head", 1, head)):
            size = result.size(axis)
            if number is not None and not 1 <= number <= size:
                raise InputError(f"--{name} {number}: 1 to {size} is allowed for this model")
            if number is not None:
                result = result.narrow(axis, number - 1, 1)
        return result.mean(dim=(0, 1))


def attention_weights(model: TranslationModel, source: Tensor, target: Tensor) -> Tensor:
    """The weights (L, H, T, S) with which the target (1, T), BOS first, looks at (1, S) ids.

    Raises InputError for a model without attention to the source.
    """
    check_attends_to_source(model, "inspect attention")
    with torch.inference_mode(), capture_attention(model) as captured:
        model(source, target)
    layers = [torch.cat([weights[0] for weights in calls], dim=1) for calls in captured]
    return torch.stack(layers).float().cpu()


def attention_maps(
    translator: Translator, lines: Sequence[str], targets: Sequence[str] | None = None
) -> Iterator[AttentionMap]:
    """Where the model looks for each line's best hypothesis, or for a given target.

    Raises InputError for a line longer than the model reads.
    """
    tokenizers, model = translator.tokenizers, translator.predictor.models[0]
    device = next(model.parameters()).device
    for number, line in enumerate(lines, start=1):
        ids = tokenizers.source.encode([line])[0]
        if len(ids) > translator.max_length:
            raise InputError(
                f"line {number} has {len(ids):,} tokens, the model reads {translator.max_length:,}"
            )
        source = pad([[*ids, EOS]]).to(device)
        if targets is not None:
            chosen = tokenizers.target.encode([targets[number - 1]])[0]
        elif ids:
            chosen = list(
                beam_search(translator.predictor, source, translator.settings.search)[0][0].tokens
            )
        else:
            chosen = []
        target = pad([[BOS, *chosen]]).to(device)
        yield AttentionMap(
            tuple(tokenizers.source.ids_to_pieces([*ids, EOS])),
            tuple(tokenizers.target.ids_to_pieces([*chosen, EOS])),
            attention_weights(model, source, target),
        )


OVER = {"updates": "update", "tokens": "target_tokens", "minutes": "seconds"}


@dataclass(frozen=True)
class Curve:
    """One figure of one run over its training."""

    run: str
    figure: str  # loss, validation loss, perplexity, BLEU, chrF or learning rate
    x: tuple[float, ...]  # updates, target tokens or minutes
    y: tuple[float, ...]


# Of each figure: the kind of record in metrics.jsonl, and its key there.
FIGURES = {
    "loss": ("training", "loss"),
    "validation loss": ("validation", "loss"),
    "perplexity": ("validation", "perplexity"),
    "BLEU": ("validation", "bleu"),
    "chrF": ("validation", "chrf"),
    "learning rate": ("training", "learning_rate"),
}


def curves(run: Path, over: str = "updates") -> list[Curve]:
    """The figures of a run's training, those that it has; `over` is a key of OVER.

    Raises InputError for a folder without any.
    """
    path = run / METRICS
    if not path.is_file():
        raise InputError(f"{run} is no run folder, or training there has not begun: no {METRICS}")
    records = list(_records(path))
    scale = 1 / 60 if over == "minutes" else 1.0
    found = []
    for figure, (kind, key) in FIGURES.items():
        points = [
            (record[OVER[over]] * scale, record[key])
            for record in records
            if record.get("kind") == kind and {key, OVER[over]} <= record.keys()
        ]
        if points:
            x, y = zip(*points, strict=True)
            found.append(Curve(run.name, figure, x, y))
    if not found:
        raise InputError(f"{path} holds no figures over {over} yet")
    return found


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of metrics.jsonl; the last one may be half written."""
    for line in path.read_text(encoding="utf-8").split("\n"):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            yield record
