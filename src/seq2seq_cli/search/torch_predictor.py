"""Models in PyTorch that find and score translations: the reference, also for GPUs.

Dimensions: B sentences, S source tokens, T target tokens.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from seq2seq_cli.config.models import ModelConfig, check_attends_to_source
from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.devices import autocast
from seq2seq_cli.errors import NoNumbersError
from seq2seq_cli.kernels.arrays import Floats
from seq2seq_cli.models import TranslationModel, capture_attention
from seq2seq_cli.models.copying import mean_attention, with_copies
from seq2seq_cli.padding import pad
from seq2seq_cli.search.alignment import attention_to_source
from seq2seq_cli.search.hypothesis import Hypothesis
from seq2seq_cli.search.methods import search
from seq2seq_cli.search.predictor import Predictor, Sentences, check_shortlist
from seq2seq_cli.search.request import ForcedPrefixes
from seq2seq_cli.search.shortlist import Shortlist
from seq2seq_cli.symbols import BOS, PAD


class TorchPredictor(Predictor):
    """Models in PyTorch, all on one device.

    With `captures_attention` search learns where the models look in the source. Raises InputError
    as `Predictor` does, and if there is no attention to capture; NoNumbersError if a model's own
    weights are not finite.
    """

    def __init__(
        self,
        models: Sequence[TranslationModel],
        weights: Sequence[float] = (),
        shortlist: Shortlist | None = None,
        *,
        captures_attention: bool = False,
        precision: torch.dtype = torch.float32,
    ) -> None:
        """`precision` is that of matrix products."""
        super().__init__(len(models), weights)
        self.models = tuple(models)
        self.shortlist = shortlist
        self.captures_attention = captures_attention
        self.precision = precision
        for model in models:
            check_parameters(model)
        check_shortlist(shortlist, (model.config for model in models))
        for model in models if captures_attention else ():
            check_attends_to_source(model.config, "a coverage penalty")

    @property
    def configs(self) -> tuple[ModelConfig, ...]:
        return tuple(model.config for model in self.models)

    @property
    def attends_to_source(self) -> bool:
        return all(model.attends_to_source for model in self.models)

    @property
    def device(self) -> torch.device:
        return next(self.models[0].parameters()).device

    def search(
        self,
        sources: Sentences,
        options: SearchOptions,
        prefixes: ForcedPrefixes = (),
        numbers: Sequence[int] | None = None,
    ) -> list[list[Hypothesis]]:
        with autocast(self.device, self.precision):  # of this thread
            return search(self, self._pad(sources), options, prefixes, numbers)

    def token_scores(self, sources: Sentences, targets: Sentences) -> list[list[float]]:
        target = self._pad([[BOS, *target] for target in targets])
        with autocast(self.device, self.precision):
            scores = self.padded_token_scores(self._pad(sources), target).tolist()
        return [row[: len(target)] for row, target in zip(scores, targets, strict=True)]

    @torch.inference_mode()
    def padded_token_scores(self, source: Tensor, target: Tensor) -> Tensor:
        """As `token_scores`, for ids (B, S).

        Targets (B, T + 1) begin with BOS and end with EOS, then PAD. Returns (B, T), 0 where the
        token is PAD.
        """
        by_model = []
        for model, weight in zip(self.models, self.log_weights, strict=True):
            # Sentence by sentence: the logits of a whole batch would take much memory.
            scores = self._log_probabilities(model, source, target[:, :-1])
            gold = [s.gather(1, t[1:, None])[:, 0] for s, t in zip(scores, target, strict=True)]
            by_model.append(torch.stack(gold) + weight)
        return torch.stack(by_model).logsumexp(dim=0).masked_fill(target[:, 1:] == PAD, 0.0)

    def _log_probabilities(
        self, model: TranslationModel, source: Tensor, target: Tensor
    ) -> Iterator[Tensor]:
        """Yield the log-probabilities (T, V) of the next piece for each sentence."""
        if model.copy_gate is None:
            for rows in model(source, target):
                yield model.output(rows).float().log_softmax(dim=1)
            return
        with capture_attention(model, aligning=True) as captured:
            hidden = model(source, target)
        for rows, weights, ids in zip(hidden, mean_attention(captured), source, strict=True):
            logits, gate = model.output(rows).float(), model.copy_gate(rows).float()
            yield with_copies(logits, gate, weights, ids.expand(len(rows), -1))

    def attention(self, sources: Sentences, targets: Sentences) -> list[Floats]:
        weights = attention_to_source(self.models, self._pad(sources), self._pad(targets))
        return [
            each[: len(target), : len(source)]
            for each, source, target in zip(weights.cpu().numpy(), sources, targets, strict=True)
        ]

    @torch.inference_mode()
    def attention_by_head(self, source: Sequence[int], target: Sequence[int]) -> Floats:
        model = self.models[0]
        check_attends_to_source(model.config, "attention by head")
        with capture_attention(model) as captured:
            model(self._pad([source]), self._pad([target]))
        layers = [torch.cat([weights[0] for weights in calls], dim=1) for calls in captured]
        by_head: Floats = torch.stack(layers).float().cpu().numpy()
        return by_head

    def _pad(self, sentences: Sentences) -> Tensor:
        return pad(sentences).to(self.device)


def check_parameters(model: torch.nn.Module) -> None:
    """Raise NoNumbersError with the name of the first weights that hold NaN or infinity."""
    for name, parameter in model.named_parameters():
        weights = parameter.detach()
        # A sum is finite only if all numbers are, and takes a fraction of the time.
        if not weights.sum().isfinite() and not weights.isfinite().all():
            raise NoNumbersError(name)
