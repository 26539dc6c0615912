"""Marian's files: what is read of them, what is written, and what is refused."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentencepiece import SentencePieceTrainer

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import TransformerConfig, Vocabulary
from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.config.shapes import weight_shapes
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.foreign_model import ForeignModel, StoredWeight
from seq2seq_cli.interop.marian import reader as marian
from seq2seq_cli.interop.marian.npz import NpzFile, write_npz
from seq2seq_cli.interop.marian.vocabulary import read_list
from seq2seq_cli.interop.marian.weights import weight_table
from seq2seq_cli.interop.marian.writer import write
from seq2seq_cli.interop.run_writer import write_run
from seq2seq_cli.runs.origin import Origin
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.symbols import BOS, NEVER, PAD
from seq2seq_cli.tokenization.foreign_vocabulary import ForeignVocabulary
from seq2seq_cli.tokenization.tokenizer import Tokenizer
from seq2seq_cli.translation import TranslationSettings, Translator

Arrays = dict[str, np.ndarray]

SOURCE = ["a man rides a bicycle", "two dogs play in the snow", "the house is big"] * 4
TARGET = ["ein mann fährt rad", "zwei hunde spielen im schnee", "das haus ist groß"] * 4
LINES = ["a man rides in the snow", "two big dogs", "the bicycle is big", "", "zwei"]

# What Marian writes; the settings in which the runs of `settings` differ are its options.
OPTIONS = """\
dec-cell: gru
dec-depth: 1
dim-emb: 16
dim-vocabs:
  - 60
  - 60
enc-depth: 1
input-types:
  []
lemma-dim-emb: 0
tied-embeddings: false
tied-embeddings-all: true
tied-embeddings-src: false
transformer-decoder-autoreg: self-attention
transformer-dim-ffn: 24
transformer-ffn-activation: relu
transformer-ffn-depth: 2
transformer-guided-alignment-layer: last
transformer-heads: 2
transformer-postprocess: dan
transformer-postprocess-emb: d
transformer-postprocess-top: ""
transformer-preprocess: ""
transformer-tied-layers:
  []
