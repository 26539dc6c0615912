"""Every architecture learns to copy, reverse and sort: all of training and search, in seconds."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch

from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.data.batching import epoch_batches
from seq2seq_cli.data.sentence_arrays import Sentences
from seq2seq_cli.data.token_pairs import TokenPairs
from seq2seq_cli.models import ARCHITECTURES, TranslationModel, Vocabulary, build, model_config
from seq2seq_cli.padding import pad
from seq2seq_cli.search import SearchOptions, TorchPredictor, beam_search
from seq2seq_cli.symbols import EOS
from seq2seq_cli.training.cross_entropy import cross_entropy
from seq2seq_cli.training.optimization import learning_rate, make_optimizer, set_learning_rate

Words = tuple[int, ...]
Pair = tuple[Words, Words]

WORDS = range(4, 14)
REVERSE, SORT, SIZE = 14, 15, 16  # words that ask for a task, and the size of the vocabulary
LONGEST = 5
HELD_OUT = 100
THRESHOLD = 0.9  # of held-out sequences right to the last token
TASKS: dict[str, Callable[[Words], Words]] = {
    "copy": lambda words: words,
    "reverse": lambda words: words[::-1],
    "sort": lambda words: tuple(sorted(words)),
}
RNN = {"architecture": "rnn", "width": 32, "units": 64, "cell": "gru"}
ATTENTION_RNN = {"architecture": "attention-rnn", "width": 32, "units": 48}
CONV = {"architecture": "conv", "width": 32, "channels": 48}
TRANSFORMER = {"architecture": "transformer", "width": 32, "feed_forward": 64}
TRANSFORMER |= {"encoder_layers": 2, "decoder_layers": 2}
ARCHITECTURE = {
    "rnn": RNN,
    "attention-rnn": ATTENTION_RNN,
    "conv": CONV,
    "transformer": TRANSFORMER,
}
UPDATES = {"rnn": 550, "attention-rnn": 450, "conv": 550, "transformer": 350}

VARIANTS: dict[str, dict[str, Any]] = {  # together they have every value of every option
    "rnn-initial": RNN | {"context": "initial"},
    "rnn-reversed": RNN | {"bidirectional": False, "reverse_source": True},
    "attention-rnn-gru-feeding": ATTENTION_RNN | {"cell": "gru", "input_feeding": True},
    "attention-rnn-additive": ATTENTION_RNN | {"score": "additive"},
    "attention-rnn-dot": ATTENTION_RNN | {"score": "dot"},
    "attention-rnn-scaled-dot-local-p": ATTENTION_RNN
    | {"score": "scaled-dot", "scope": "local-p", "window": 3},
    "attention-rnn-local-m": ATTENTION_RNN | {"scope": "local-m", "window": 3},
    "attention-rnn-location": ATTENTION_RNN | {"score": "location-base", "location_length": 8},
    "attention-rnn-content": ATTENTION_RNN | {"score": "content-base"},
    "attention-rnn-multi-head": ATTENTION_RNN | {"score": "multi-head"},
    "conv-wide": CONV | {"kernel": 5, "encoder_layers": 2, "decoder_layers": 2},
    "transformer-modern": TRANSFORMER
    | {"normalisation": "rms", "activation": "swiglu", "positions": "rotary"},
    "transformer-relative": TRANSFORMER
    | {"normalisation": "rms", "activation": "geglu", "positions": "relative"}
    | {"head_width": 12, "linear_bias": False},
    "transformer-post-learned-average": TRANSFORMER
    | {"norm": "post", "activation": "gelu", "positions": "learned"}
    | {"decoder_attention": "average"},
    "transformer-ssru": TRANSFORMER | {"activation": "swish", "decoder_attention": "ssru"},
    "transformer-6-6": TRANSFORMER | {"encoder_layers": 6, "decoder_layers": 6},
    "transformer-6-6-deep": TRANSFORMER
    | {"encoder_layers": 6, "decoder_layers": 6, "norm": "deep"},
    "transformer-12-1": TRANSFORMER
    | {"encoder_layers": 12, "decoder_layers": 1, "decoder_attention": "ssru"},
}


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
            hidden = model(batch.source, batch.target[:, :-1])
            loss, _ = cross_entropy(
                hidden, model.output.weight, batch.target[:, 1:], config.label_smoothing
            )
            (loss / batch.target_tokens()).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
            optimizer.step()
            optimizer.zero_grad()
        epoch += 1


def share_right(
    table: dict[str, Any], known: list[Pair], held_out: list[Pair], updates: int
) -> float:
    """Train on known pairs; the share of held-out ones that are right to the last token."""
    torch.manual_seed(1)
    model = build(model_config({"dropout": 0.0} | table), Vocabulary(SIZE, SIZE, joint=True))
    sources, targets = zip(*known, strict=True)
    config = TrainingConfig(
        batch_tokens=400,
        learning_rate=0.005,
        warmup_updates=50,
        schedule="cosine",
        label_smoothing=0.0,
        max_updates=updates,
    )
    train(model, TokenPairs(Sentences(sources), Sentences(targets)), config)
    batch = pad([[*source, EOS] for source, _ in held_out])
    found = beam_search(TorchPredictor([model.eval()]), batch, SearchOptions(beam=3))
    right = sum(best.tokens == target for (_, target), [best] in zip(held_out, found, strict=True))
    return right / len(held_out)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_architecture_learns(architecture: str, task: str) -> None:
    pairs = [(words, TASKS[task](words)) for words in sequences(4000 + HELD_OUT)]
    share = share_right(
        ARCHITECTURE[architecture], pairs[HELD_OUT:], pairs[:HELD_OUT], UPDATES[architecture]
    )
    assert share >= THRESHOLD


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_learns_to_reverse_and_to_sort_as_the_first_word_says(variant: str) -> None:
    examples = sequences(4000 + HELD_OUT)
    table = VARIANTS[variant]
    pairs = [
        ((word, *words), TASKS[task](words))
        for words in examples
        for word, task in ((REVERSE, "reverse"), (SORT, "sort"))
    ]
    share = share_right(
        table, pairs[2 * HELD_OUT :], pairs[: 2 * HELD_OUT], UPDATES[table["architecture"]]
    )
    assert share >= THRESHOLD
