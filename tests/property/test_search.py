"""Search finds what it promises, checked against slower ways to find the same."""

import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from seq2seq_cli.batching import pad
from seq2seq_cli.models import ModelConfig, TranslationModel, Tree, Vocabulary
from seq2seq_cli.search import Hypothesis, SearchOptions, beam, beam_search
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


def random_sources(count: int, seed: int = 3) -> list[list[int]]:
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(0, 9, (count,), generator=random).tolist()
    return [[*torch.randint(4, 7, (n,), generator=random).tolist(), EOS] for n in lengths]


@torch.inference_mode()
def log_probability(model: TranslationModel, source: list[int], target: Sequence[int]) -> float:
    """What a forward pass over the whole target says of it and its EOS."""
    features = model(torch.tensor([source]), torch.tensor([[BOS, *target]]))
    each = model.output(features[0]).log_softmax(dim=1)
    return float(each[range(len(target) + 1), [*target, EOS]].sum())


def tokens(hypotheses: list[list[Hypothesis]]) -> list[list[tuple[int, ...]]]:
    return [[hypothesis.tokens for hypothesis in row] for row in hypotheses]


@pytest.mark.parametrize("length_penalty", PENALTIES)
def test_a_beam_as_wide_as_all_targets_finds_what_enumeration_finds(
    model: TranslationModel, length_penalty: float
) -> None:
    every = to_limit(beam=40, n_best=len(ALL_TARGETS), length_penalty=length_penalty)
    best = to_limit(beam=40, length_penalty=length_penalty)
    found = beam_search(model, pad(SOURCES), every)
    for source, hypotheses, [first] in zip(
        SOURCES, found, beam_search(model, pad(SOURCES), best), strict=True
    ):
        scores = {
            target: log_probability(model, source, target)
            / ((5 + len(target) + 1) / 6) ** length_penalty
            for target in ALL_TARGETS
        }
        assert {h.tokens: h.score for h in hypotheses} == pytest.approx(scores, abs=1e-4, rel=1e-4)
        assert first.tokens == max(scores, key=scores.__getitem__)


def test_a_beam_of_one_is_greedy_search(model: TranslationModel) -> None:
    options = SearchOptions(beam=1, max_ratio=2, max_extra=1)
    sources = random_sources(8)

    @torch.inference_mode()
    def greedy(source: list[int]) -> tuple[int, ...]:
        words: list[int] = []
        while len(words) + 1 < options.limit(len(source)):
            features = model(torch.tensor([source]), torch.tensor([[BOS, *words]]))
            logits = model.output(features[0, -1])
            best = max((*WORDS, EOS), key=lambda token: float(logits[token]))
            if best == EOS:
                break
            words.append(best)
        return tuple(words)

    found = tokens(beam_search(model, pad(sources), options))
    assert found == [[greedy(source)] for source in sources]


def test_the_score_reported_is_that_of_a_forward_pass(model: TranslationModel) -> None:
    options = SearchOptions(beam=4, n_best=4, length_penalty=0.8)
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
        assert [h.score for h in row] == pytest.approx([h.score for h in single], rel=1e-4)


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


def test_what_is_never_said_is_forbidden_and_not_just_unlikely() -> None:
    """UNK is by far the likeliest, yet no translation holds it."""
    after = [0.0, 0.9, 0.0, 0.02, 0.05, 0.03, 0.0]
    model = TableModel(dict.fromkeys(range(7), after))
    [[hypothesis]] = beam_search(model, pad([[4, EOS]]), to_limit(beam=1))
    assert hypothesis.tokens == (4, 4, 4)
    assert hypothesis.log_probability == pytest.approx(3 * math.log(0.05) + math.log(0.02))


@pytest.mark.parametrize("length_penalty", [-0.5, *PENALTIES])
@pytest.mark.parametrize("n_best", [1, 3])
def test_stopping_early_never_costs_a_better_hypothesis(
    model: TranslationModel,
    monkeypatch: pytest.MonkeyPatch,
    length_penalty: float,
    n_best: int,
) -> None:
    sources = pad(random_sources(16))
    options = SearchOptions(
        beam=4, n_best=n_best, length_penalty=length_penalty, max_ratio=1, max_extra=6
    )
    early = beam_search(model, sources, options)
    monkeypatch.setattr(
        beam._Sentence,
        "done",
        lambda self, best_open, length, _: best_open == -math.inf or length >= self.limit,
    )
    assert tokens(early) == tokens(beam_search(model, sources, options))


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
        kept = sorted(extended, key=lambda each: -each[1])[: width - len(finished)]
        finished += [each for each in kept if each[0][-1] == EOS]
        hypotheses = [each for each in kept if each[0][-1] != EOS]

    options = to_limit(beam=width, n_best=width, length_penalty=0.0)
    [found] = beam_search(TableModel(dict(enumerate(table.tolist()))), pad([[4, EOS]]), options)
    expected = {words[1:-1]: score for words, score in finished}
    assert {h.tokens: h.score for h in found} == pytest.approx(expected, abs=1e-4, rel=1e-4)


def test_search_ends_as_soon_as_nothing_better_can_come() -> None:
    """After two steps one hypothesis has ended; what is still open has no chance left."""
    model = TableModel({BOS: only(4, 0.99, 5), 4: only(EOS, 0.99, 5), 5: only(5, 0.9, 6)})
    options = SearchOptions(beam=3, length_penalty=1.0, max_ratio=0, max_extra=20)
    [[best]] = beam_search(model, pad([[4, EOS]]), options)
    assert best.tokens == (4,)
    assert model.steps == 2


def test_two_beams_find_what_greed_misses() -> None:
    """The likelier first word leads nowhere: 0.6 x 0.5 against 0.4 x 0.9."""
    model = TableModel({BOS: only(4, 0.6, 5), 4: only(6, 0.5, EOS), 5: only(EOS, 0.9, 6)})
    options = {"length_penalty": 0.0, "max_ratio": 0, "max_extra": 3}
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
    """A bigram table as a model: features are the last token, one-hot, and there is no state."""

    def __init__(self, table: dict[int, list[float]]) -> None:
        super().__init__(ModelConfig(width=7), Vocabulary(7, 7, joint=True))
        rows = torch.tensor([table.get(last, only(EOS, 1.0, EOS)) for last in range(7)])
        self.output.weight = nn.Parameter(rows.clamp_min(1e-12).log().t().contiguous())
        self.steps = 0

    def encode(self, source: Tensor) -> tuple[Tree, Tree]:
        return source, source[:, :0]

    def decode(self, target: Tensor, state: Tree, memory: Tree) -> tuple[Tensor, Tree]:
        self.steps += 1
        return nn.functional.one_hot(target, 7).float(), state