type: transformer
version: v1.12.42 b7be0e964
"""
BASE = {"width": 16, "heads": 2, "feed_forward": 24, "encoder_layers": 1, "decoder_layers": 1}
MARIAN: dict[str, Any] = {
    "norm": "post",
    "norm_epsilon": 1e-6,
    "sinusoids": "tensor2tensor",
    "zero_start": True,
    "output_bias": True,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "post": {},
    "pre": {"norm": "pre", "activation": "swish"},
    "ssru": {"decoder_attention": "ssru", "encoder_layers": 2},
    "rms": {"norm": "pre", "normalisation": "rms", "decoder_attention": "ssru"},
    "untied": {"tie_output": False, "activation": "gelu"},
    "another epsilon": {"norm_epsilon": 1e-5, "alignment_layer": 0, "alignment_head": 0},
}


def trained(lines: list[str], **settings: Any) -> bytes:
    """A SentencePiece model as Marian trains it."""
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        vocab_size=60,
        hard_vocab_limit=False,
        eos_id=0,
        unk_id=1,
        bos_id=-1,
        pad_id=-1,
        minloglevel=2,
        **settings,
    )
    return model.getvalue()


@pytest.fixture(scope="module")
def joint_model() -> bytes:
    return trained(SOURCE + TARGET)


@pytest.fixture(scope="module")
def side_models() -> tuple[bytes, bytes]:
    return trained(SOURCE), trained(TARGET)


def random_run(folder: Path, tokenizers: Tokenizers, **settings: Any) -> RunFolder:
    """A run of random weights that Marian can hold."""
    config = TransformerConfig(**BASE | MARIAN | settings)
    draw = np.random.default_rng(1)
    weights = {}
    for name, shape in weight_shapes(config, tokenizers.vocabulary).items():
        array = draw.normal(0, 0.4, shape).astype(np.float32)
        if name == "target_embedding.weight":
            array[BOS] = 0
        if name == "output.bias":
            array[[PAD, BOS]] = NEVER
        weights[name] = StoredWeight.of(array)
    write_run(ForeignModel(config, tokenizers, weights, DataConfig(), Origin()), folder)
    return RunFolder(folder)


def imported(path: Path, folder: Path) -> RunFolder:
    write_run(marian.read(path), folder)
    return RunFolder(folder)


def exported(run: RunFolder, folder: Path) -> Path:
    folder.mkdir()
    write(run, folder, "")
    return folder


def translations(run: RunFolder) -> list[str]:
    settings = TranslationSettings(search=SearchOptions(beam=3))
    found = Translator.load(run.path, settings).translate(LINES)
    return [each.as_jsonl(3) for each in found]


def one_tokenizer(model: bytes) -> Tokenizers:
    tokenizer = Tokenizer(model)
    return Tokenizers(tokenizer, tokenizer)


# There and back


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


# Weights


def hand_written(folder: Path, model: bytes, changes: Mapping[str, str] | None = None) -> Arrays:
    """Write a model with the names, shapes and options that Marian's trainer writes."""
    folder.mkdir(exist_ok=True)
    pieces = len(ForeignVocabulary.of_model(model).pieces)
    draw = np.random.default_rng(2)

    def drawn(*shape: int) -> np.ndarray:
        return draw.normal(0, 0.4, shape).astype(np.float32)

    arrays = {"Wemb": drawn(pieces, 16), "decoder_ff_logit_out_b": drawn(1, pieces)}
    for layer in ("encoder_l1_self", "decoder_l1_self", "decoder_l1_context"):
        for letter in "qkvo":
            arrays[f"{layer}_W{letter}"] = drawn(16, 16)
            arrays[f"{layer}_b{letter}"] = drawn(1, 16)
        arrays[f"{layer}_Wo_ln_scale"] = drawn(1, 16)
        arrays[f"{layer}_Wo_ln_bias"] = drawn(1, 16)
    for layer in ("encoder_l1_ffn", "decoder_l1_ffn"):
        arrays |= {f"{layer}_W1": drawn(16, 24), f"{layer}_b1": drawn(1, 24)}
        arrays |= {f"{layer}_W2": drawn(24, 16), f"{layer}_b2": drawn(1, 16)}
        arrays |= {f"{layer}_ffn_ln_scale": drawn(1, 16), f"{layer}_ffn_ln_bias": drawn(1, 16)}
    options = OPTIONS
    for old, new in (changes or {}).items():
        assert old in options
        options = options.replace(old, new)
    stored = arrays | {"special:model.yml": np.frombuffer(options.encode() + b"\0", np.int8)}
    np.savez(folder / "model.npz", **stored)  # type: ignore[arg-type]
    (folder / "vocab.spm").write_bytes(model)
    return arrays


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


# Vocabularies and releases


def opus_release(
    folder: Path, models: tuple[bytes, bytes], decoder: str = "", listed: bytes = b""
) -> Path:
    """A release as OPUS-MT has it: one list for both sides, and a segmentation for each."""
    pieces = {"</s>": 0, "<unk>": 1}
    for model in models:
        for piece in ForeignVocabulary.of_model(model).pieces:
            assert piece is not None
            pieces.setdefault(piece, len(pieces))
    pieces.setdefault(">>deu<<", len(pieces))
    folder.mkdir()
    joint = trained(SOURCE + TARGET)
    arrays = hand_written(folder, joint)
    (folder / "vocab.spm").unlink()
    draw = np.random.default_rng(3)
    arrays["Wemb"] = draw.normal(0, 0.4, (len(pieces), 16)).astype(np.float32)
    arrays["decoder_ff_logit_out_b"] = np.zeros((1, len(pieces)), np.float32)
    stored = arrays | {"special:model.yml": np.frombuffer(OPTIONS.encode(), np.int8)}
    np.savez(folder / "model.npz", **stored)  # type: ignore[arg-type]
    for name, model in zip(("source.spm", "target.spm"), models, strict=True):
        (folder / name).write_bytes(model)
    lines = [f"{json.dumps(piece)}: {number}" for piece, number in pieces.items()]
    (folder / "opus.vocab.yml").write_bytes(listed or "\n".join(lines).encode())
    (folder / "decoder.yml").write_text(
        decoder
        or "models:\n  - model.npz\nvocabs:\n  - opus.vocab.yml\n  - opus.vocab.yml\n"
        "beam-size: 6\nnormalize: 1\nrelative-paths: true\n"
    )
    (folder / "LICENSE").write_text("Attribution 4.0 International\n\n===")
    (folder / "README.md").write_text(
        "# opus\n* source language(s): eng\n* target languages: deu\n"
    )
    return folder


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


