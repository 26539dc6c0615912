"""Search finds what it promises, checked against slower ways to find the same."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from seq2seq_cli import search
from seq2seq_cli.devices import float64_device
from seq2seq_cli.errors import InputError, Seq2seqError
from seq2seq_cli.inference.architectures import inference_class
from seq2seq_cli.inference.plain_model import PlainModel
from seq2seq_cli.kernels.inference.search import STEPS
from seq2seq_cli.models import (
    ModelConfig,
    State,
    TranslationModel,
    Vocabulary,
    capture_attention,
)
from seq2seq_cli.models.copying import mean_attention, with_copies
from seq2seq_cli.padding import pad
from seq2seq_cli.search import (
    EnginePredictor,
    ForcedPrefix,
    Hypothesis,
    SearchOptions,
    Shortlist,
    TorchPredictor,
)
from seq2seq_cli.search.alignment import attention_to_source
from seq2seq_cli.search.candidates import best_extensions
from seq2seq_cli.search.prefix import complete_moves
from seq2seq_cli.search.sampling import draw_columns
from seq2seq_cli.search.torch_beam import SearchedSentence
from seq2seq_cli.symbols import BOS, EOS, PAD, UNK

WORDS = (4, 5, 6)  # all that tiny models can say
SOURCES = ([4, 5, 6, EOS], [6, EOS], [5, 5, 4, 6, 4, EOS])
LIMIT = 4
ALL_TARGETS = [
    words for length in range(LIMIT) for words in itertools.product(WORDS, repeat=length)
]
PENALTIES = [0.0, 0.6, 1.0, 2.5]


def to_limit(**options: float) -> SearchOptions:
    """Options under which every hypothesis has at most LIMIT tokens, EOS included."""
    return SearchOptions(max_ratio=0, max_extra=LIMIT, **options)


def beam_search(
    model: TranslationModel, source: Tensor, options: SearchOptions
) -> list[list[Hypothesis]]:
    return search.beam_search(TorchPredictor([model]), source, options)


def random_sources(count: int, seed: int = 3) -> list[list[int]]:
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(0, 9, (count,), generator=random).tolist()
    return [[*torch.randint(4, 7, (n,), generator=random).tolist(), EOS] for n in lengths]


@torch.inference_mode()
def log_probabilities(model: TranslationModel, source: list[int], target: Sequence[int]) -> Tensor:
    """Of each piece after BOS and each token of a target, (T + 1, V), by one forward pass."""
    with capture_attention(model, aligning=True) as captured:
        hidden = model(torch.tensor([source]), torch.tensor([[BOS, *target]]))[0]
    logits = model.output(hidden)
    if model.copy_gate is None:
        return logits.log_softmax(dim=1)
    [attention], ids = mean_attention(captured), torch.tensor([source] * len(hidden))
    return with_copies(logits, model.copy_gate(hidden), attention, ids)


def log_probability(model: TranslationModel, source: list[int], target: Sequence[int]) -> float:
    """The log-probability of a target and EOS by a forward pass over all of it."""
    each = log_probabilities(model, source, target)
    return float(each[range(len(target) + 1), [*target, EOS]].sum())


def tokens(hypotheses: list[list[Hypothesis]]) -> list[list[tuple[int, ...]]]:
    return [[hypothesis.tokens for hypothesis in row] for row in hypotheses]


@pytest.mark.parametrize("alpha", PENALTIES)
def test_a_beam_as_wide_as_all_targets_finds_what_enumeration_finds(
    model: TranslationModel, alpha: float
) -> None:
    every = to_limit(beam=40, n_best=len(ALL_TARGETS), alpha=alpha)
    best = to_limit(beam=40, alpha=alpha)
    found = beam_search(model, pad(SOURCES), every)
    for source, hypotheses, [first] in zip(
        SOURCES, found, beam_search(model, pad(SOURCES), best), strict=True
    ):
        scores = {
            target: log_probability(model, source, target) / ((5 + len(target) + 1) / 6) ** alpha
            for target in ALL_TARGETS
        }
        assert {h.tokens: h.score for h in hypotheses} == pytest.approx(scores, abs=1e-4, rel=1e-4)
        assert first.tokens == max(scores, key=scores.__getitem__)


def test_a_beam_of_one_is_greedy_search(model: TranslationModel) -> None:
    options = SearchOptions(beam=1, max_ratio=2, max_extra=1)
    sources = random_sources(8)

    def greedy(source: list[int]) -> tuple[int, ...]:
        words: list[int] = []
        while len(words) + 1 < options.max_length(len(source)):
            scores = log_probabilities(model, source, words)[-1].tolist()
            best = max((*WORDS, EOS), key=scores.__getitem__)
            if best == EOS:
                break
            words.append(best)
        return tuple(words)

    found = tokens(beam_search(model, pad(sources), options))
    assert found == [[greedy(source)] for source in sources]


def test_the_score_reported_is_that_of_a_forward_pass(model: TranslationModel) -> None:
    options = SearchOptions(beam=4, n_best=4, alpha=0.8)
    sources = random_sources(4)
    for source, hypotheses in zip(sources, beam_search(model, pad(sources), options), strict=True):
        for hypothesis in hypotheses:
            expected = log_probability(model, source, hypothesis.tokens)
            assert hypothesis.log_probability == pytest.approx(expected, abs=1e-4, rel=1e-4)
            divisor = ((5 + len(hypothesis.tokens) + 1) / 6) ** 0.8
            assert hypothesis.score == pytest.approx(expected / divisor, abs=1e-4, rel=1e-4)


def test_a_batch_of_1_equals_a_batch_of_64(model: TranslationModel) -> None:
    options = SearchOptions(beam=3, n_best=2, max_ratio=1, max_extra=3)
    sources = random_sources(64)
    together = beam_search(model, pad(sources), options)
    alone = [beam_search(model, pad([source]), options)[0] for source in sources]
    assert tokens(together) == tokens(alone)
    for row, single in zip(together, alone, strict=True):
        expected = [h.score for h in single]
        assert [h.score for h in row] == pytest.approx(expected, abs=1e-4, rel=1e-4)


def random_word(seed: int) -> ForcedPrefix:
    """A prefix whose tokens, 4 to 6, lead from a state to any later one."""
    random = Random(seed)
    size = random.randint(1, 6)
    moves = [
        [(token, random.randint(state + 1, size)) for token in random.sample(range(4, 7), 2)]
        for state in range(size)
    ]
    tokens, state = [], 0
    while state < size:
        token, state = random.choice(moves[state])
        tokens.append(token)
    return ForcedPrefix(complete_moves([sorted(each) for each in moves]), tuple(tokens))


@pytest.mark.parametrize("lengths", [{}, {"min_ratio": 0.8, "max_ratio": 1.2, "max_extra": 0}])
@pytest.mark.parametrize(("beam_size", "n_best"), [(1, 1), (4, 1), (3, 3)])
def test_search_in_kernels_finds_exactly_what_search_in_torch_finds(
    model: TranslationModel,
    beam_size: int,
    n_best: int,
    lengths: dict[str, float],
) -> None:
    skip_without_kernels(model)
    options = SearchOptions(beam=beam_size, n_best=n_best, **lengths)
    sources = random_sources(24)
    random = torch.Generator().manual_seed(1)
    prefixes: list[Sequence[int] | ForcedPrefix] = [
        torch.randint(4, 7, (i % 4,), generator=random).tolist() for i in range(24)
    ]
    prefixes[::5] = [random_word(seed) for seed in range(len(prefixes[::5]))]
    prefixes[1::5] = [
        ForcedPrefix.of_tokens([4, 5][: i % 3], [(EOS,), (EOS, 5), (EOS, 4)][i % 3])
        for i in range(len(prefixes[1::5]))
    ]
    translations = torch.randint(3, 7, (model.source_embedding.num_embeddings, 2))
    shortlist = Shortlist(translations.numpy(), np.arange(6), 7)
    lists = (None, shortlist) if model.copy_gate is None else (None,)
    for begun, listed in itertools.product(((), prefixes), lists):
        found = EnginePredictor([PlainModel.of(model)], (), listed).search(sources, options, begun)
        expected = TorchPredictor([model], (), listed).search(sources, options, begun)
        assert_same(found, expected)


def skip_without_kernels(model: TranslationModel) -> None:
    if inference_class(model.config) is None:
        pytest.skip("there are no kernels for this model")


def skip_with_copies(model: TranslationModel) -> None:
    if model.copy_gate is not None:
        pytest.skip("a shortlist does not have what a model copies")


def assert_same(
    found: Sequence[Sequence[Hypothesis]], expected: Sequence[Sequence[Hypothesis]]
) -> None:
    assert tokens(found) == tokens(expected)
    for row, other in zip(found, expected, strict=True):
        scores = [each.score for each in other]
        assert [each.score for each in row] == pytest.approx(scores, abs=1e-4, rel=1e-4)


def test_search_in_kernels_finds_the_same_over_more_steps_than_one_call_takes(
    model: TranslationModel,
) -> None:
    skip_without_kernels(model)
    options = SearchOptions(beam=2, min_ratio=20, max_ratio=20, max_extra=0)
    sources = [[4, 5, 6, 5, EOS], [6, EOS]]
    assert options.min_length(5) > 3 * STEPS
    found = EnginePredictor([PlainModel.of(model)]).search(sources, options)
    assert_same(found, TorchPredictor([model]).search(sources, options))


def test_a_prefix_may_be_longer_than_the_limit(model: TranslationModel) -> None:
    prefix = (4, 5, 6, 4, 5, 6)
    for options in (to_limit(beam=3), to_limit(sample=True)):
        [[found]] = search.search(TorchPredictor([model]), pad([[4, EOS]]), options, [prefix])
        assert found.tokens == prefix


def test_n_best_are_complete_different_and_best_first(model: TranslationModel) -> None:
    options = to_limit(beam=5, n_best=4)
    for hypotheses in beam_search(model, pad(random_sources(16)), options):
        assert len(hypotheses) == 4
        assert len({h.tokens for h in hypotheses}) == 4
        assert hypotheses == sorted(hypotheses, key=lambda h: h.score, reverse=True)


@pytest.mark.parametrize(("max_ratio", "max_extra"), [(1.5, 0), (0.0, 1), (0.0, 0), (0.5, 2)])
def test_a_hypothesis_has_only_words_and_keeps_to_its_limit(
    model: TranslationModel, max_ratio: float, max_extra: int
) -> None:
    options = SearchOptions(beam=3, n_best=3, max_ratio=max_ratio, max_extra=max_extra)
    sources = random_sources(16)
    for source, hypotheses in zip(sources, beam_search(model, pad(sources), options), strict=True):
        assert hypotheses
        for hypothesis in hypotheses:
            assert len(hypothesis.tokens) + 1 <= max(1, int(max_ratio * len(source)) + max_extra)
            assert not {PAD, UNK, BOS, EOS} & set(hypothesis.tokens)


def test_control_symbols_are_forbidden_and_not_just_unlikely() -> None:
    """UNK is by far the likeliest, yet translations never contain it."""
    after = [0.0, 0.9, 0.0, 0.02, 0.05, 0.03, 0.0]
    model = TableModel(dict.fromkeys(range(7), after))
    [[hypothesis]] = beam_search(model, pad([[4, EOS]]), to_limit(beam=1))
    assert hypothesis.tokens == (4, 4, 4)
    assert hypothesis.log_probability == pytest.approx(3 * math.log(0.05) + math.log(0.02))


SCORES = {
    **{f"gnmt {alpha}": {"alpha": alpha} for alpha in (-0.5, *PENALTIES)},
    "power": {"length_penalty": "power", "alpha": 1.5},
    "none": {"length_penalty": "none"},
    "repetition": {"repetition_penalty": 1.5},
}


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
@pytest.mark.parametrize("n_best", [1, 3])
def test_stopping_early_never_costs_a_better_hypothesis(
    model: TranslationModel,
    monkeypatch: pytest.MonkeyPatch,
    score: dict[str, Any],
    n_best: int,
) -> None:
    sources = pad(random_sources(16))
    options = SearchOptions(beam=4, n_best=n_best, max_ratio=1, max_extra=6, **score)
    early = [beam_search(model, sources, options)]
    if inference_class(model.config) is not None:
        early.append(EnginePredictor([PlainModel.of(model)]).search(random_sources(16), options))
    monkeypatch.setattr(
        SearchedSentence,
        "is_over",
        lambda self, best_open, length, _: (
            best_open == -math.inf or length >= self.limits.max_length
        ),
    )
    whole = tokens(beam_search(model, sources, options))
    assert [tokens(found) for found in early] == [whole] * len(early)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("width", [2, 4])
def test_a_finished_hypothesis_keeps_its_place_in_the_beam(width: int, seed: int) -> None:
    """The textbook's beam search, in lists, over a table of random probabilities."""
    random = torch.Generator().manual_seed(seed)
    table = torch.rand(7, 7, generator=random).pow(3)
    table /= table.sum(dim=1, keepdim=True)
    hypotheses, finished = [((BOS,), 0.0)], []
    for length in range(1, LIMIT + 1):
        extended = [
            ((*words, token), score + float(table[words[-1], token].log()))
            for words, score in hypotheses
            for token in ((EOS,) if length == LIMIT else (*WORDS, EOS))
        ]
        best = sorted(extended, key=lambda scored: -scored[1])[: width - len(finished)]
        finished += [scored for scored in best if scored[0][-1] == EOS]
        hypotheses = [scored for scored in best if scored[0][-1] != EOS]

    options = to_limit(beam=width, n_best=width, alpha=0.0)
    [found] = beam_search(TableModel(dict(enumerate(table.tolist()))), pad([[4, EOS]]), options)
    expected = {words[1:-1]: score for words, score in finished}
    assert {h.tokens: h.score for h in found} == pytest.approx(expected, abs=1e-4, rel=1e-4)


