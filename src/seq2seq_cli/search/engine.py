"""Models in kernels that find and score translations on a CPU, without torch."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from seq2seq_cli.config.models import ModelConfig
from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.errors import NoNumbersError
from seq2seq_cli.inference.architectures import inference_class, make_inference_model
from seq2seq_cli.inference.plain_model import PlainModel
from seq2seq_cli.kernels.arrays import Floats
from seq2seq_cli.kernels.inference.beams import Beams, BeamSettings, Search, SearchInputs
from seq2seq_cli.search.hypothesis import Hypothesis
from seq2seq_cli.search.predictor import Predictor, Sentences
from seq2seq_cli.search.request import ForcedPrefixes, Request
from seq2seq_cli.search.shortlist import Shortlist

if TYPE_CHECKING:
    from seq2seq_cli.search.torch_predictor import TorchPredictor


def engine_serves(configs: Sequence[ModelConfig]) -> bool:
    """Whether there are kernels for models with these settings."""
    return all(inference_class(config) is not None for config in configs)


class EnginePredictor(Predictor):
    """Models in kernels.

    Raises InputError as `Predictor` does; NoNumbersError if a model's own weights are not finite.
    """

    def __init__(
        self,
        models: Sequence[PlainModel],
        weights: Sequence[float] = (),
        shortlist: Shortlist | None = None,
        *,
        eight_bits: bool = False,
    ) -> None:
        """With `eight_bits` linear layers multiply 8-bit integers."""
        super().__init__(len(models), weights)
        self.plain_models = tuple(models)
        self.configs = tuple(model.config for model in models)
        self.weights, self.shortlist, self.eight_bits = weights, shortlist, eight_bits
        self.models = tuple(make_inference_model(each, eight_bits=eight_bits) for each in models)

    @property
    def attends_to_source(self) -> bool:
        return all(config.attends_to_source for config in self.configs)

    def search(
        self,
        sources: Sentences,
        options: SearchOptions,
        prefixes: ForcedPrefixes = (),
        numbers: Sequence[int] | None = None,
    ) -> list[list[Hypothesis]]:
        request = Request.of([len(source) for source in sources], options, prefixes)
        if not self._has_kernels_for(options):
            reference = self.coverage_reference if options.coverage_penalty else self.reference
            return reference.search(sources, options, prefixes, numbers)
        found = self._beam_search(sources, request)
        if not all(found):
            raise NoNumbersError
        return found

    def _has_kernels_for(self, options: SearchOptions) -> bool:
        return (
            len(self.models) == 1
            and not options.sample
            and not options.coverage_penalty
            and not options.no_repeat_ngram
            and options.repetition_penalty == 1.0
        )

    def _beam_search(self, sources: Sentences, request: Request) -> list[list[Hypothesis]]:
        if not sources:
            return []
        [model] = self.models
        output, column_tokens, absent = model.output, None, None
        if self.shortlist is not None:
            column_tokens, absent = self.shortlist.of(sources, request.prefix_tokens)
            output = output.select_outputs(column_tokens)
            if request.prefix_tokens is not None:
                request = request.within(
                    [frozenset(column_tokens[~row].tolist()) for row in absent]
                )
        options, sentences = request.options, request.sentences
        longest = max(sentence.max_length for sentence in sentences)

        def columns_of(tokens: Sequence[int]) -> list[int]:
            if column_tokens is None:
                return list(tokens)
            columns: list[int] = np.searchsorted(column_tokens, tokens).tolist()
            return columns

        beams = Beams(
            BeamSettings(
                beam=options.beam,
                n_best=options.n_best,
                removal_share=1,
                compact=True,
                min_lengths=[sentence.min_length for sentence in sentences],
                max_lengths=[sentence.max_length for sentence in sentences],
                length_penalties=[1.0, *map(options.length_penalty_for, range(1, longest + 2))],
                prefixes=[
                    [(columns_of(tokens), states) for tokens, states in sentence.prefix.moves]
                    for sentence in sentences
                ],
            )
        )
        memory, cache = model.encode(
            np.concatenate([np.asarray(source, dtype=np.int64) for source in sources]),
            np.array([len(source) for source in sources], dtype=np.int32),
        )
        search = Search(
            beams, SearchInputs(model.decoder, output, cache, memory, column_tokens, absent)
        )
        self.check_not_stopped()
        while search.run():
            self.check_not_stopped()
        return [[Hypothesis(*found) for found in by_rank] for by_rank in beams.results()]

    def token_scores(self, sources: Sentences, targets: Sentences) -> list[list[float]]:
        return self.reference.token_scores(sources, targets)

    def attention(self, sources: Sentences, targets: Sentences) -> list[Floats]:
        return self.reference.attention(sources, targets)

    def attention_by_head(self, source: Sequence[int], target: Sequence[int]) -> Floats:
        return self.reference.attention_by_head(source, target)

    @cached_property
    def reference(self) -> "TorchPredictor":
        """The same models in PyTorch, for what has no kernels."""
        return self._in_torch(captures_attention=False)

    @cached_property
    def coverage_reference(self) -> "TorchPredictor":
        """The same, with attention captured for the penalty of coverage."""
        return self._in_torch(captures_attention=True)

    def _in_torch(self, *, captures_attention: bool) -> "TorchPredictor":
        from seq2seq_cli.models.quantization import with_eight_bits
        from seq2seq_cli.search.torch_predictor import TorchPredictor

        models = [model.in_torch() for model in self.plain_models]
        if self.eight_bits:
            models = [with_eight_bits(model) for model in models]
        return TorchPredictor(
            models, self.weights, self.shortlist, captures_attention=captures_attention
        )