# What is refused


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("type: transformer", "type: s2s", "type: s2s cannot be held"),
        ("self-attention", "average-attention", "average-attention cannot be held"),
        ("lemma-dim-emb: 0", "lemma-dim-emb: 8", "lemma-dim-emb: 8 cannot be held"),
        ("ffn-depth: 2", "ffn-depth: 3", "transformer-ffn-depth: 3 cannot be held"),
        ("dan", "dahn", r'transformer-postprocess: "dahn"'),
        ("relu", "tanh", "transformer-ffn-activation: tanh"),
        ("dec-depth: 1", "dec-depth: 2", "lacks the parameter decoder_l2_self_Wq"),
        ("dim-emb: 16", "dim-emb: 20", r"Wemb is \[\d+, 16\], \[\d+, 20\]"),
        ("dim-emb: 16", "dim-emb: x", "dim-emb: x is not a positive whole number"),
        ("heads: 2", "heads: 3", "cannot be split over model.heads = 3"),
        ("enc-depth: 1", "enc-depth: &a [*a]", "references are not read"),
        ("version: v1", "no-colon", "is not the YAML of a Marian model"),
    ],
)
def test_options_that_cannot_be_held_are_refused_by_name(
    tmp_path: Path, joint_model: bytes, old: str, new: str, reason: str
) -> None:
    hand_written(tmp_path, joint_model, {old: new})
    with pytest.raises(InputError, match=reason):
        marian.read(tmp_path)


def test_parameters_that_the_options_do_not_speak_of_are_refused(
    tmp_path: Path, joint_model: bytes
) -> None:
    arrays = hand_written(tmp_path, joint_model)
    file = NpzFile(tmp_path / "model.npz")
    options = ("special:model.yml", file.read("special:model.yml").copy())
    write_npz(tmp_path / "model.npz", [*arrays.items(), options, ("Wpos", arrays["Wemb"])])
    with pytest.raises(InputError, match="parameters that cannot be held: Wpos"):
        marian.read(tmp_path)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5000])


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)


def pickled(path: Path) -> None:
    np.savez(path, **{"special:model.yml": np.array([{"a": 1}], dtype=object)})  # type: ignore[arg-type]