def test_search_ends_as_soon_as_nothing_better_can_come() -> None:
    """After two steps one hypothesis has ended; what is still open has no chance left."""
    model = TableModel({BOS: only(4, 0.99, 5), 4: only(EOS, 0.99, 5), 5: only(5, 0.9, 6)})
    options = SearchOptions(beam=3, alpha=1.0, max_ratio=0, max_extra=20)
    [[best]] = beam_search(model, pad([[4, EOS]]), options)
    assert best.tokens == (4,)
    assert model.steps == 2


def test_two_beams_find_what_greed_misses() -> None:
    """The likelier first word leads nowhere: 0.6 x 0.5 against 0.4 x 0.9."""
    model = TableModel({BOS: only(4, 0.6, 5), 4: only(6, 0.5, EOS), 5: only(EOS, 0.9, 6)})
    options = {"alpha": 0.0, "max_ratio": 0, "max_extra": 3}
    [[greedy]] = beam_search(model, pad([[4, EOS]]), SearchOptions(beam=1, **options))
    [[best]] = beam_search(model, pad([[4, EOS]]), SearchOptions(beam=2, **options))
    assert greedy.tokens[0] == 4
    assert best.tokens == (5,)
    assert math.exp(best.log_probability) == pytest.approx(0.36)


def only(first: int, probability: float, second: int) -> list[float]:
    """The probabilities of seven tokens of which two are possible."""
    return [
        probability if token == first else 1 - probability if token == second else 0.0
        for token in range(7)
    ]


