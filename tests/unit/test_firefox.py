"""Firefox's files: what is read of them, what is written, and that engines compute the same."""

import gzip
import struct
import sys
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentencepiece import SentencePieceProcessor

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import TransformerConfig, Vocabulary
from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.config.shapes import weight_shapes
from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.demo.splits import generate
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.firefox import reader as firefox
from seq2seq_cli.interop.firefox.lexical_shortlist import (
    LexicalShortlist,
    read_binary,
    read_text,
    write_binary,
    write_text,
)
from seq2seq_cli.interop.firefox.numpy_transformer import NumpyTransformer
from seq2seq_cli.interop.firefox.writer import write
from seq2seq_cli.interop.foreign_model import ForeignModel, StoredWeight
from seq2seq_cli.interop.marian.binary import (
    INTGEMM8,
    INTGEMM16,
    Item,
    plain,
    quantized,
    read_items,
    text_item,
    write_items,
)
from seq2seq_cli.interop.marian.weights import weight_table
from seq2seq_cli.interop.run_writer import write_run
from seq2seq_cli.kernels.arrays import Array
from seq2seq_cli.runs.origin import Origin
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.symbols import BOS, EOS, PIECES, UNK
from seq2seq_cli.tokenization.learning import train_tokenizer
from seq2seq_cli.translation import TranslationSettings, Translator

SIZES = {"width": 64, "heads": 4, "feed_forward": 128, "encoder_layers": 2, "decoder_layers": 2}
STUDENT: dict[str, Any] = {
    **{"norm": "post", "norm_epsilon": 1e-6, "sinusoids": "tensor2tensor", "zero_start": True},
    **{"output_bias": True, "decoder_attention": "ssru"},
    **{"alignment_layer": 1, "alignment_head": 0},
}
RUNS: dict[str, tuple[bool, dict[str, Any]]] = {
    "joint": (True, {}),
    "separate": (False, {}),
    "self-attention": (True, {"decoder_attention": "self", "activation": "swish"}),
}
PAIRS = generate(2000, 1)
LINES = [source for source, _ in PAIRS.test[:20]]
Run = Any


@pytest.fixture(scope="module")
def tokenizers() -> dict[bool, Tokenizers]:
    """Joint and separate vocabularies, whose sizes are not multiples of 8."""
    source, target = zip(*PAIRS.train[:500], strict=True)
    settings = TokenizerSettings(vocabulary_size=301, byte_fallback="off")
    joint = train_tokenizer([*source, *target], settings).tokenizer
    sides = [train_tokenizer(side, settings).tokenizer for side in (source, target)]
    return {True: Tokenizers(joint, joint), False: Tokenizers(*sides)}


