"""What of Marian's files is refused, and which runs cannot be exported to it."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.foreign_model import ForeignModel, StoredWeight
from seq2seq_cli.interop.marian import reader as marian
from seq2seq_cli.interop.marian.npz import NpzFile, write_npz
from seq2seq_cli.interop.run_writer import write_run
from seq2seq_cli.runs.origin import Origin
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.symbols import BOS
from tests.unit.marian_models import (
    SOURCE,
    TARGET,
    exported,
    hand_written,
    imported,
    one_tokenizer,
    opus_release,
    random_run,
    trained,
)


@pytest.fixture(scope="module")
def joint_model() -> bytes:
    return trained(SOURCE + TARGET)


@pytest.fixture(scope="module")
def side_models() -> tuple[bytes, bytes]:
    return trained(SOURCE), trained(TARGET)


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
