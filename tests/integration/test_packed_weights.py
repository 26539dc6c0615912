"""Weights that were packed before are mapped; whatever is wrong with them is packed again."""

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import torch

from seq2seq_cli.errors import InputError
from seq2seq_cli.inference.weights import ModelWeights
from seq2seq_cli.kernels.library import library
from seq2seq_cli.runs import arrays, packed_weights
from seq2seq_cli.runs.packed_weights import PackedWeights
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.translation import TranslationSettings, Translator

pytestmark = pytest.mark.skipif(library() is None, reason="only kernels pack weights")

LINES = ["one two three .", "four"]
Work = list[str]  # what a start did beyond mapping files: "pack" a layer, "hash" a file


@pytest.fixture(autouse=True)
def _small_and_old_files_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of tests are tiny, and not seconds old."""
    monkeypatch.setattr(packed_weights, "SMALLEST", 0)
    monkeypatch.setattr(packed_weights, "SETTLED", -1.0)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    done: Work = []

    def watch(holder: object, name: str, word: str) -> None:
        original = getattr(holder, name)

        def watched(*given: object) -> object:
            done.append(word)
            return original(*given)

        monkeypatch.setattr(holder, name, watched)

    watch(ModelWeights, "_pack", "pack")
    watch(arrays, "digest_of_file", "hash")
    watch(packed_weights, "_digest_of", "hash")
    return done


def translations(run: Path, precision: str = "int8") -> list[str]:
    settings = TranslationSettings(precision=precision, device="cpu")  # type: ignore[arg-type]
    return [each.text for each in Translator.load(run, settings).translate(LINES)]


def packed_file(run: Path) -> Path:
    [path] = (run / "packed").glob("*.weights")
    return path


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_third_start_neither_packs_nor_reads_all_weights(
    precision: str, run_copy: Path, work: Work
) -> None:
    expected = translations(run_copy, precision)
    assert {*work} == {"pack", "hash"}
    work.clear()
    assert translations(run_copy, precision) == expected
    assert work == ["hash"]  # what was packed is read in full once
    work.clear()
    assert translations(run_copy, precision) == expected
    assert work == []


def test_a_file_that_may_change_without_a_change_of_its_time_is_read_in_full(
    run_copy: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_weights, "SETTLED", 1000.0)
    for _ in range(3):
        work.clear()
        translations(run_copy)
    assert work == ["hash", "hash"]


def test_a_copy_of_a_run_is_read_in_full_and_packs_nothing(
    run_copy: Path, work: Work, tmp_path: Path
) -> None:
    expected = translations(run_copy)
    translations(run_copy)
    copy = tmp_path / "another"
    shutil.copytree(run_copy, copy)
    work.clear()
    assert translations(copy) == expected
    assert work == ["hash", "hash"]


def test_damaged_weights_are_found_though_they_were_whole_before(run_copy: Path) -> None:
    for _ in range(3):
        translations(run_copy)
    weights = run_copy / "model.safetensors"
    before, content = weights.stat(), bytearray(weights.read_bytes())
    content[-5] ^= 16
    weights.write_bytes(content)
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a careless copy does
    with pytest.raises(InputError, match="is damaged"):
        translations(run_copy)


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    changed = bytearray(content)
    changed[-100] ^= 64
    return bytes(changed)


def of_another_library(content: bytes) -> bytes:
    return content.replace(b'"kernels": "', b'"kernels": "x', 1)


def with_layers_elsewhere(content: bytes) -> bytes:
    return content.replace(b'": [0, ', b'": [9000000000, ', 1)


DAMAGES = {
    "cut": cut,
    "a bit": flipped,
    "another library's": of_another_library,
    "layers beyond its end": with_layers_elsewhere,
    "empty": lambda content: b"",
    "something else": lambda content: b"text\n" * 100,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("was_checked", [False, True])
def test_a_damaged_file_is_packed_again(
    damage: Callable[[bytes], bytes], was_checked: bool, run_copy: Path, work: Work
) -> None:
    expected = translations(run_copy)
    if was_checked:
        translations(run_copy)
    path = packed_file(run_copy)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    work.clear()
    assert translations(run_copy) == expected
    assert "pack" in work
    assert path.read_bytes() == whole


def test_bits_that_change_anywhere_change_no_translation(run_copy: Path) -> None:
    expected = translations(run_copy)
    path, random = packed_file(run_copy), Random(3)
    whole = path.read_bytes()
    for index in range(60):
        changed = bytearray(whole)
        changed[random.randrange(400 if index % 2 else len(whole))] ^= 1 << random.randrange(8)
        path.write_bytes(changed)
        assert translations(run_copy) == expected


def test_other_weights_are_packed_in_place_of_the_former(
    run_copy: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = translations(run_copy)
    translations(run_copy, "float32")
    run = RunFolder(run_copy)
    weights = {name: -array for name, array in run.load_plain_model().arrays.items()}
    run.save_model({name: torch.from_numpy(array) for name, array in weights.items()})
    with monkeypatch.context() as turned_off:
        turned_off.setenv("SEQ2SEQ_PACKED", "off")
        expected = translations(run_copy)
    assert expected != former
    for _ in range(2):
        assert translations(run_copy) == expected
    assert packed_file(run_copy).name.endswith("-int8.weights")  # there is no other


def test_several_starts_at_once_leave_one_whole_file(run_copy: Path, work: Work) -> None:
    found: list[list[str]] = []
    starts = [
        threading.Thread(target=lambda: found.append(translations(run_copy))) for _ in range(4)
    ]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    assert len(found) == 4
    assert found == [found[0]] * 4
    work.clear()
    assert translations(run_copy) == found[0]
    assert "pack" not in work
    assert not [*(run_copy / "packed").glob(".*")]


def test_it_can_be_turned_off_and_put_elsewhere(
    run_copy: Path, tmp_path: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQ2SEQ_PACKED", "off")
    expected = translations(run_copy)
    assert not (run_copy / "packed").exists()
    monkeypatch.setenv("SEQ2SEQ_PACKED", str(tmp_path / "elsewhere"))
    assert translations(run_copy) == expected
    work.clear()
    assert translations(run_copy) == expected
    assert "pack" not in work
    assert not (run_copy / "packed").exists()


def test_a_run_that_may_not_be_written_uses_the_users_cache(
    run_copy: Path, tmp_path: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(packed_weights.os, "access", lambda path, mode: False)
    unused, foreign = (tmp_path / "cache/seq2seq-cli/packed" / name for name in ("0" * 32, "mine"))
    for folder in (unused, foreign):
        folder.mkdir(parents=True)
        os.utime(folder, (0, 0))
    expected = translations(run_copy)
    work.clear()
    assert translations(run_copy) == expected
    assert "pack" not in work
    assert not (run_copy / "packed").exists()
    assert foreign.exists()
    assert not unused.exists()


def test_a_full_disk_is_no_error(run_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = translations(run_copy)
    packed_file(run_copy).unlink()

    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packed_weights, "_write", full)
    assert translations(run_copy) == expected
    assert [path.suffix for path in (run_copy / "packed").iterdir()] == [".checked"]


def test_packed_weights_are_as_private_as_the_weights(run_copy: Path) -> None:
    (run_copy / "model.safetensors").chmod(0o640)
    translations(run_copy)
    translations(run_copy)
    assert {path.stat().st_mode & 0o777 for path in (run_copy / "packed").iterdir()} == {0o640}


def test_small_models_are_packed_at_each_start(
    run_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_weights, "SMALLEST", 4 << 20)
    translations(run_copy)
    assert not (run_copy / "packed").exists()


def test_a_run_with_packed_weights_is_cleared_and_free_like_another(run_copy: Path) -> None:
    translations(run_copy)
    run = RunFolder(run_copy)
    run.clear()
    assert not (run_copy / "packed").exists()
    (run_copy / "packed").mkdir()
    assert run.is_free()


def test_what_was_checked_says_so_of_these_files_only(run_copy: Path) -> None:
    """The stamp of another file, or a stamp that is no JSON, is worth nothing."""
    translations(run_copy)
    [checked] = (run_copy / "packed").glob("*.checked")
    weights = run_copy / "model.safetensors"
    packed = PackedWeights.of(run_copy, eight_bits=True)
    assert packed is not None
    sha256 = RunFolder(run_copy).weights_hash()
    assert packed.are_whole(weights.stat(), sha256)
    said = json.loads(checked.read_bytes())
    for content in (json.dumps({**said, "weights": said["weights"][::-1]}), "[", "[]", "{}", "7"):
        checked.write_text(content)
        packed = PackedWeights.of(run_copy, eight_bits=True)
        assert packed is not None
        assert not packed.are_whole(weights.stat(), sha256)