class TableModel(TranslationModel):
    """A bigram table as a model: hidden states are the last token, one-hot; there is no state."""

    def __init__(self, table: dict[int, list[float]]) -> None:
        super().__init__(ModelConfig(width=7), Vocabulary(7, 7, joint=True))
        rows = torch.tensor([table.get(last, only(EOS, 1.0, EOS)) for last in range(7)])
        self.output.weight = nn.Parameter(rows.clamp_min(1e-12).log().t().contiguous())
        self.steps = 0

    def encode(self, source: Tensor) -> tuple[State, State]:
        return source, source[:, :0]

    def decode(self, target: Tensor, state: State, memory: State) -> tuple[Tensor, State]:
        self.steps += 1
        return nn.functional.one_hot(target, 7).float(), state


def repeats(words: Sequence[int], size: int) -> bool:
    grams = [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]
    return len(set(grams)) < len(grams)


def begins_with(words: tuple[int, ...], prefix: ForcedPrefix) -> bool:
    state = 0
    for word in words:
        if state == prefix.end:
            break
        if word not in prefix.moves[state].tokens:
            return False
        state = prefix.after(state, word)
    return state == prefix.end


def enumerated(
    model: TranslationModel, source: list[int], options: SearchOptions, prefix: ForcedPrefix
) -> dict[tuple[int, ...], float]:
    """The score of every target that the options allow, by forward passes and their formulas."""
    scores = {}
    for words in ALL_TARGETS:
        length = len(words) + 1
        if length < options.min_ratio * len(source) and length < LIMIT:
            continue
        if options.no_repeat_ngram and repeats(words, options.no_repeat_ngram):
            continue
        if not begins_with(words, prefix):
            continue
        given, target = torch.tensor([source]), torch.tensor([[BOS, *words, EOS]])
        token_scores = TorchPredictor([model]).padded_token_scores(given, target)[0].tolist()
        for index, word in enumerate(words):
            if word in words[:index]:
                token_scores[index] *= options.repetition_penalty
        divisor = {"gnmt": (5 + length) / 6, "power": length, "none": 1}[options.length_penalty]
        score = sum(token_scores) / divisor**options.alpha
        if options.coverage_penalty:
            attention = attention_to_source([model], given, target[:, :-1])[0]
            covered = attention.sum(dim=0).clamp(1e-6, 1.0).log().sum()
            score += options.coverage_penalty * float(covered)
        scores[words] = score
    return scores


