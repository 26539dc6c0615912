"""CTranslate2 models as runs, and runs as CTranslate2 models."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.errors import InputError
from seq2seq_cli.inference.positions import sinusoids
from seq2seq_cli.interop.ctranslate2 import reader as ctranslate2
from seq2seq_cli.interop.ctranslate2.model_file import (
    Variable,
    read_model_file,
)
from seq2seq_cli.interop.ctranslate2.writer import write_model
from seq2seq_cli.interop.foreign_model import widened
from seq2seq_cli.interop.formats import export_run
from seq2seq_cli.interop.position_tables import Sinusoids, recognised_sinusoids
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.tokenization.tokenizer import Tokenizer
from seq2seq_cli.translation.importing import ImportRequest, import_model
from tests.unit.ctranslate2_models import (
    change_variables,
    foreign_model,
    plain_model,
    random_lines,
    sentencepiece_model,
    translate,
    weights_of,
)


@pytest.fixture(scope="module")
def models() -> tuple[bytes, bytes]:
    """The SentencePiece models of two sides."""
    return sentencepiece_model(40, 1), sentencepiece_model(36, 2)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"norm": "post", "activation": "gelu"},
        {"normalisation": "rms", "activation": "swiglu", "norm_epsilon": 1e-6},
        {"positions": "learned", "max_positions": 4},
        {"positions": "rotary"},
        {"output_bias": True, "tie_output": False, "activation": "gelu-tanh"},
        {"sinusoids": "tensor2tensor", "first_position": 2, "activation": "gelu-sigmoid"},
        {"sinusoids": "interleaved", "embedding_norm": True, "scale_embeddings": False},
        {"tie_source": False, "alignment_layer": 0, "alignment_head": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("sides", ["joint", "separate"])
def test_an_exported_run_is_imported_as_it_was(
    options: dict[str, object], sides: str, models: tuple[bytes, bytes], tmp_path: Path
) -> None:
    source, target = map(Tokenizer.from_bytes, models)
    tokenizers = Tokenizers(source, source if sides == "joint" else target)
    model = plain_model(options, tokenizers)
    data = DataConfig(max_length=77, source_language="en")
    notes = write_model(model, tokenizers, data, tmp_path, "")
    assert bool(notes) == (options.get("alignment_head") == 3)
    assert ctranslate2.recognises(tmp_path)
    found = ctranslate2.read(tmp_path)
    expected = model.config
    if sides == "separate":
        expected = replace(expected, tie_source=True)  # what separate lists cannot show
    assert found.config == expected
    assert found.data == data
    assert found.tokenizers.vocabulary == tokenizers.vocabulary
    for ours, theirs in (("source", source), ("target", tokenizers.target)):
        tokenizer = getattr(found.tokenizers, ours)
        assert tokenizer.vocabulary == theirs.vocabulary
        lines = [*random_lines(50, 3), "unknown ☃ ﬁ  ", ""]
        assert tokenizer.encode(lines) == theirs.for_side(ours).encode(lines)
    weights = weights_of(found)
    assert weights.keys() == model.arrays.keys()
    for name, array in model.arrays.items():
        np.testing.assert_array_equal(weights[name], array, err_msg=name)


@pytest.mark.parametrize(
    ("quantization", "kind", "tolerance"),
    [
        ("float16", "F16", 1e-3),
        ("bfloat16", "BF16", 2**-8),
        ("int16", "F32", 2**-10),
        ("int8", "F32", 1 / 127),
        ("int8_float16", "F16", 1 / 100),
    ],
)
def test_weights_of_other_types_become_floats(
    quantization: str, kind: str, tolerance: float, models: tuple[bytes, bytes], tmp_path: Path
) -> None:
    tokenizers = Tokenizers(*map(Tokenizer.from_bytes, models))
    model = plain_model({}, tokenizers)
    write_model(model, tokenizers, DataConfig(), tmp_path, quantization)
    found = ctranslate2.read(tmp_path)
    assert not found.config.output_bias  # what forbids symbols is rounded, and recognised
    for name, array in weights_of(found).items():
        greatest = np.abs(model.arrays[name]).max()
        np.testing.assert_allclose(array, model.arrays[name], atol=tolerance * greatest, rtol=0)
        if array.ndim == 2:
            assert found.weights[name].dtype == kind
            blocks = list(found.weights[name].blocks())
            np.testing.assert_array_equal(widened(np.concatenate(blocks)), array)


def test_an_unknown_type_is_refused_with_those_that_are_known(
    models: tuple[bytes, bytes], tmp_path: Path
) -> None:
    tokenizers = Tokenizers(*map(Tokenizer.from_bytes, models))
    with pytest.raises(InputError, match="--quantization int4: one of float32, float16"):
        write_model(plain_model({}, tokenizers), tokenizers, DataConfig(), tmp_path, "int4")


EXPECTED: dict[str, dict[str, object]] = {
    "marian": {"norm": "post", "activation": "swish", "zero_start": True, "output_bias": True},
    "opennmt-py": {"sinusoids": "interleaved", "first_position": 0, "tie_output": False},
    "opennmt-tf": {"sinusoids": "tensor2tensor", "first_position": 1, "alignment_head": "all"},
    "m2m": {"sinusoids": "tensor2tensor", "first_position": 2, "tie_source": True},
    "mbart": {"positions": "learned", "embedding_norm": True, "scale_embeddings": False},
    "eole": {"normalisation": "rms", "activation": "swiglu", "norm_epsilon": 1e-6},
}


@pytest.mark.parametrize(
    ("kind", "quantization"),
    [(kind, None) for kind in EXPECTED] + [("marian", "int8"), ("m2m", "float16")],
)
def test_imported_models_translate_as_the_engine(
    kind: str, quantization: str | None, models: tuple[bytes, bytes], tmp_path: Path
) -> None:
    folder, run = tmp_path / "model", tmp_path / "run"
    foreign_model(kind, folder, models, quantization)
    import_model(ImportRequest(str(folder)), run)
    loaded = RunFolder(run)
    config, data = loaded.load_config().model, loaded.load_config().data
    assert {name: getattr(config, name) for name in EXPECTED[kind]} == EXPECTED[kind]
    assert data.source_eos == (kind not in ("opennmt-py", "eole"))
    assert data.max_length == {"mbart": 199, "opennmt-tf": 512, "eole": 512, "m2m": 297}.get(
        kind, 299
    )
    lines = [*random_lines(40, 7), "ab ☃ cab"]
    for beam, least in ((1, 41), (4, 15)):  # beams of both end by other rules
        found = translate(run, lines, beam)
        theirs = ctranslate2.translate_with_original(folder, lines, beam)
        assert len(set(theirs)) > 10
        equal = sum(one.split() == other.split() for one, other in zip(found, theirs, strict=True))
        assert equal >= least, (beam, equal)


@pytest.mark.parametrize("times", [1, 2])
def test_languages_of_both_sides_are_told_as_the_engine_is(
    times: int, models: tuple[bytes, bytes], tmp_path: Path
) -> None:
    """Also once the model has been exported and imported again."""
    folder, run = tmp_path / "model", tmp_path / "run"
    foreign_model("nllb", folder, models)
    import_model(ImportRequest(str(folder)), run)
    lines = random_lines(30, 7)
    tags = ("eng_Latn", "fra_Latn")
    tagged = [f"<2{tags[1]}> <2{tags[0]}> {line}" for line in lines]
    theirs = ctranslate2.translate_with_original(folder, tagged, 1)
    if times == 2:
        export_run(run, tmp_path / "again", "ctranslate2")
        import_model(ImportRequest(str(tmp_path / "again")), tmp_path / "run2")
        run = tmp_path / "run2"
    languages = {"source_language": tags[0], "target_language": tags[1]}
    assert RunFolder(run).load_config().data.language_tags == "both"
    found = translate(run, lines, 1, **languages)
    other = translate(run, lines, 1, source_language=tags[1], target_language=tags[0])
    assert found != other
    assert [each.split() for each in found] == [each.split() for each in theirs]
    with pytest.raises(InputError, match="no tag of the language 'deu_Latn'; give one of eng_Latn"):
        ctranslate2.translate_with_original(folder, ["<2deu_Latn> <2eng_Latn> ab"], 1)


def test_a_model_that_is_exported_and_imported_again_translates_to_the_same_bytes(
    models: tuple[bytes, bytes], tmp_path: Path
) -> None:
    foreign_model("marian", tmp_path / "model", models)
    first, second = tmp_path / "first", tmp_path / "second"
    import_model(ImportRequest(str(tmp_path / "model")), first)
    run, exported = RunFolder(first), tmp_path / "exported"
    exported.mkdir()
    write_model(run.load_plain_model(), run.load_tokenizers(), run.load_config().data, exported, "")
    import_model(ImportRequest(str(exported)), second)
    assert RunFolder(second).load_config() == run.load_config()
    lines = random_lines(40, 8)
    for beam in (1, 4):
        found = translate(first, lines, beam)
        assert found == translate(second, lines, beam)
    original = ctranslate2.translate_with_original(exported, lines, 1)
    for one, other in zip(translate(first, lines, 1), original, strict=True):
        assert one.split() == other.split()


def test_a_model_of_the_first_versions_is_the_same_as_a_new_one(
    models: tuple[bytes, bytes], tmp_path: Path
) -> None:
    """Its attributes are of both sides at once, its settings in the model, its lists are text."""
    tokenizer = Tokenizer.from_bytes(models[0])
    model = plain_model({}, Tokenizers(tokenizer, tokenizer))
    new, old = tmp_path / "new", tmp_path / "old"
    for folder in (new, old):
        folder.mkdir()
        write_model(model, Tokenizers(tokenizer, tokenizer), DataConfig(), folder, "")
    file = read_model_file(old / "model.bin")
    variables = {}
    for name, variable in file.variables.items():
        side, _, last = name.partition("/")
        if last in ("num_heads", "pre_norm", "activation", "alignment_layer", "alignment_heads"):
            variables[last] = variable
        elif last == "scale_embeddings":
            name = {"encoder": "embeddings_0", "decoder": "embeddings"}[side]
            variables[f"{side}/{name}/multiply_by_sqrt_depth"] = variable
        elif last not in ("multi_query_attention", "start_from_zero_embedding"):
            variables[name] = variable
    variables["with_source_eos"] = Variable.of(np.array(1, np.int8))
    (old / "model.bin").write_bytes(_version_2(variables))
    (old / "config.json").unlink()
    pieces = json.loads((old / "shared_vocabulary.json").read_text())
    (old / "shared_vocabulary.json").unlink()
    (old / "shared_vocabulary.txt").write_bytes("".join(f"{p}\r\n" for p in pieces).encode())
    expected, found = ctranslate2.read(new), ctranslate2.read(old)
    assert found.config == replace(expected.config, alignment_layer=1)
    assert found.tokenizers.target.vocabulary == expected.tokenizers.target.vocabulary
    weights = weights_of(expected)
    for name, array in weights_of(found).items():
        np.testing.assert_array_equal(array, weights[name], err_msg=name)


def _version_2(variables: Mapping[str, Variable]) -> bytes:
    """A file without aliases, whose types are sizes."""

    def text(name: str) -> bytes:
        return (len(name) + 1).to_bytes(2, "little") + name.encode() + b"\0"

    content = (2).to_bytes(4, "little") + text("TransformerSpec") + (3).to_bytes(4, "little")
    content += len(variables).to_bytes(4, "little")
    for name, variable in variables.items():
        numbers = variable.numbers()
        content += text(name) + bytes([numbers.ndim])
        content += np.array(numbers.shape, "<u4").tobytes() + bytes([numbers.itemsize])
        content += numbers.size.to_bytes(4, "little") + numbers.tobytes()
    return content


@pytest.mark.parametrize("form", ["halves", "tensor2tensor", "interleaved"])
@pytest.mark.parametrize("first", [0, 1, 2])
def test_tables_of_sinusoids_are_recognised(form: str, first: int) -> None:
    table = sinusoids(1000, 64, form)[first:]
    assert recognised_sinusoids(table) == Sinusoids(form, first)
    assert recognised_sinusoids(table.astype(np.float16).astype(np.float32)) is not None
    trained = table.copy()
    trained[700, 3] += 0.1
    assert recognised_sinusoids(trained) is None


def test_pairs_of_neighbours_are_rotated_as_halves(
    models: tuple[bytes, bytes], tmp_path: Path
) -> None:
    """The engine rotates neighbours if `rotary_interleave` says so."""
    pytest.importorskip("ctranslate2", reason="the extra bench is not installed")
    tokenizer = Tokenizer.from_bytes(models[0])
    model = plain_model({"positions": "rotary"}, Tokenizers(tokenizer, tokenizer))
    write_model(model, Tokenizers(tokenizer, tokenizer), DataConfig(), tmp_path, "")

    def change(variables: dict[str, Variable]) -> None:
        for name in variables:
            if name.endswith("rotary_interleave"):
                variables[name] = Variable.of(np.array(1, np.int8))

    change_variables(tmp_path, change)
    import_model(ImportRequest(str(tmp_path)), tmp_path / "run")
    lines = random_lines(20, 5)
    theirs = ctranslate2.translate_with_original(tmp_path, lines, 1)
    assert translate(tmp_path / "run", lines, 1) == theirs