def too_large(path: Path) -> None:
    """A header of 10 GB in a file of 1 KB."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"shape": (2_500_000_000,), "fortran_order": False, "descr": "<f4"}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("special:model.yml.npy", header.getvalue() + bytes(100))


def without_options(path: Path) -> None:
    np.savez(path, Wemb=np.zeros((4, 4), np.float32))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (emptied, "is damaged or not an .npz file"),
        (cut_off, "is damaged or not an .npz file"),
        (flipped, "checksum|Bad CRC-32"),
        (pickled, "which is not a type of weights"),
        (too_large, "is not as long as its header says"),
        (without_options, "has no special:model.yml"),
    ],
)
def test_a_damaged_file_is_refused_with_the_reason(
    tmp_path: Path, joint_model: bytes, damage: Callable[[Path], None], reason: str
) -> None:
    hand_written(tmp_path, joint_model)
    damage(tmp_path / "model.npz")
    assert marian.recognises(tmp_path)
    with pytest.raises(InputError, match=reason):
        imported(tmp_path, tmp_path / "run")


def test_a_vocabulary_of_another_model_is_refused(tmp_path: Path, joint_model: bytes) -> None:
    hand_written(tmp_path, joint_model)
    (tmp_path / "vocab.spm").write_bytes(trained([*SOURCE, *TARGET, "öäü xyz 12345"]))
    with pytest.raises(InputError, match="the vocabulary belongs to another model"):
        marian.read(tmp_path)


@pytest.mark.parametrize(
    ("decoder", "reason"),
    [
        ("models: [a.npz, b.npz]", "names 2 models"),
        ("models: [other.npz]", "other.npz is missing, which decoder.yml names"),
        ("models: [model.npz]\nvocabs: [/etc/passwd, ../x.yml]", "passwd is missing"),
        ("models: [model.npz]\nvocabs: [opus.vocab.yml]", "names 1 vocabularies"),
        ("- 1", "does not hold options"),
        ("a: [", "is not the YAML"),
    ],
)
def test_a_decoder_yml_that_does_not_fit_is_refused(
    tmp_path: Path, side_models: tuple[bytes, bytes], decoder: str, reason: str
) -> None:
    folder = opus_release(tmp_path / "release", side_models, decoder)
    with pytest.raises(InputError, match=reason):
        marian.read(folder)


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        (b"\xff\xfe", "is not UTF-8"),
        (b"a: 0\nb: 0\n", "have the same id 0"),
        (b"a: 0\nb: x\n", "has the id 'x'"),
        (b"a: 0\nb: 99999999\n", "ids up to 100,000,000|which is no number"),
        (b"a: 0\nb: 1\n", "has no piece </s>"),
        (b"- a\n- b\n", "is not a table of pieces"),
        (b"a: {b: 1}\n", "is not a table of pieces"),
        (b"a: [", "is not YAML"),
    ],
)
def test_a_list_of_pieces_that_is_damaged_is_refused(
    tmp_path: Path, side_models: tuple[bytes, bytes], listed: bytes, reason: str
) -> None:
    folder = opus_release(tmp_path / "release", side_models, listed=listed)
    with pytest.raises(InputError, match=reason):
        marian.read(folder)


def test_a_tokenizer_of_bpe_codes_is_refused(
    tmp_path: Path, side_models: tuple[bytes, bytes]
) -> None:
    folder = opus_release(tmp_path / "release", side_models)
    for name in ("source", "target"):
        (folder / f"{name}.spm").rename(folder / f"{name}.bpe")
    with pytest.raises(InputError, match=r"source\.bpe is a tokenizer of BPE codes"):
        marian.read(folder)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"norm": "deep"}, 'model.norm = "deep" cannot be exported: Marian has only pre and post'),
        ({"sinusoids": "halves"}, 'model.sinusoids = "halves" cannot be exported'),
        ({"activation": "gelu-sigmoid"}, "has only relu and swish and gelu"),
        ({"decoder_attention": "average"}, "model.decoder_attention"),
        ({"positions": "rotary"}, "model.positions"),
        ({"head_width": 6}, "model.head_width = 6"),
        ({"linear_bias": False}, "model.linear_bias = false"),
        ({"first_position": 2}, "model.first_position = 2"),
        ({"scale_embeddings": False}, "model.scale_embeddings = false"),
    ],
)
def test_settings_that_marian_lacks_are_refused_by_name(
    tmp_path: Path, joint_model: bytes, settings: dict[str, Any], reason: str
) -> None:
    run = random_run(tmp_path / "run", one_tokenizer(joint_model), **settings)
    with pytest.raises(InputError, match=reason):
        exported(run, tmp_path / "marian")


def test_a_run_that_has_learned_to_read_bos_is_refused(tmp_path: Path, joint_model: bytes) -> None:
    run = random_run(tmp_path / "run", one_tokenizer(joint_model), zero_start=False)
    model = run.load_plain_model()
    arrays = {name: np.array(array) for name, array in model.arrays.items()}
    arrays["target_embedding.weight"][BOS] = 1
    weights = {name: StoredWeight.of(array) for name, array in arrays.items()}
    write_run(
        ForeignModel(
            run.load_config().model, run.load_tokenizers(), weights, DataConfig(), Origin()
        ),
        tmp_path / "other",
    )
    with pytest.raises(InputError, match=r"model.zero_start = false cannot be exported"):
        exported(RunFolder(tmp_path / "other"), tmp_path / "marian")