@pytest.mark.parametrize(
    ("options", "prefix"),
    [
        ({"length_penalty": "power", "alpha": 0.8}, ()),
        ({"length_penalty": "none"}, ()),
        ({"repetition_penalty": 1.7}, ()),
        ({"no_repeat_ngram": 1}, ()),
        ({"no_repeat_ngram": 2, "alpha": 0.3}, ()),
        ({"min_ratio": 0.7, "max_ratio": 0.7}, ()),
        ({}, (5, 4)),
        ({}, ForcedPrefix(complete_moves([[(4, 2), (6, 1)], [(5, 2)]]), (4,))),
        ({"coverage_penalty": 0.4}, ()),
    ],
    ids=str,
)
def test_every_penalty_and_constraint_is_what_its_formula_says(
    model: TranslationModel, options: dict[str, float], prefix: tuple[int, ...] | ForcedPrefix
) -> None:
    if "coverage_penalty" in options and not model.attends_to_source:
        pytest.skip("a fixed context has no attention")
    source = [4, 5, 6, EOS]
    extra = LIMIT - int(options.get("max_ratio", 0) * len(source))
    wide = SearchOptions(
        **{"max_ratio": 0.0, "max_extra": extra, "beam": 40, "n_best": 40} | options
    )
    follows = wide.coverage_penalty > 0
    predictor = TorchPredictor([model], captures_attention=follows)
    [found] = search.beam_search(predictor, pad([source]), wide, [prefix])
    if not isinstance(prefix, ForcedPrefix):
        prefix = ForcedPrefix.of_tokens(prefix)
    expected = enumerated(model, source, wide, prefix)
    assert {h.tokens: h.score for h in found} == pytest.approx(expected, abs=2e-4, rel=2e-4)


