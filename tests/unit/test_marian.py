"""Marian's files: what is read of them and what is written."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seq2seq_cli.config.models import TransformerConfig, Vocabulary
from seq2seq_cli.interop.marian import reader as marian
from seq2seq_cli.interop.marian.npz import write_npz
from seq2seq_cli.interop.marian.vocabulary import read_list
from seq2seq_cli.interop.marian.weights import weight_table
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.tokenization.foreign_vocabulary import ForeignVocabulary
from seq2seq_cli.tokenization.tokenizer import Tokenizer
from seq2seq_cli.translation import Translator
from tests.unit.marian_models import (
    BASE,
    LINES,
    MARIAN,
    SOURCE,
    TARGET,
    Arrays,
    exported,
    hand_written,
    imported,
    one_tokenizer,
    opus_release,
    random_run,
    trained,
    translations,
)

SETTINGS: dict[str, dict[str, Any]] = {
    "post": {},
    "pre": {"norm": "pre", "activation": "swish"},
    "ssru": {"decoder_attention": "ssru", "encoder_layers": 2},
    "rms": {"norm": "pre", "normalisation": "rms", "decoder_attention": "ssru"},
    "untied": {"tie_output": False, "activation": "gelu"},
    "another epsilon": {"norm_epsilon": 1e-5, "alignment_layer": 0, "alignment_head": 0},
}


@pytest.fixture(scope="module")
def joint_model() -> bytes:
    return trained(SOURCE + TARGET)


@pytest.fixture(scope="module")
def side_models() -> tuple[bytes, bytes]:
    return trained(SOURCE), trained(TARGET)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_a_run_that_is_exported_and_imported_translates_to_the_same_bytes(
    tmp_path: Path, settings: dict[str, Any], joint_model: bytes
) -> None:
    run = random_run(tmp_path / "run", one_tokenizer(joint_model), **settings)
    again = imported(exported(run, tmp_path / "marian"), tmp_path / "again")
    assert translations(again) == translations(run)
    config, before = again.load_config().model, run.load_config().model
    assert isinstance(config, TransformerConfig)
    assert not [each for each in before.differences(config) if not each[0].startswith("alignment")]


def test_so_does_a_run_of_two_vocabularies(
    tmp_path: Path, side_models: tuple[bytes, bytes]
) -> None:
    source, target = map(Tokenizer, side_models)
    run = random_run(tmp_path / "run", Tokenizers(source, target))
    folder = exported(run, tmp_path / "marian")
    assert {path.name for path in folder.iterdir()} == {
        *("model.npz", "source.spm", "target.spm", "decoder.yml")
    }
    assert translations(imported(folder, tmp_path / "again")) == translations(run)


def test_so_does_a_run_of_one_vocabulary_and_two_segmentations(
    tmp_path: Path, side_models: tuple[bytes, bytes]
) -> None:
    release = opus_release(tmp_path / "release", side_models)
    run = imported(release, tmp_path / "run")
    assert run.load_tokenizers().is_joint
    assert not run.load_tokenizers().is_one
    folder = exported(run, tmp_path / "marian")
    assert (folder / "source.spm").read_bytes() != (folder / "target.spm").read_bytes()
    assert translations(imported(folder, tmp_path / "again")) == translations(run)


def test_so_does_one_in_float16_which_stays_so(tmp_path: Path, joint_model: bytes) -> None:
    run = random_run(tmp_path / "run", one_tokenizer(joint_model), tie_output=False)
    folder = exported(run, tmp_path / "marian")
    arrays = dict(np.load(folder / "model.npz").items())
    again = []
    for kind in ("float16", "float32"):
        rounded = {
            name: each.astype(np.float16).astype(kind) if each.dtype == np.float32 else each
            for name, each in arrays.items()
        }
        write_npz(folder / "model.npz", rounded.items())
        again.append(imported(folder, tmp_path / kind))
    assert translations(again[0]) == translations(again[1])
    stored = again[0].load_plain_model().stored
    assert stored is not None
    wide = {name for name, array in stored.items() if array.dtype == np.float32}
    assert wide == {"output.bias"}


def logits(arrays: Arrays, source: list[int], target: list[int]) -> np.ndarray:
    """Marian's model in numpy, of ids as Marian has them: (len(target) + 1, V)."""

    def embedded(vectors: np.ndarray) -> np.ndarray:
        positions = np.arange(len(vectors))[:, None]
        angles = positions * 10000.0 ** -(np.arange(8) / 7)
        return 4 * vectors + np.concatenate([np.sin(angles), np.cos(angles)], axis=1)

    def normed(x: np.ndarray, name: str) -> np.ndarray:
        x = x - x.mean(axis=1, keepdims=True)
        x = x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-6)
        return x * arrays[f"{name}_ln_scale"] + arrays[f"{name}_ln_bias"]

    def linear(x: np.ndarray, name: str, letter: str) -> np.ndarray:
        return x @ arrays[f"{name}_W{letter}"] + arrays[f"{name}_b{letter}"]

    def attended(x: np.ndarray, y: np.ndarray, name: str, is_causal: bool) -> np.ndarray:
        query, key, value = linear(x, name, "q"), linear(y, name, "k"), linear(y, name, "v")
        heads = []
        for head in (slice(0, 8), slice(8, 16)):
            scores = query[:, head] @ key[:, head].T / np.sqrt(8)
            if is_causal:
                scores = np.where(np.tri(len(x)) > 0, scores, -1e9)
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            heads.append(weights / weights.sum(axis=1, keepdims=True) @ value[:, head])
        return normed(x + linear(np.concatenate(heads, axis=1), name, "o"), f"{name}_Wo")

    def fed(x: np.ndarray, name: str) -> np.ndarray:
        inner = np.maximum(linear(x, name, "1"), 0)
        return normed(x + linear(inner, name, "2"), f"{name}_ffn")

    table = arrays["Wemb"].astype(np.float64)
    x = embedded(table[[*source, 0]])
    x = fed(attended(x, x, "encoder_l1_self", False), "encoder_l1_ffn")
    y = embedded(np.concatenate([np.zeros((1, 16)), table[target]]))
    y = attended(y, y, "decoder_l1_self", True)
    y = fed(attended(y, x, "decoder_l1_context", False), "decoder_l1_ffn")
    return y @ table.T + arrays["decoder_ff_logit_out_b"]


