"""The file model.bin: what is written is read, in each version and type, and damage is named."""

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.ctranslate2.model_file import (
    TYPES,
    Variable,
    as_int8,
    as_int16,
    int8_scales,
    int16_scale,
    is_model_file,
    read_model_file,
    write_model_file,
)
from seq2seq_cli.kernels.arrays import Array, as_bfloat16

WEIGHT = np.array([[0.5, -2.0, 0.25], [0, 0, 0], [1e-3, 3, -3]], np.float32)


def _string(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"


def _old_file(version: int, arrays: Mapping[str, Array], aliases: Mapping[str, str]) -> bytes:
    """A file as converters wrote them: before version 4 with the size of an item as its type."""
    content = struct.pack("<I", version) + _string("TransformerSpec")
    content += struct.pack("<II", 3, len(arrays))
    for name, array in arrays.items():
        content += _string(name) + struct.pack("<B", array.ndim)
        content += struct.pack(f"<{array.ndim}I", *array.shape)
        if version >= 4:
            content += struct.pack("<BI", TYPES.index(array.dtype.name), array.nbytes)
        else:
            content += struct.pack("<BI", array.itemsize, array.size)
        content += array.tobytes()
    if version >= 3:
        content += struct.pack("<I", len(aliases))
        content += b"".join(_string(text) for pair in aliases.items() for text in pair)
    return content


@pytest.mark.parametrize("version", range(2, 7))
def test_each_version_is_read(version: int, tmp_path: Path) -> None:
    arrays = {
        "a/weight": as_int8(WEIGHT),
        "a/weight_scale": int8_scales(WEIGHT),
        "b/weight": np.int16([[1500, -250]]),  # without a scale: 1,000 in old files
        "heads": np.array(8, np.int8),
        "text": np.frombuffer(b"<s>", np.int8),
    }
    path = tmp_path / "model.bin"
    path.write_bytes(_old_file(version, arrays, {"c/weight": "a/weight"}))
    assert is_model_file(path)
    file = read_model_file(path)
    assert (file.version, file.specification, file.revision) == (version, "TransformerSpec", 3)
    np.testing.assert_allclose(file.floats("a/weight"), WEIGHT, atol=0.013)
    np.testing.assert_array_equal(file.floats("b/weight"), np.float32([[1.5, -0.25]]))
    assert file.variables["heads"].scalar() == 8
    assert file.variables["text"].numbers().tobytes() == b"<s>"
    assert ("c/weight" in file.variables) == (version >= 3)
    if version >= 3:  # an alias has the scale of what it stands for
        np.testing.assert_array_equal(file.floats("c/weight"), file.floats("a/weight"))


@pytest.mark.parametrize("kind", TYPES)
def test_what_is_written_is_read_in_each_type(kind: str, tmp_path: Path) -> None:
    numbers = as_bfloat16(WEIGHT) if kind == "bfloat16" else WEIGHT.astype(kind)
    path = tmp_path / "model.bin"
    write_model_file(path, {"b": Variable.of(numbers, kind)}, {"a": "b"})
    file = read_model_file(path)
    assert file.version == 6
    for name in ("a", "b"):
        assert file.variables[name].type == kind
        np.testing.assert_array_equal(file.variables[name].numbers(), numbers)
    if kind in ("float16", "bfloat16"):
        np.testing.assert_allclose(file.floats("b"), WEIGHT, rtol=2**-8)


def test_a_file_that_is_cut_off_anywhere_is_refused_with_the_place(tmp_path: Path) -> None:
    whole = _old_file(6, {"weight": WEIGHT, "heads": np.array(8, np.int16)}, {"a": "weight"})
    path = tmp_path / "model.bin"
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="cut off or damaged"):
            read_model_file(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="cannot be read"):
        read_model_file(path)
    with pytest.raises(InputError, match="is missing"):
        read_model_file(tmp_path / "none.bin")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        # A shape that would take 10 GB; its size in bytes, which is stored modulo 2**32.
        (struct.pack("<2I", 3, 3), struct.pack("<2I", 50_000, 50_000), "damaged"),
        (struct.pack("<2I", 3, 3), struct.pack("<2I", 2**31, 2**31 + 9), "damaged"),
        (b"\x02" + struct.pack("<2I", 3, 3), b"\xff" + struct.pack("<2I", 3, 3), "255 dimensions"),
        (struct.pack("<BI", 0, 36), struct.pack("<BI", 17, 36), "unknown type 17"),
        (struct.pack("<I", 6), struct.pack("<I", 7), "binary version 7"),
    ],
    ids=["large", "huge", "rank", "type", "version"],
)
def test_impossible_headers_are_refused(
    old: bytes, new: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.bin"
    content = _old_file(6, {"weight": WEIGHT}, {})
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        read_model_file(path)


@pytest.mark.parametrize("content", [b"", b"\x01" + bytes(15), b"PK\x03\x04" + bytes(60)])
def test_other_files_are_not_taken_for_models(content: bytes, tmp_path: Path) -> None:
    """The second one begins as a model of Firefox."""
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    assert not is_model_file(path)
    assert not is_model_file(tmp_path)


def test_weights_are_quantized_as_by_the_engine() -> None:
    specs = pytest.importorskip("ctranslate2", reason="the extra bench is not installed").specs
    generator = np.random.default_rng(1)
    weight = generator.normal(size=(5000, 3)).astype(np.float32)
    weight[7] = 0
    for kind, integers, scales in (
        ("int8", as_int8(weight), int8_scales(weight)),
        ("int16", as_int16(weight), int16_scale(weight)),
    ):
        layer = specs.common_spec.LinearSpec()
        layer.weight = weight.copy()
        layer.validate()
        layer.optimize(kind)
        np.testing.assert_array_equal(integers, layer.weight.numpy())
        np.testing.assert_array_equal(scales, layer.weight_scale.numpy())


def test_bfloat16_is_rounded_to_the_nearest_even() -> None:
    torch = pytest.importorskip("torch")
    numbers = np.random.default_rng(1).normal(size=999).astype(np.float32)
    numbers = np.concatenate((numbers, np.float32([0, -0.0, np.inf, 1 + 2**-8, 1 + 3 * 2**-8])))
    expected = torch.from_numpy(numbers).to(torch.bfloat16).view(torch.uint16).numpy()
    np.testing.assert_array_equal(as_bfloat16(numbers), expected)