def test_an_ensemble_takes_the_weighted_mean_of_probabilities() -> None:
    one = TableModel({BOS: only(4, 0.9, 5), 4: only(EOS, 0.6, 5), 5: only(EOS, 1.0, 6)})
    two = TableModel({BOS: only(4, 0.1, 5), 4: only(EOS, 0.4, 6), 5: only(EOS, 1.0, 6)})
    options = to_limit(beam=4, n_best=2, alpha=0.0)
    [found] = search.beam_search(TorchPredictor([one, two], [3, 1]), pad([[4, EOS]]), options)
    probabilities = {h.tokens: math.exp(h.log_probability) for h in found}
    first = 0.75 * 0.9 + 0.25 * 0.1
    assert probabilities == pytest.approx(
        {(4,): first * (0.75 * 0.6 + 0.25 * 0.4), (5,): 1 - first}, rel=1e-4
    )


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0], [1.0, -1.0]])
def test_weights_that_do_not_fit_are_refused(weights: list[float]) -> None:
    model = TableModel({})
    with pytest.raises(
        InputError,
        match="one number above 0 for each run is allowed, of a finite sum; runs: 2",
    ):
        TorchPredictor([model, model], weights)


def test_a_shortlist_of_everything_changes_nothing(model: TranslationModel) -> None:
    skip_with_copies(model)
    every = torch.arange(7, dtype=torch.int32).expand(9, 7)
    listed = TorchPredictor([model], shortlist=Shortlist(every.numpy(), np.arange(4), 7))
    sources = pad(random_sources(8))
    options = SearchOptions(beam=3, n_best=3, max_ratio=1, max_extra=3, no_repeat_ngram=2)
    plain = search.beam_search(TorchPredictor([model]), sources, options)
    short = search.beam_search(listed, sources, options)
    assert tokens(short) == tokens(plain)
    for row, other in zip(short, plain, strict=True):
        assert [h.score for h in row] == pytest.approx([h.score for h in other], abs=1e-4)


