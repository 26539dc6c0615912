"""Files of hidden states hold what was computed, in any format, and are written as it comes."""

import json
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.hidden_states import SentenceStates
from seq2seq_cli.evaluation.plots.files import STATES_FORMATS
from seq2seq_cli.evaluation.states_file import save_states

FLAT = [suffix for suffix in STATES_FORMATS if suffix != ".parquet"]
LENGTHS = ((3, 2), (1, 1), (4, 5))


def sentence(source: int, target: int) -> SentenceStates:
    draw = np.random.default_rng(source).standard_normal
    return SentenceStates(
        [f"▁s{i}\u2028\n" for i in range(source)],
        [f"▁t{i}" for i in range(target)],
        {
            "embedding": draw((source, 4)).astype(np.float32),
            "layer-1": draw((source, 6)).astype(np.float32),
        },
        {"embedding": draw((target, 4)).astype(np.float32)},
        draw((2, 3, source, source)).astype(np.float32),
        None,
        draw((1, 3, target, source)).astype(np.float32),
        [f"s{i}" for i in range(source)],
        [f"t{i}" for i in range(target)],
        [*range(source - 1), -1],
        [-1, *range(target - 1)],
    )


SENTENCES = [sentence(*lengths) for lengths in LENGTHS]


def read(path: Path) -> dict[str, Any]:
    return load_file(path) if path.suffix == ".safetensors" else dict(np.load(path))


@pytest.mark.parametrize("suffix", FLAT)
def test_each_sentence_is_where_the_offsets_say(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"states{suffix}"
    assert save_states(iter(SENTENCES), path) == (len(SENTENCES), path.stat().st_size)
    arrays = read(path)
    records = [json.loads(line) for line in bytes(arrays["sentences"]).decode().splitlines()]
    for index, expected in enumerate(SENTENCES):
        assert records[index]["source_pieces"] == expected.source_pieces
        assert records[index]["target_words"] == expected.target_words
        for side in ("source", "target"):
            start, end = arrays[f"{side}/offsets"][index : index + 2]
            for name, values in getattr(expected, f"{side}_states").items():
                assert (arrays[f"{side}/{name}"][start:end] == values).all()
            assert (arrays[f"{side}/line"][start:end] == index + 1).all()
            words = arrays[f"{side}/word"][start:end].tolist()
            assert words == getattr(expected, f"{side}_word_indices")
        start, end = arrays["cross/attention_offsets"][index : index + 2]
        assert expected.cross_attention is not None
        layers, heads, target, source = expected.cross_attention.shape
        rows = arrays["cross/attention"][start:end].reshape(target, source, layers, heads)
        assert (rows.transpose(2, 3, 0, 1) == expected.cross_attention).all()
    assert "target/attention" not in arrays


def test_formats_hold_the_same(tmp_path: Path) -> None:
    for suffix in FLAT:
        save_states(iter(SENTENCES), tmp_path / f"a{suffix}")
    one, other = (read(tmp_path / f"a{suffix}") for suffix in FLAT)
    assert one.keys() == other.keys()
    assert all((one[name] == other[name]).all() for name in one)


def test_parquet_has_a_row_for_each_sentence(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "states.parquet"
    assert save_states(iter(SENTENCES), path)[0] == len(SENTENCES)
    table = parquet.read_table(path)
    shapes = json.loads(table.schema.metadata[b"shapes"])
    for row, expected in zip(table.to_pylist(), SENTENCES, strict=True):
        assert row["source/pieces"] == expected.source_pieces
        for name, values in expected.arrays().items():
            read_back = np.array(row[name], dtype=np.float32).reshape(-1, *shapes[name])
            assert (read_back == values).all()
    assert table["line"].to_pylist() == [1, 2, 3]


@pytest.mark.parametrize("suffix", STATES_FORMATS)
def test_memory_does_not_grow_with_the_lines(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most the sentences of a row group are alive while the others are written."""
    monkeypatch.setattr("seq2seq_cli.evaluation.states_file.ROW_GROUP_BYTES", 2000)
    made: list[weakref.ref[SentenceStates]] = []
    most = 0

    def many() -> Iterator[SentenceStates]:
        nonlocal most
        for _ in range(100):
            each = sentence(3, 2)
            made.append(weakref.ref(each))
            most = max(most, sum(ref() is not None for ref in made))
            yield each
            del each

    assert save_states(many(), tmp_path / f"states{suffix}")[0] == 100
    assert most <= 12


@pytest.mark.parametrize("suffix", STATES_FORMATS)
def test_only_what_is_asked_for_is_written(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"states{suffix}"
    save_states(iter(SENTENCES), path, ["source/layer-1"])
    if suffix == ".parquet":
        names = pytest.importorskip("pyarrow.parquet").read_schema(path).names
    else:
        names = list(read(path))
    states = {name for name in names if name in SENTENCES[0].arrays()}
    assert states == {"source/layer-1"}
    with pytest.raises(InputError, match="--only target/attention: this model does not have that"):
        save_states(iter(SENTENCES), path, ["target/attention"])


@pytest.mark.parametrize("suffix", STATES_FORMATS)
def test_an_error_midway_leaves_what_was_there(suffix: str, tmp_path: Path) -> None:
    def broken() -> Iterator[SentenceStates]:
        yield SENTENCES[0]
        raise InputError("line 2 is too long")

    path = tmp_path / f"states{suffix}"
    path.write_text("before")
    with pytest.raises(InputError, match="line 2"):
        save_states(broken(), path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_an_ending_that_says_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must end in \.npz, \.parquet or \.safetensors"):
        save_states(iter(SENTENCES), tmp_path / "states.pt")
