"""Archives of strangers write nothing elsewhere, whatever they hold."""

import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.archives import is_archive, unpack


def entry(name: str, mode: int = 0) -> zipfile.ZipInfo:
    found = zipfile.ZipInfo(name)
    found.external_attr = mode << 16
    return found


def written(path: Path, *entries: tuple[zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, data in entries:
            archive.writestr(each, data)
    return path


BAD: dict[str, tuple[zipfile.ZipInfo, str]] = {
    "a parent folder": (entry("model/../../evil"), r"model/\.\./\.\./evil would lie outside"),
    "an absolute path": (entry("/tmp/evil"), "/tmp/evil would lie outside"),
    "a link": (entry("evil", stat.S_IFLNK | 0o777), "evil is a link or a device"),
    "a pipe": (entry("evil", stat.S_IFIFO | 0o666), "evil is a link or a device"),
}


@pytest.mark.parametrize(("bad", "message"), BAD.values(), ids=BAD)
def test_an_entry_that_is_no_file_within_the_folder_is_refused(
    bad: zipfile.ZipInfo, message: str, tmp_path: Path
) -> None:
    path = written(
        tmp_path / "model.zip", (entry("model/vocab.json"), b"{}"), (bad, b"/etc/passwd")
    )
    with pytest.raises(InputError, match=message):
        unpack(path, tmp_path / "a" / "b")
    assert [each for each in tmp_path.rglob("*") if each.is_file() or each.is_symlink()] == [path]


def test_an_archive_that_would_fill_the_disk_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("zeros", "w") as stream,
    ):
        for _ in range(300):
            stream.write(bytes(1 << 20))
    with pytest.raises(InputError, match="would be unpacked to 314,572,800; nothing was"):
        unpack(path, tmp_path / "folder")


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut short": lambda data: data[:-30],
    "empty": lambda data: b"",
    "a changed byte": lambda data: data.replace(b"0123456789", b"0123456788"),
    "text": lambda data: b"not an archive\n",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_archive_is_named(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/weights", b"0123456789" * 20)
        archive.writestr("model/more", b"0")
    path.write_bytes(damage(path.read_bytes()))
    assert is_archive(path)
    with pytest.raises(InputError, match=r"model\.zip is damaged"):
        unpack(path, tmp_path / "folder")


def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = written(tmp_path / "twice.zip", (entry("a"), b"1"), (entry("a"), b"2"))
    with pytest.raises(InputError, match="two entries for a"):
        unpack(path, tmp_path / "folder")


def test_archives_of_arrays_and_tensors_are_models_and_not_unpacked(tmp_path: Path) -> None:
    np.savez(tmp_path / "model.npz", weight=np.zeros(3))
    assert not is_archive(tmp_path / "model.npz")
    path = written(tmp_path / "pytorch_model.bin", (entry("model/data.pkl"), b""))
    assert not is_archive(path)
    assert is_archive(written(tmp_path / "opus", (entry("model.npz"), b"")))


def test_the_one_folder_in_an_archive_is_the_model(tmp_path: Path) -> None:
    path = written(tmp_path / "argos", (entry("translate-1/model/a"), b"1"), (entry("x/"), b""))
    assert unpack(path, tmp_path / "one") == tmp_path / "one" / "translate-1"
    path = written(tmp_path / "flat", (entry("a"), b"1"), (entry("b"), b"2"))
    assert unpack(path, tmp_path / "two") == tmp_path / "two"