def test_a_sentence_gets_words_of_its_own_shortlist_only(
    model: TranslationModel,
) -> None:
    """Each token translates itself alone, so translations are made of words of the source."""
    skip_with_copies(model)
    own = torch.arange(9, dtype=torch.int32)[:, None].clamp(max=6)
    listed = TorchPredictor([model], shortlist=Shortlist(own.numpy(), np.arange(4), 7))
    sources = [[4, 4, EOS], [5, 6, EOS], [6, EOS]]
    options = SearchOptions(beam=2, n_best=2, max_ratio=1, max_extra=2)
    together = search.beam_search(listed, pad(sources), options)
    for source, hypotheses in zip(sources, together, strict=True):
        for hypothesis in hypotheses:
            assert set(hypothesis.tokens) <= set(source)
    alone = [search.beam_search(listed, pad([source]), options)[0] for source in sources]
    assert tokens(together) == tokens(alone)


@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 2500)),
    count=st.sampled_from([1, 2, 5, 1100, 3000]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_the_best_extensions_are_those_of_a_full_sort(
    sizes: tuple[int, int, int], count: int, seed: int
) -> None:
    batch, beam, columns = sizes
    torch.manual_seed(seed)
    logits = torch.randn(batch * beam, columns)
    logits[torch.rand_like(logits) < 0.1] = -torch.inf
    offsets = torch.randn(batch, beam)
    offsets[:, 1:][torch.rand_like(offsets[:, 1:]) < 0.3] = -torch.inf
    best, rows, chosen = best_extensions(logits, offsets, count)
    sums = (logits.view(batch, beam, columns) + offsets[..., None]).view(batch, -1)
    possible = min(count, beam * columns)
    assert torch.equal(best[:, :possible], sums.topk(possible, dim=1).values)
    assert (best[:, possible:] == -torch.inf).all()
    for sentence in range(batch):
        real = best[sentence] > -torch.inf
        indices = (rows[sentence] * columns + chosen[sentence])[real]
        assert torch.equal(sums[sentence][indices], best[sentence][real])
        assert len(indices.unique()) == len(indices)


@pytest.mark.parametrize("options", [{"beam": 1}, {"beam": 3}, {"sample": True}])
def test_a_model_that_gives_no_numbers_is_refused(options: dict[str, Any]) -> None:
    model = TableModel({BOS: [math.nan] * 7})
    with pytest.raises(Seq2seqError, match="not numbers"):
        search.search(TorchPredictor([model]), pad([[4, EOS]]), to_limit(**options))


def draws(count: int, **options: float) -> list[Hypothesis]:
    model = TableModel(
        {BOS: [0, 0, 0, 0.1, 0.2, 0.3, 0.4], **{w: only(EOS, 1.0, 4) for w in WORDS}}
    )
    chosen = SearchOptions(sample=True, n_best=count, **options)
    [found] = search.sample(TorchPredictor([model]), pad([[4, EOS]]), chosen)
    return found


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.1, 0.2, 0.3, 0.4]),
        ({"temperature": 0.5}, [0.01 / 0.3, 0.04 / 0.3, 0.09 / 0.3, 0.16 / 0.3]),
        ({"top_k": 2}, [0, 0, 3 / 7, 4 / 7]),
        ({"top_p": 0.65}, [0, 0, 3 / 7, 4 / 7]),
        ({"top_p": 0.75}, [0, 2 / 9, 3 / 9, 4 / 9]),
    ],
    ids=str,
)
def test_words_are_drawn_as_often_as_the_model_says(
    options: dict[str, float], expected: list[float]
) -> None:
    """Chi-square at 0.1 %, with a fixed seed."""
    count = 4000
    found = draws(count, **options)
    seen = [sum(h.tokens == words for h in found) for words in ((), (4,), (5,), (6,))]
    assert sum(seen) == count
    assert all((number > 0) == (share > 0) for number, share in zip(seen, expected, strict=True))
    statistic = sum(
        (number - count * share) ** 2 / (count * share)
        for number, share in zip(seen, expected, strict=True)
        if share
    )
    assert statistic < {2: 10.83, 3: 13.82, 4: 16.27}[sum(share > 0 for share in expected)]


