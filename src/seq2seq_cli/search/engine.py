"""Models in kernels that find and score translations on a CPU, without torch."""

from collections.abc import Sequence
from dataclasses import fields
from functools import lru_cache
from random import Random

import numpy as np
import numpy.typing as npt

from seq2seq_cli.config.models import ModelConfig, check_attends_to_source
from seq2seq_cli.config.search import LengthPenalty, SearchOptions
from seq2seq_cli.errors import NoNumbersError
from seq2seq_cli.inference.architectures import inference_class, make_inference_model
from seq2seq_cli.inference.plain_model import PlainModel
from seq2seq_cli.kernels.arrays import Floats, Tokens
from seq2seq_cli.kernels.inference.forced_decoding import ForcedDecoding, Wanted
from seq2seq_cli.kernels.inference.linear import Linear
from seq2seq_cli.kernels.inference.search import PrefixMoves, Search, SearchModel, SearchSettings
from seq2seq_cli.search.draws import random_for
from seq2seq_cli.search.hypothesis import Hypothesis
from seq2seq_cli.search.predictor import Predictor, Sentences, check_shortlist
from seq2seq_cli.search.request import ForcedPrefixes, Request
from seq2seq_cli.search.shortlist import Shortlist
from seq2seq_cli.symbols import EOS

# Options of search that kernels obey. What asks for others, which may be added to `SearchOptions`,
# runs in PyTorch.
SERVED_OPTIONS = frozenset(
    {
        *("beam", "n_best", "length_penalty", "alpha", "min_ratio", "max_ratio", "max_extra"),
        *("coverage_penalty", "repetition_penalty", "no_repeat_ngram"),
        *("sample", "temperature", "top_k", "top_p", "seed"),
    }
)


def unserved_options(options: SearchOptions) -> list[str]:
    """The names of options that are asked for and have no kernels."""
    default = SearchOptions()
    return [
        each.name
        for each in fields(SearchOptions)
        if each.name not in SERVED_OPTIONS
        and getattr(options, each.name) != getattr(default, each.name)
    ]


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
        check_shortlist(shortlist, (model.config for model in models))
        self.shortlist, self.eight_bits = shortlist, eight_bits
        self.models = tuple(make_inference_model(each, eight_bits=eight_bits) for each in models)

    @property
    def configs(self) -> tuple[ModelConfig, ...]:
        return tuple(model.config for model in self.models)

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
        if options.coverage_penalty:
            self.check_attends("a coverage penalty")
        if not sources:
            return []
        request = Request.of([len(source) for source in sources], options, prefixes)
        outputs = [model.output for model in self.models]
        column_tokens = absent = None
        if self.shortlist is not None:
            column_tokens, absent = self.shortlist.of(sources, request.prefix_tokens)
            outputs = [output.select_outputs(column_tokens) for output in outputs]
            if request.prefix_tokens is not None:
                request = request.within(
                    [frozenset(column_tokens[~row].tolist()) for row in absent]
                )
        settings = search_settings(request, column_tokens, absent)
        search = Search(settings, self._read(sources, outputs))
        self.check_not_stopped()
        if options.sample:
            self._draw(search, request, numbers)
        else:
            while search.run():
                self.check_not_stopped()
        found = [[Hypothesis(*each) for each in row] for row in search.results()]
        least = options.n_best if options.sample else 1
        if any(len(row) < least for row in found):
            raise NoNumbersError
        return found

    def _draw(self, search: Search, request: Request, numbers: Sequence[int] | None) -> None:
        """Run all steps of a search that draws each hypothesis by random numbers of its own."""
        options = request.options
        draws = [
            random_for(options, numbers[index] if numbers else index, draw)
            for index in range(len(request.sentences))
            for draw in range(options.n_best)
        ]
        while search.run(random_numbers(draws, search.steps)):
            self.check_not_stopped()

    def token_scores(self, sources: Sentences, targets: Sentences) -> list[list[float]]:
        if not sources:
            return []
        forced = self._force(sources, targets, Wanted(scores=True))
        return [each.tolist() for each in self._by_sentence(forced.scores, targets)]

    def attention(self, sources: Sentences, targets: Sentences) -> list[Floats]:
        self.check_attends("word alignment")
        if not sources:
            return []
        # What follows the last token is not among the targets; its score is not computed.
        following = [[*target[1:], EOS] for target in targets]
        forced = self._force(sources, following, Wanted(mean_attention=True))
        rows = self._by_sentence(forced.mean_attention, targets)
        return [each[:, : len(source)] for each, source in zip(rows, sources, strict=True)]

    def attention_by_head(self, source: Sequence[int], target: Sequence[int]) -> Floats:
        check_attends_to_source(self.configs[0], "attention by head")
        forced = self._force([source], [[*target[1:], EOS]], Wanted(attention=True), models=1)
        return forced.attention[0]

    def _force(
        self, sources: Sentences, targets: Sentences, wanted: Wanted, models: int | None = None
    ) -> ForcedDecoding:
        """Predict the tokens of targets; of the first so many models, or of all."""
        outputs = [model.output for model in self.models[:models]]
        forced = ForcedDecoding(
            self._read(sources, outputs),
            np.array([token for target in targets for token in target], dtype=np.int64),
            np.array([len(target) for target in targets], dtype=np.int32),
            wanted,
        )
        self.check_not_stopped()
        while forced.run():
            self.check_not_stopped()
        return forced

    def _read(self, sources: Sentences, outputs: Sequence[Linear]) -> list[SearchModel]:
        """Read sources with a model for each of the output layers, which predicts with it."""
        tokens = np.array([token for source in sources for token in source], dtype=np.int64)
        for model in self.models:
            if tokens.size and not 0 <= tokens.min() <= tokens.max() < len(model.source_embedding):
                raise ValueError("a source has tokens that are not in the vocabulary")
        lengths = np.array([len(source) for source in sources], dtype=np.int32)
        read = []
        for model, output, weight in zip(self.models, outputs, self.log_weights, strict=False):
            memory, cache = model.encode(tokens, lengths)
            read.append(
                SearchModel(
                    model.decoder,
                    output,
                    cache,
                    memory,
                    weight,
                    model.config.alignment,
                    model.copy_gate,
                    None if model.copy_gate is None else tokens,
                )
            )
        return read

    @staticmethod
    def _by_sentence(rows: Floats, targets: Sentences) -> list[Floats]:
        """Split what was computed of each token of all targets, one after the other."""
        ends = np.cumsum([len(target) for target in targets])
        return np.split(rows, ends[:-1]) if len(ends) else []


