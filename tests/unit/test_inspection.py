"""Costs are counted right, and maps drawn so that they can be read."""

import pytest
import torch

from seq2seq_cli.cli.heat_map import heat_map
from seq2seq_cli.errors import InputError
from seq2seq_cli.inspection import AttentionMap, cost, parameters
from seq2seq_cli.models import Vocabulary, build, model_config
from seq2seq_cli.plots.page import attention_data, attention_page

VOCABULARY = Vocabulary(10, 30, joint=False)


def test_the_cost_of_a_transformer_is_that_of_its_products() -> None:
    width, inner, length = 8, 12, 5
    table = {"architecture": "transformer", "width": width, "heads": 2, "feed_forward": inner}
    model = build(
        model_config(table | {"encoder_layers": 2, "decoder_layers": 3}), VOCABULARY
    ).eval()
    attention = 2 * length * width  # scores and sums with every token of the other side
    feed_forward = 2 * width * inner
    encoder = 2 * (4 * width**2 + attention + feed_forward)
    memory = 3 * 2 * width**2  # keys and values for each layer of the decoder
    decoder = 3 * (4 * width**2 + attention + 2 * width**2 + attention + feed_forward)
    counted = cost(model, length)
    assert counted.source_token == 2 * (encoder + memory)
    assert counted.target_token == 2 * (decoder + width * 30)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_cost_of_an_rnn_is_that_of_its_weights(cell: str) -> None:
    table = {"architecture": "rnn", "width": 6, "units": 8, "cell": cell, "context": "initial"}
    model = build(model_config(table), VOCABULARY).eval()
    gates = 4 if cell == "lstm" else 3
    bridge = 8 * 8 * (2 if cell == "lstm" else 1)
    counted = cost(model, length=7)
    assert counted.source_token == pytest.approx(2 * (2 * gates * 4 * (6 + 4) + bridge / 7))
    assert counted.target_token == 2 * (gates * 8 * (6 + 8) + 8 * 6 + 6 * 30)


def test_parameters_are_counted_once() -> None:
    table = {"architecture": "rnn", "width": 6, "units": 8}
    model = build(model_config(table), Vocabulary(30, 30, joint=True))
    assert sum(one.count for one in parameters(model)) == sum(p.numel() for p in model.parameters())


MAP = AttentionMap(
    source=("▁a", "语", "</s>"),
    target=("▁ein", "</s>"),
    weights=torch.tensor(
        [[[[1.0, 0, 0], [0, 0.5, 0.5]], [[0, 1.0, 0], [0, 0.5, 0.5]]]]
    ),  # one layer, two heads
)


def test_a_terminal_shows_shades_below_upright_tokens() -> None:
    rows = MAP.chosen(None, None).tolist()
    assert list(heat_map(MAP.source, MAP.target, rows, colour=False)) == [
        "         <",
        "         /",
        "     ▁   s",
        "     a 语>",
        "▁ein ▒▒▒▒  ",
        "</s>   ▒▒▒▒",
    ]


def test_layers_and_heads_are_chosen_and_refused() -> None:
    assert MAP.chosen(1, 2).tolist() == [[0, 1, 0], [0, 0.5, 0.5]]
    with pytest.raises(InputError, match="--head 3: 1 to 2 is allowed for this model"):
        MAP.chosen(None, 3)
    with pytest.raises(InputError, match="--layer 2: 1 to 1 is allowed"):
        MAP.chosen(2, 1)


def test_a_page_holds_its_data_and_no_markup_from_it() -> None:
    page = attention_page([MAP], "a <b> & c")
    assert "<title>a &lt;b> &amp; c</title>" in page
    assert "\\u003c/s>" in page
    assert attention_data([MAP])[0]["target"] == ["▁ein", "</s>"]
    assert "http" not in page