@pytest.fixture(scope="module")
def run(tokenizers: dict[bool, Tokenizers], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Make a run of random weights, whose decoder starts from zeros, once for each of `RUNS`."""
    made: dict[str, RunFolder] = {}

    def make(name: str = "joint", **changed: Any) -> RunFolder:
        if name in made and not changed:
            return made[name]
        joint, settings = RUNS[name]
        config = TransformerConfig(**SIZES | STUDENT | settings | changed)
        folder = tmp_path_factory.mktemp("run") / "run"
        pieces = tokenizers[joint].vocabulary
        write_run(
            ForeignModel(
                config=config,
                tokenizers=tokenizers[joint],
                weights=random_weights(config, pieces),
                data=DataConfig(source=("texts/train.en",), target=("texts/train.de",)),
                origin=Origin(),
                shortlist=random_shortlist(pieces),
            ),
            folder,
        )
        if not changed:
            made[name] = RunFolder(folder)
        return RunFolder(folder)

    return make


def random_weights(config: TransformerConfig, sizes: Vocabulary) -> dict[str, StoredWeight]:
    draw = np.random.default_rng(1)
    weights = {}
    for name, shape in weight_shapes(config, sizes).items():
        scale = shape[-1] ** -0.5 if len(shape) == 2 else 0.1
        array = draw.normal(0, scale, shape).astype(np.float32)
        if name.endswith("norm.weight"):
            array += 1
        if name == "target_embedding.weight":
            array[BOS] = 0
        weights[name] = StoredWeight.of(array)
    return weights


def random_shortlist(sizes: Vocabulary) -> tuple[Array, Array]:
    draw = np.random.default_rng(2)
    translations = draw.integers(len(PIECES), sizes.target, (sizes.source, 5)).astype(np.int32)
    common = np.union1d(np.arange(len(PIECES)), draw.integers(4, sizes.target, 20))
    if sizes.joint:  # engines add the source's own tokens to its list
        translations[:, 0] = np.arange(sizes.source)
    translations[np.isin(translations, common)] = 0
    return translations, common.astype(np.int64)


@pytest.fixture
def exported(run: Run, tmp_path: Path) -> Any:
    """Export a run; returns the folder."""

    def export(name: str = "joint", quantization: str = "", **changed: Any) -> Path:
        folder = tmp_path / f"{name}-{quantization}"
        folder.mkdir()
        write(run(name, **changed), folder, quantization)
        return folder

    return export


def imported(folder: Path) -> RunFolder:
    run = RunFolder(folder.parent / f"{folder.name}-run")
    write_run(firefox.read(folder), run.path)
    return run


def translations(run: RunFolder, *, shortlist: bool = False) -> list[str]:
    settings = TranslationSettings(
        search=SearchOptions(beam=1),
        device="cpu",
        precision="float32",
        split_sentences="off",
        unknown="keep",
        shortlist=shortlist,
    )
    return [each.text for each in Translator.load(run.path, settings).translate(LINES)]


def model_file(folder: Path) -> Path:
    (found,) = folder.glob("model*")
    return found


def items_of(folder: Path) -> dict[str, Item]:
    return read_items(model_file(folder).read_bytes(), "model")


# What is written is what is read


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("shortlist", [False, True])
def test_an_exported_and_imported_run_translates_the_same(
    run: Run, exported: Any, name: str, shortlist: bool
) -> None:
    folder = exported(name, "float32")
    found = translations(imported(folder), shortlist=shortlist)
    assert found == translations(run(name), shortlist=shortlist)
    assert len(set(found)) > 10


@pytest.mark.parametrize(
    ("quantization", "kind", "most"), [("int8", INTGEMM8, 0.004), ("int16", INTGEMM16, 0.0005)]
)
@pytest.mark.parametrize("name", RUNS)
def test_rounded_weights_stay_near_and_are_rounded_once(
    run: Run, exported: Any, name: str, quantization: str, kind: int, most: float
) -> None:
    folder = exported(name, quantization)
    again = imported(folder)
    weights, rounded = run(name).load_plain_model().arrays, again.load_plain_model().arrays
    for each, array in weights.items():
        rows = slice(len(PIECES), len(array)) if "embedding" in each else slice(None)
        if array.ndim == 2:
            nearest = np.abs(rounded[each][rows] - array[rows]).max()
            assert nearest <= most * np.abs(array).max() + 0.0005
    twice = folder.parent / "twice"
    twice.mkdir()
    write(again, twice, quantization)
    first, second = items_of(folder), items_of(twice)
    assert first.keys() == second.keys()
    for each, item in first.items():
        if item.type == kind and not each.endswith("_QuantMultA"):
            np.testing.assert_array_equal(item.numbers(), second[each].numbers())


def test_names_of_files_tell_languages_and_sides(exported: Any) -> None:
    joint, separate = exported("joint"), exported("separate")
    names = {"config.yml", "lex.ende.s2t.bin", "model.ende.bin"}
    assert {path.name for path in joint.iterdir()} == names | {"vocab.ende.spm"}
    sides = {"srcvocab.ende.spm", "trgvocab.ende.spm"}
    assert {path.name for path in separate.iterdir()} == names | sides
    model = firefox.read(model_file(joint))  # the file alone finds its vocabulary
    assert model.data.source_language == "en"
    assert model.search == {"beam": 1}
    assert firefox.read(separate).tokenizers.is_joint is False


def test_sizes_of_whole_number_matrices_are_multiples_of_8(exported: Any) -> None:
    for name in RUNS:
        sizes = [item.shape for item in items_of(exported(name)).values() if item.is_quantized]
        assert all(size % 8 == 0 for shape in sizes for size in shape if shape != (1, 1))


# Engines compute the same


class IntegerTransformer(NumpyTransformer):
    """The arithmetic of engines with 8-bit products: inputs and weights are rounded to 8 bits."""

    def __init__(self, run: RunFolder, items: Mapping[str, Item]) -> None:
        model = run.load_plain_model()
        assert isinstance(model.config, TransformerConfig)
        super().__init__(model.config, model.arrays)
        self.items, self.table = items, weight_table(model.config, model.vocabulary)

    def linear(self, name: str, x: Array) -> Array:
        made = []
        for each in self.table[f"{name}.weight"].names:
            item, scale = self.items[each], self.items[f"{each}_QuantMultA"].values().reshape(())
            whole = np.clip(np.rint(x * scale), -127, 127).astype(np.int32)
            products = whole @ item.numbers().astype(np.int32).T
            made.append(products * (np.float32(1) / (scale * item.divisor())))
        result = np.concatenate(made, axis=-1)
        bias = self.weights.get(f"{name}.bias")
        if name == "target_embedding":  # from the vocabulary of the file to ours
            result = np.pad(result[:, 1:], ((0, 0), (3, 0)))[:, : len(self.weights["output.bias"])]
            result[:, EOS] = products[:, 0] * (np.float32(1) / (scale * item.divisor()))
        return result if bias is None else result + bias

    def greedy(self, source: Sequence[int]) -> tuple[list[int], float]:
        """The translation, and by how much the narrowest of its decisions was won."""
        encoded, found, narrowest = self.encode([*source, EOS]), [BOS], np.inf
        while len(found) <= 2 * (len(source) + 1) + 4:
            logits = self.logits(self.decode(found, encoded))[-1]
            logits[[0, UNK, BOS]] = -np.inf
            found.append(int(logits.argmax()))
            second, first = np.partition(logits, -2)[-2:]
            narrowest = min(narrowest, float(first - second))
            if found[-1] == EOS:
                return found[1:-1], narrowest
        return found[1:], narrowest


def fxtranslate(folder: Path, lines: Sequence[str]) -> list[str]:
    pytest.importorskip("fxtranslate")
    return firefox.translate_with_original(folder, lines, 1)


def test_another_engine_computes_what_the_file_says(run: Run, exported: Any) -> None:
    folder = exported("joint", "float32")
    theirs, ours = fxtranslate(folder, LINES), translations(imported(folder))
    # It ends endless translations, which random weights make, at another length.
    assert all(
        len(a) > 20 and (a.startswith(b) or b.startswith(a))
        for a, b in zip(theirs, ours, strict=True)
    )


@pytest.mark.parametrize("name", ["joint", "separate"])
def test_8_bit_products_of_another_engine_are_those_of_the_file(
    run: Run, exported: Any, name: str
) -> None:
    folder = exported(name, "int8")
    again = imported(folder)
    model, tokenizers = IntegerTransformer(again, items_of(folder)), again.load_tokenizers()
    lines = LINES[:8]
    found, narrowest = zip(*map(model.greedy, tokenizers.source.encode(lines)), strict=True)
    ours, theirs = tokenizers.target.decode(found), fxtranslate(folder, lines)
    # A number in the middle between two whole ones may be rounded to either: 0.02 in logits.
    is_clear = [margin > 0.03 for margin in narrowest]
    assert sum(is_clear) >= len(lines) // 2
    pairs = zip(ours, theirs, is_clear, strict=True)
    assert all(our == their for our, their, clear in pairs if clear)


def test_the_vocabulary_file_cuts_text_as_the_run_does(run: Run, exported: Any) -> None:
    for name in RUNS:
        folder = exported(name, "float32")
        file = next(iter(sorted([*folder.glob("vocab*"), *folder.glob("srcvocab*")])))
        theirs = SentencePieceProcessor(model_file=str(file))
        ours = run(name).load_tokenizers().source
        assert [theirs.encode(line, out_type=str) for line in LINES] == [
            ours.encode_as_pieces(line) for line in LINES
        ]


# Shortlists


def test_a_shortlist_is_the_same_in_both_forms() -> None:
    lists = [np.array(each, np.int64) for each in ([2, 1], [], [3, 0, 4], [1])]
    shortlist = LexicalShortlist(2, lists)
    pieces = ["</s>", "<unk>", "▁a", "b", "c"]
    binary = read_binary(write_binary(shortlist), 5, "lex")
    assert binary.first == 2
    assert [sorted(each.tolist()) for each in binary.lists] == [[1, 2], [], [0, 3, 4], [1]]
    lines = [*write_text(shortlist, pieces[:4], pieces), "b NULL 0.5", "unheard b 0.5", ""]
    numbers = {piece: number for number, piece in enumerate(pieces)}
    text = read_text(iter(lines), dict(islice(numbers.items(), 4)), numbers, "lex", first=2)
    assert [each.tolist() for each in text.lists] == [each.tolist() for each in lists]
    assert text.first == 2


def test_of_the_text_form_the_best_are_taken() -> None:
    lines = ["a x 0.1", "b x 0.6", "c x 0.3", "b x 0.2"]
    target = {"a": 0, "b": 1, "c": 2}
    text = read_text(iter(lines), {"x": 0}, target, "lex", best=2)
    assert [each.tolist() for each in text.lists] == [[1, 2]]
    with pytest.raises(InputError, match=r'lex, line 2: a target piece, .*: "a x"'):
        read_text(iter(["a x 0.5", "a x"]), {"x": 0}, target, "lex")


def test_a_text_shortlist_beside_a_model_is_read(run: Run, exported: Any) -> None:
    folder = exported()
    (binary,) = folder.glob("lex*")
    binary.unlink()
    tokenizers = run().load_tokenizers()
    piece = tokenizers.source.vocabulary[20]
    translation = tokenizers.target.vocabulary[290]
    (folder / "lex.s2t").write_text(f"{translation} {piece} 0.25\n")
    listed, common = firefox.read(folder).shortlist or (None, None)
    assert listed is not None
    assert {20, 290} <= {*listed[20], *common}


@pytest.mark.parametrize("change", ["shorter", "another byte", "other pieces"])
def test_a_damaged_shortlist_is_refused(change: str) -> None:
    data = bytearray(write_binary(LexicalShortlist(2, [np.arange(4), np.arange(3)])))
    if change == "shorter":
        del data[-4:]
    elif change == "another byte":
        data[-8] = 0
    size = 3 if change == "other pieces" else 1 << 30
    with pytest.raises(InputError, match="lex is damaged or was cut off: its "):
        read_binary(bytes(data), size, "lex")


# Files


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_compressed_files_are_read(run: Run, exported: Any, suffix: str) -> None:
    folder = exported("separate")
    expected = firefox.read(folder)
    for path in list(folder.iterdir()):
        if path.suffix == ".yml":
            continue
        if suffix == ".gz":
            data = gzip.compress(path.read_bytes(), 1)
        else:
            data = pytest.importorskip("zstandard").compress(path.read_bytes())
        path.with_name(path.name + suffix).write_bytes(data)
        path.unlink()
    assert firefox.recognises(folder)
    found = firefox.read(folder)
    for name, weight in expected.weights.items():
        np.testing.assert_array_equal(found.weights[name].read(), weight.read())
    assert found.shortlist is not None


def test_without_its_package_zstandard_is_refused_with_what_to_do(
    exported: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported()
    path = model_file(folder)
    path.with_name(path.name + ".zst").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(40))
    path.unlink()
    monkeypatch.setitem(sys.modules, "zstandard", None)
    assert firefox.recognises(folder)
    with pytest.raises(
        InputError, match=r"pip install zstandard installs it, or .*: zstd -d model"
    ):
        firefox.read(folder)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (struct.pack("<QQ", 2, 5), "version 2 of Marian's format is encrypted"),
        (struct.pack("<QQ", 3, 5), "version 3 of Marian's format is unknown"),
        (struct.pack("<QQ", 1, 1 << 60), "damaged or was cut off: it announces"),
        (struct.pack("<6Q", 1, 1, 1 << 40, 0x4101, 2, 64), "damaged or was cut off: it announces"),
        (struct.pack("<6Q", 1, 1, 2, 0x4101, 1 << 40, 64) + b"W\0", "has 1,099,511,627,776 dim"),
    ],
)
def test_a_header_that_cannot_be_is_refused_before_memory_is_taken(
    header: bytes, reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        read_items(header + bytes(100), "model.bin")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (0x0802, r"its item W is laid out for one kind of processor \(packed, type 0x0802\)"),
        (0x1801, r"processor \(packed"),
        (0xC101, r"processor \(intgemm"),
        (0x2040, "is of the unknown type 0x2040"),
    ],
)
def test_layouts_of_one_processor_are_refused_by_name(kind: int, reason: str) -> None:
    data = write_items([Item("W", kind, (2, 2), bytes(64))])
    with pytest.raises(InputError, match=reason):
        read_items(data, "model.bin")


def test_a_file_that_is_cut_off_anywhere_is_refused(exported: Any) -> None:
    items = [quantized("W", np.ones((8, 8))), plain("b", np.ones((1, 8))), text_item("t", "x: 1")]
    data = write_items(items)
    assert [*read_items(data, "whole")] == ["W", "b", "t"]
    for length in range(0, len(data) - 256):
        with pytest.raises(InputError, match=r"whole is damaged or was cut off|unknown"):
            read_items(data[:length], "whole")


def test_what_is_not_a_model_is_not_recognised(tmp_path: Path) -> None:
    for name, content in {
        "model.bin": b"PK\x03\x04" + bytes(60),  # PyTorch
        "ctranslate2.bin": struct.pack("<IH", 6, 16) + b"TransformerSpec\0" + bytes(40),
        "short.bin": b"\x01",
        "packed.bin.gz": b"\x1f\x8b" + bytes(60),
        "lex.s2t.bin": write_binary(LexicalShortlist(0, [np.arange(3)])),
    }.items():
        (tmp_path / name).write_bytes(content)
        assert not firefox.recognises(tmp_path / name)
    assert not firefox.recognises(tmp_path)
    assert not firefox.recognises(tmp_path / "nothing")


def test_files_that_are_missing_or_too_many_are_named(exported: Any) -> None:
    folder = exported()
    vocabulary = folder / "vocab.ende.spm"
    (folder / "vocab.enfr.spm").write_bytes(vocabulary.read_bytes())
    with pytest.raises(InputError, match=r"more than one vocabulary, vocab\.spm, \(vocab\.ende"):
        firefox.read(folder)
    (folder / "vocab.enfr.spm").unlink()
    vocabulary.unlink()
    with pytest.raises(InputError, match=r"it has no vocabulary, vocab\.spm, file"):
        firefox.read(folder)


@pytest.mark.parametrize(
    ("changed", "quantization", "reason"),
    [
        ({"norm": "pre"}, "", 'model.norm = "pre" cannot be exported'),
        ({"sinusoids": "halves"}, "", 'model.sinusoids = "halves" cannot be exported'),
        ({"decoder_attention": "average"}, "", 'model.decoder_attention = "average" cannot'),
        ({"width": 32}, "", "model.width = 32 cannot be exported: .* multiples of 64"),
        ({"tie_output": False}, "", "model.tie_output = false cannot be exported"),
        ({"embedding_norm": True}, "", "model.embedding_norm = true cannot be exported"),
        ({}, "int4", "--quantization int4: int8, int16, float32 are allowed"),
    ],
)
def test_what_firefox_does_not_have_is_refused_by_setting(
    exported: Any, changed: dict[str, Any], quantization: str, reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        exported("joint", quantization, **changed)
