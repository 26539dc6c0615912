"""Costs are counted right, and maps drawn so that they can be read."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from seq2seq_cli.cli.terminal_plots import curve_lines, heat_map
from seq2seq_cli.config.operations import cost
from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.attention_maps import AttentionMap
from seq2seq_cli.evaluation.curves import curves
from seq2seq_cli.evaluation.plots.page import attention_data, attention_page
from seq2seq_cli.models import Vocabulary, build, model_config

VOCABULARY = Vocabulary(10, 30, joint=False)


def test_the_cost_of_a_transformer_is_that_of_its_products() -> None:
    width, inner, length = 8, 12, 5
    table = {"architecture": "transformer", "width": width, "heads": 2, "feed_forward": inner}
    config = model_config(table | {"encoder_layers": 2, "decoder_layers": 3})
    attention = 2 * length * width  # scores and sums with every token of the other side
    feed_forward = 2 * width * inner
    encoder = 2 * (4 * width**2 + attention + feed_forward)
    memory = 3 * 2 * width**2  # keys and values for each layer of the decoder
    decoder = 3 * (4 * width**2 + attention + 2 * width**2 + attention + feed_forward)
    counted = cost(config, VOCABULARY, length)
    assert counted.source_token == 2 * (encoder + memory)
    assert counted.target_token == 2 * (decoder + width * 30)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_cost_of_an_rnn_is_that_of_its_weights(cell: str) -> None:
    table = {"architecture": "rnn", "width": 6, "units": 8, "cell": cell, "context": "initial"}
    gates = 4 if cell == "lstm" else 3
    bridge = 8 * 8 * (2 if cell == "lstm" else 1)
    counted = cost(model_config(table), VOCABULARY, length=7)
    assert counted.source_token == pytest.approx(2 * (2 * gates * 4 * (6 + 4) + bridge / 7))
    assert counted.target_token == 2 * (gates * 8 * (6 + 8) + 8 * 6 + 6 * 30)


def test_parameters_are_counted_once() -> None:
    table = {"architecture": "rnn", "width": 6, "units": 8}
    model = build(model_config(table), Vocabulary(30, 30, joint=True))
    assert sum(one.count for one in model.weights()) == sum(p.numel() for p in model.parameters())


MAP = AttentionMap(
    source=("▁a", "语", "</s>"),
    target=("▁ein", "</s>"),
    weights=np.array(
        [[[[1.0, 0, 0], [0, 0.5, 0.5]], [[0, 1.0, 0], [0, 0.5, 0.5]]]]
    ),  # one layer, two heads
)


def test_a_terminal_shows_shades_below_upright_tokens() -> None:
    rows = MAP.mean(None, None).tolist()
    assert list(heat_map(MAP.source, MAP.target, rows, colour=False)) == [
        "         <",
        "         /",
        "     ▁   s",
        "     a 语>",
        "▁ein ▒▒▒▒  ",
        "</s>   ▒▒▒▒",
    ]


def test_layers_and_heads_are_chosen_and_refused() -> None:
    assert MAP.mean(1, 2).tolist() == [[0, 1, 0], [0, 0.5, 0.5]]
    with pytest.raises(InputError, match="--head 3: 1 to 2 is allowed for this model"):
        MAP.mean(None, 3)
    with pytest.raises(InputError, match="--layer 2: 1 to 1 is allowed"):
        MAP.mean(2, 1)


def test_unless_chosen_they_are_those_that_align_words() -> None:
    aligning = dataclasses.replace(MAP, aligning=(None, 1))
    assert aligning.mean(None, None).tolist() == MAP.mean(None, 2).tolist()
    assert aligning.mean(None, 1).tolist() == MAP.mean(None, 1).tolist()


def test_a_page_holds_its_data_and_no_markup_from_it() -> None:
    page = attention_page([MAP], "a <b> & c")
    assert "<title>a &lt;b> &amp; c</title>" in page
    assert "\\u003c/s>" in page
    assert attention_data([MAP])[0]["target"] == ["▁ein", "</s>"]
    assert "http" not in page


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder whose training wrote four reports, and was killed in the middle of a line."""
    folder = tmp_path / "begun"
    folder.mkdir()
    lines = [
        json.dumps({"kind": kind, "update": update, "seconds": 6.0 * update, "loss": loss} | more)
        for kind, update, loss, more in (
            ("training", 50, 8.0, {"learning_rate": 0.1, "target_tokens": 1000}),
            ("training", 100, 4.0, {"learning_rate": 0.2, "target_tokens": 2000}),
            ("validation", 100, 5.0, {"bleu": 1.5, "target_tokens": 2000}),
            ("training", 150, 2.0, {"learning_rate": 0.1}),
        )
    ]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + '\n{"kind": "trai')
    return folder


def test_curves_hold_what_training_wrote(run: Path) -> None:
    by_name = {curve.figure: curve for curve in curves(run)}
    assert set(by_name) == {"loss", "validation loss", "BLEU", "learning rate"}
    assert by_name["loss"].x == (50, 100, 150)
    assert by_name["loss"].y == (8.0, 4.0, 2.0)
    assert by_name["BLEU"].y == (1.5,)
    assert curves(run, "minutes")[0].x == (5.0, 10.0, 15.0)
    assert curves(run, "tokens")[0].x == (1000, 2000)


def test_a_terminal_shows_runs_on_shared_axes(run: Path) -> None:
    lines = list(curve_lines(curves(run)[:1], "updates"))
    assert lines[0] == "loss, 2 to 8, over 150 updates"
    assert lines[1] == "  begun  " + " " * 19 + "█" * 20 + "▃" * 20 + "▁" + "  last 2"


def test_a_run_without_figures_yet_is_told_from_what_is_not_a_run(
    tmp_path: Path, run: Path
) -> None:
    with pytest.raises(InputError, match=r"is not a run folder: it has no config\.toml"):
        curves(tmp_path)
    with pytest.raises(InputError, match=r"bgun: no such run folder; did you mean .*begun\?"):
        curves(tmp_path / "bgun")
    (tmp_path / "bgum.en").touch()
    with pytest.raises(InputError, match=r"bgum: no such run folder; did you mean .*begun\?"):
        curves(tmp_path / "bgum")
    (tmp_path / "config.toml").touch()
    with pytest.raises(InputError, match="has no figures yet: training writes the first after 50"):
        curves(tmp_path)
    (run / "metrics.jsonl").write_text("")
    with pytest.raises(InputError, match="holds no figures over tokens yet"):
        curves(run, "tokens")