def search_settings(
    request: Request, column_tokens: Tokens | None, absent: npt.NDArray[np.bool_] | None
) -> SearchSettings:
    """Say what a request asks for, in columns of logits; those of a shortlist if there is one."""
    options, sentences = request.options, request.sentences
    longest = max(sentence.max_length for sentence in sentences)

    def columns_of(tokens: Sequence[int]) -> Sequence[int]:
        if column_tokens is None:
            return tokens
        columns: list[int] = np.searchsorted(column_tokens, tokens).tolist()
        return columns

    return SearchSettings(
        beam=0 if options.sample else options.beam,
        n_best=options.n_best,
        min_lengths=[sentence.min_length for sentence in sentences],
        max_lengths=[sentence.max_length for sentence in sentences],
        length_penalties=length_penalties(
            options.length_penalty, options.alpha, 1 << (longest + 1).bit_length()
        ),
        prefixes=[
            PrefixMoves(
                [(columns_of(tokens), states) for tokens, states in sentence.prefix.moves],
                sentence.prefix.complete,
                sentence.prefix.first_is_free,
            )
            for sentence in sentences
        ],
        coverage_penalty=options.coverage_penalty,
        repetition_penalty=options.repetition_penalty,
        no_repeat_ngram=options.no_repeat_ngram,
        temperature=options.temperature,
        top_p=options.top_p,
        top_k=options.top_k,
        column_tokens=column_tokens,
        absent=absent,
    )


@lru_cache(maxsize=8)
def length_penalties(kind: LengthPenalty, alpha: float, count: int) -> npt.NDArray[np.float64]:
    """The divisors for hypotheses of 0, 1, … tokens (count,), computed once for all batches.

    They are Python's numbers, as the reference has: those of numpy may differ in the last bit.
    """
    options = SearchOptions(length_penalty=kind, alpha=alpha)
    return np.array([1.0, *map(options.length_penalty_for, range(1, count))])


def random_numbers(draws: Sequence[Random], steps: int) -> npt.NDArray[np.float64]:
    """The next numbers of each generator, (draws, steps)."""
    return np.array([[draw.random() for _ in range(steps)] for draw in draws])