NEAREST_TO_ONE = 1 - 2**-53  # the largest number that Random.random returns


def drawn_columns(rows: list[list[float]], random: float, **options: float) -> list[int]:
    """The columns drawn from rows of logits, all with the same random number."""
    chosen = SearchOptions(sample=True, **options)
    columns: list[int] = draw_columns(torch.tensor(rows), [random] * len(rows), chosen).tolist()
    return columns


@pytest.mark.parametrize("random", [0.0, 2**-60, 0.5, NEAREST_TO_ONE])
@pytest.mark.parametrize("options", [{}, {"top_k": 2}, {"top_p": 1e-300}, {"temperature": 1e300}])
def test_what_has_no_probability_is_never_drawn(options: dict[str, float], random: float) -> None:
    torch.manual_seed(7)
    logits = torch.randn(200, 1000)
    logits[:, 0] = logits[:, 300:] = -torch.inf
    columns = torch.tensor(drawn_columns(logits.tolist(), random, **options))
    assert logits.gather(1, columns[:, None]).isfinite().all()
    if "top_p" in options:
        assert torch.equal(columns, logits.argmax(dim=1))
    if "top_k" in options:
        assert (columns[:, None] == logits.topk(2).indices).any(dim=1).all()


@pytest.mark.parametrize("temperature", [5e-324, 1e-308, 1e-100, 1e-9])
@pytest.mark.parametrize("random", [0.0, 0.5, NEAREST_TO_ONE])
@pytest.mark.parametrize("options", [{}, {"top_k": 3}, {"top_p": 0.5}])
def test_temperatures_near_zero_draw_what_is_likeliest(
    options: dict[str, float], random: float, temperature: float
) -> None:
    rows = [[-torch.inf, -3.0, -1e-3, -2.0], [3e38, 1.0, 2.0, -torch.inf], [0.0, 0.0, 7.0, -3e38]]
    assert drawn_columns(rows, random, temperature=temperature, **options) == [2, 0, 2]


