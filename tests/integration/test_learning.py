"""Every architecture learns to copy, reverse and sort: all of training and search, in seconds."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch

from seq2seq_cli.batching import Sentences, TokenPairs, epoch_batches, pad
from seq2seq_cli.config import TrainingConfig
from seq2seq_cli.loss import cross_entropy
from seq2seq_cli.models import ARCHITECTURES, TranslationModel, Vocabulary, build, model_config
from seq2seq_cli.optimization import learning_rate, make_optimizer, set_learning_rate
from seq2seq_cli.search import SearchOptions, beam_search
from seq2seq_cli.symbols import EOS

Words = tuple[int, ...]

WORDS = range(4, 14)
LONGEST = 5
HELD_OUT = 100
THRESHOLD = 0.9  # of held-out sequences right to the last token
TASKS: dict[str, Callable[[Words], Words]] = {
    "copy": lambda words: words,
    "reverse": lambda words: words[::-1],
    "sort": lambda words: tuple(sorted(words)),
}
MODELS: dict[str, dict[str, Any]] = {
    "rnn": {"width": 32, "units": 64, "cell": "gru"},
    "attention-rnn": {"width": 32, "units": 48},
    "transformer": {"width": 32, "feed_forward": 64, "encoder_layers": 2, "decoder_layers": 2},
}
UPDATES = {"rnn": 450, "attention-rnn": 450, "transformer": 350}


def sequences(count: int) -> list[Words]:
    """Different sequences of 1 to LONGEST words, none of them twice."""
    draw = random.Random(1)
    found: dict[Words, None] = {}
    while len(found) < count:
        found[tuple(draw.choices(WORDS, k=draw.randint(1, LONGEST)))] = None
    return list(found)


def train(model: TranslationModel, pairs: TokenPairs, config: TrainingConfig) -> None:
    optimizer = make_optimizer(model.train(), config)
    update = epoch = 0
    while update < config.max_updates:
        for rows in epoch_batches(pairs, config.batch_tokens, config.seed, epoch):
            update += 1
            set_learning_rate(optimizer, learning_rate(config, update))
            batch = pairs.batch(rows)
            features = model(batch.source, batch.target[:, :-1])
            loss, _ = cross_entropy(
                features, model.output.weight, batch.target[:, 1:], config.label_smoothing
            )
            (loss / pairs.target_tokens(rows)).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
            optimizer.step()
            optimizer.zero_grad()
        epoch += 1


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_learns(architecture: str, task: str) -> None:
    torch.manual_seed(1)
    table = {"architecture": architecture, "dropout": 0.0, **MODELS[architecture]}
    model = build(model_config(table), Vocabulary(WORDS.stop, WORDS.stop, joint=True))
    examples = sequences(4000 + HELD_OUT)
    held_out, known = examples[:HELD_OUT], examples[HELD_OUT:]
    pairs = TokenPairs(Sentences(known), Sentences(TASKS[task](words) for words in known))
    config = TrainingConfig(
        batch_tokens=400,
        learning_rate=0.005,
        warmup_updates=50,
        schedule="cosine",
        label_smoothing=0.0,
        max_updates=UPDATES[architecture],
    )
    train(model, pairs, config)

    source = pad([[*words, EOS] for words in held_out])
    found = beam_search(model.eval(), source, SearchOptions(beam=3))
    right = sum(
        best.tokens == TASKS[task](words) for words, [best] in zip(held_out, found, strict=True)
    )
    assert right >= THRESHOLD * HELD_OUT