def test_an_imported_model_has_the_log_probabilities_of_marians_formulas(
    tmp_path: Path, joint_model: bytes
) -> None:
    arrays = hand_written(tmp_path / "marian", joint_model)
    run = imported(tmp_path / "marian", tmp_path / "run")
    vocabulary = ForeignVocabulary.of_model(joint_model)
    pieces = list(vocabulary.pieces)
    found = Translator.load(run.path).translate(LINES[:3])
    for line, translation in zip(LINES, found, strict=False):
        best = json.loads(translation.as_jsonl(1))["hypotheses"][0]
        source = [
            pieces.index(run.load_tokenizers().source.vocabulary[number])
            for number in run.load_tokenizers().source.encode([line])[0]
        ]
        target = [pieces.index(piece) for piece in best["tokens"] if piece != "</s>"]
        given = logits(arrays, source, target)
        steps = given - np.log(np.exp(given).sum(axis=1, keepdims=True))
        ended = len(best["tokens"]) > len(target)
        ids = [*target, 0] if ended else target
        expected = sum(steps[index, number] for index, number in enumerate(ids))
        assert best["log_probability"] == pytest.approx(expected, abs=2e-4)


def test_names_are_those_that_marian_writes() -> None:
    pre = TransformerConfig(
        **BASE | MARIAN | {"norm": "pre", "decoder_attention": "ssru", "tie_output": False}
    )
    names = {
        name
        for where in weight_table(pre, Vocabulary(9, 8, joint=False)).values()
        for name in where.names
    }
    assert {
        *("encoder_Wemb", "decoder_Wemb", "decoder_ff_logit_out_Wt", "decoder_ff_logit_out_b"),
        *("decoder_l1_rnn_W", "decoder_l1_rnn_Wf", "decoder_l1_rnn_bf"),
        *("decoder_l1_rnn_ln_scale_pre", "decoder_l1_context_Wo_ln_bias_pre"),
        *("encoder_l1_ffn_ffn_ln_scale_pre", "encoder_top_ln_scale", "decoder_top_ln_bias"),
    } <= names
    post = TransformerConfig(**BASE | MARIAN | {"decoder_attention": "ssru"})
    table = weight_table(post, Vocabulary(9, 9, joint=True))
    assert table["decoder.0.self_sublayer.norm.weight"].names == ("decoder_l1_rnn_ffn_ln_scale",)


def test_a_release_of_opus_mt_is_read_as_it_is(
    tmp_path: Path, side_models: tuple[bytes, bytes]
) -> None:
    folder = opus_release(tmp_path / "release", side_models)
    model = marian.read(folder)
    assert model.search == {"beam": 6, "length_penalty": "power", "alpha": 1.0}
    assert (model.origin.licence, model.data.source_language) == ("cc-by-4.0", "eng")
    assert "deu" in model.tokenizers.source.tags
    assert len(translations(imported(folder, tmp_path / "run"))) == len(LINES)


LISTS = {
    "plain.yml": "</s>: 0\n<unk>: 1\n▁a: 2\nno: 3\n1.0: 4\n\"\\u2581b\": 5\n'it''s': 6\n",
    "json.json": '{"</s>": 0, "<unk>": 1, "▁a": 2, "no": 3, "1.0": 4, "\\u2581b": 5, "it\'s": 6}',
    "lines.yml": '"</s>": 0\n"<unk>": 1\n"▁a": 2\n"no": 3\n"1.0": 4\n"▁b": 5\n"it\'s": 6\n',
    "text.txt": "</s>\n<unk>\n▁a\nno\n1.0\n▁b\nit's\n",
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_pieces_is_the_same_in_every_form(name: str) -> None:
    pieces = ["</s>", "<unk>", "▁a", "no", "1.0", "▁b", "it's"]
    assert read_list(LISTS[name].encode(), Path(name)) == pieces


@pytest.mark.parametrize("suffix", [".txt", ".yml"])
def test_a_piece_may_be_what_ends_lines_elsewhere(suffix: str) -> None:
    pieces = ["</s>", "<unk>", "\x85", "a\u2028b", "\x0b"]
    lines = [piece if suffix == ".txt" else json.dumps(piece) for piece in pieces]
    if suffix == ".yml":
        lines = [f"{line}: {number}" for number, line in enumerate(lines)]
    assert read_list("\n".join(lines).encode(), Path(f"x{suffix}")) == pieces


@pytest.mark.parametrize("text", ["a: 0\nb: 1\na: 3\n", '{"a": 0, "b": 1, "a": 3}'])
def test_a_piece_that_is_listed_twice_has_its_first_id(text: str) -> None:
    name = "x.json" if text.startswith("{") else "x.yml"
    assert read_list(text.encode(), Path(name)) == ["a", "b", None, None]