def test_a_search_at_a_temperature_near_zero_is_greedy(model: TranslationModel) -> None:
    limits = {"max_ratio": 1, "max_extra": 3}
    sources, predictor = pad(random_sources(12)), TorchPredictor([model])
    cold = SearchOptions(sample=True, temperature=1e-308, **limits)
    greedy = search.beam_search(predictor, sources, SearchOptions(beam=1, **limits))
    assert tokens(search.sample(predictor, sources, cold)) == tokens(greedy)


@pytest.mark.parametrize("random", [-1e-9, 1.0, math.nan])
def test_random_numbers_outside_their_bounds_are_refused(random: float) -> None:
    with pytest.raises(ValueError, match=r"0 or more and below 1"):
        drawn_columns([[1.0, 2.0]], random)


def test_draws_are_computed_where_float64_is() -> None:
    assert float64_device(torch.device("mps")) == torch.device("cpu")
    for device in ("cpu", "cuda:1", "meta"):
        assert float64_device(torch.device(device)) == torch.device(device)
    options = SearchOptions(sample=True, top_k=3, top_p=0.5)
    assert draw_columns(torch.empty(2, 7, device="meta"), [0.1, 0.2], options).is_meta


def test_draws_depend_only_on_the_seed_and_the_line(model: TranslationModel) -> None:
    sources = random_sources(12)
    options = SearchOptions(sample=True, n_best=2, max_ratio=1, max_extra=3, seed=5)
    predictor = TorchPredictor([model])
    together = search.sample(predictor, pad(sources), options, numbers=range(100, 112))
    alone = [
        search.sample(predictor, pad([source]), options, numbers=[number])[0]
        for number, source in enumerate(sources, start=100)
    ]
    assert tokens(together) == tokens(alone)
    other = search.sample(
        predictor, pad(sources), replace(options, seed=6), numbers=range(100, 112)
    )
    assert tokens(other) != tokens(together)
    elsewhere = search.sample(predictor, pad(sources), options, numbers=range(200, 212))
    assert tokens(elsewhere) != tokens(together)


def test_the_score_of_a_draw_is_the_models_own(model: TranslationModel) -> None:
    options = SearchOptions(sample=True, temperature=1.5, top_k=3, max_ratio=1, max_extra=3)
    sources = random_sources(6)
    for source, [drawn] in zip(
        sources, search.sample(TorchPredictor([model]), pad(sources), options), strict=True
    ):
        expected = log_probability(model, source, drawn.tokens)
        assert drawn.log_probability == pytest.approx(expected, abs=1e-4, rel=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam": 2, "n_best": 3}, "n_best=3: 1 to 2 is allowed with beam=2"),
        ({"temperature": 0.5}, "temperature=0.5 is for sampling; add sample=True"),
        ({"sample": True, "top_p": 0.0}, "top_p=0.0: a number above 0, up to 1 is allowed"),
        ({"repetition_penalty": 0.5}, "repetition_penalty=0.5: 1 to 100 is allowed"),
        ({"min_ratio": 3.0}, "min_ratio=3.0: 0 to 2.0 is allowed, with max_ratio=2.0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SearchOptions(**options)
