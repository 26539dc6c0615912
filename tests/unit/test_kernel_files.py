"""A file of kernels that is damaged or of another version is refused; it never ends the process."""

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seq2seq_cli.errors import InputError
from seq2seq_cli.kernels import library as kernels
from seq2seq_cli.kernels import stamp

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not kernels.usable_builds(), reason="files of Linux are examined"
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A file of kernels that a test may damage."""
    path = tmp_path / "scalar.so"
    original = kernels.build_file("scalar")
    assert original is not None
    shutil.copy(original, path)
    stamp.seal(path)
    return path


def test_a_whole_file_of_this_version_is_loaded(copy: Path) -> None:
    library = kernels.PROCESSOR.bind(kernels.load(copy))
    assert library.processor_runs(b"scalar")
    assert not library.processor_runs(b"z80")


@pytest.mark.parametrize("share", [0, 0.00001, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_is_refused_before_it_is_loaded(copy: Path, share: float) -> None:
    content = copy.read_bytes()
    copy.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"it is damaged.*SEQ2SEQ_NATIVE=off"):
        kernels.load(copy)


@pytest.mark.parametrize("share", [0.001, 0.25, 0.5, 0.75, 0.999])
def test_a_file_in_which_a_bit_differs_is_refused(copy: Path, share: float) -> None:
    content = bytearray(copy.read_bytes())
    content[int(share * len(content))] ^= 8
    copy.write_bytes(content)
    with pytest.raises(InputError, match="it is damaged"):
        kernels.load(copy)


@pytest.mark.parametrize("content", [b"", b"text\n", b"\x7fELF\x02" + bytes(200)])
def test_a_file_that_is_something_else_is_refused(copy: Path, content: bytes) -> None:
    copy.write_bytes(content)
    with pytest.raises(InputError, match=r"it (is damaged|cannot be loaded)"):
        kernels.load(copy)


def test_a_file_for_another_family_of_processors_is_refused(copy: Path) -> None:
    content = bytearray(copy.read_bytes()[: -stamp.SEAL_BYTES])
    content[18] = 62 if platform.machine() == "aarch64" else 183  # e_machine
    copy.write_bytes(content)
    stamp.seal(copy)
    with pytest.raises(InputError, match="it cannot be loaded"):
        kernels.load(copy)


def test_a_file_of_another_version_is_refused(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "expected_stamp", lambda: 12345)
    monkeypatch.setattr(kernels, "is_of_these_sources", lambda path: False)
    with pytest.raises(InputError, match="it is of another version"):
        kernels.load(copy)


def test_a_file_sealed_where_python_declared_other_things_is_not_taken_on_trust(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = copy.read_bytes()[: -stamp.SEAL_BYTES]
    for checksum, trusted in ((stamp.sources(), True), (b"01234567", False)):
        monkeypatch.setattr(stamp, "sources", lambda checksum=checksum: checksum)
        copy.write_bytes(content)
        stamp.seal(copy)
        monkeypatch.undo()
        assert not stamp.is_damaged(copy)
        assert stamp.is_of_these_sources(copy) is trusted


def test_a_library_without_a_stamp_is_refused() -> None:
    """Such as those of versions before there were stamps: here one of the C library's."""
    [found] = [
        Path(line.split()[-1])
        for line in Path("/proc/self/maps").read_text().splitlines()
        if line.endswith("/libm.so.6")
    ][:1]
    with pytest.raises(InputError, match="it is of another version"):
        kernels.load(found)


def test_the_stamp_changes_with_the_version_and_with_what_python_declares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "seq2seq_cli"
    shutil.copytree(stamp.PACKAGE / "kernels", package / "kernels", ignore=lambda *_: ["simd"])
    shutil.copy(stamp.PACKAGE / "__init__.py", package)
    monkeypatch.setattr(stamp, "PACKAGE", package)
    stamps = {kernels.expected_stamp()}
    for file, old, new in (
        ("__init__.py", '__version__ = "', '__version__ = "9.'),
        ("kernels/library.py", "int32_t vectors_lanes();", "int64_t vectors_lanes();"),
        ("kernels/inference/decoding.py", "int32_t width, max_cached", "int32_t max, max_cached"),
    ):
        text = (package / file).read_text(encoding="utf-8")
        assert old in text
        (package / file).write_text(text.replace(old, new), encoding="utf-8")
        stamps.add(kernels.expected_stamp())
    assert len(stamps) == 4


def test_choosing_a_build_does_not_import_torch() -> None:
    code = "import sys; from seq2seq_cli.kernels import library; library.library()"
    code += "; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy"} & set(done.stdout.split())
