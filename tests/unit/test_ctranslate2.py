"""CTranslate2 models and Argos packages as runs, and runs as CTranslate2 models."""

import io
import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import model_config
from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.config.shapes import weight_shapes
from seq2seq_cli.errors import InputError
from seq2seq_cli.inference.plain_model import PlainModel
from seq2seq_cli.inference.positions import sinusoids
from seq2seq_cli.interop import argos
from seq2seq_cli.interop.ctranslate2 import reader as ctranslate2
from seq2seq_cli.interop.ctranslate2.model_file import (
    Variable,
    as_int8,
    read_model_file,
    write_model_file,
)
from seq2seq_cli.interop.ctranslate2.writer import write_model
from seq2seq_cli.interop.foreign_model import ForeignModel, widened
from seq2seq_cli.interop.formats import export_run
from seq2seq_cli.interop.position_tables import Sinusoids, recognised_sinusoids
from seq2seq_cli.kernels.arrays import Array
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.tokenization.tokenizer import Tokenizer
from seq2seq_cli.translation.importing import ImportRequest, import_model
from seq2seq_cli.translation.settings import TranslationSettings
from seq2seq_cli.translation.translator import Translator

WORDS = [*("ab", "abc", "bca", "cab", "dabc", "ddd", "fa", "ga", "ha", "hi", "ho", "hu")]
WORDS += [*"abcdefg"]
SIZES = {"architecture": "transformer", "width": 32, "heads": 4, "feed_forward": 48}
SIZES |= {"encoder_layers": 2, "decoder_layers": 2}


def _lines(count: int, seed: int) -> list[str]:
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(WORDS, size=generator.integers(1, 9))) for _ in range(count)]


def _sentencepiece(size: int, seed: int) -> bytes:
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_lines(300, seed)),
        model_writer=written,
        vocab_size=size,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return written.getvalue()


@pytest.fixture(scope="module")
def models() -> tuple[bytes, bytes]:
    """The SentencePiece models of two sides."""
    return _sentencepiece(40, 1), _sentencepiece(36, 2)


# Out of a run, and in again


def _plain_model(options: Mapping[str, object], tokenizers: Tokenizers) -> PlainModel:
    config = model_config(SIZES | dict(options))
    generator = np.random.default_rng(1)
    arrays = {
        name: generator.normal(size=shape).astype(np.float32)
        for name, shape in weight_shapes(config, tokenizers.vocabulary).items()
    }
    if "output.bias" in arrays:
        arrays["output.bias"][:3] = 0  # of symbols that are never written
    return PlainModel(config, tokenizers.vocabulary, arrays)


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
    model = _plain_model(options, tokenizers)
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
        lines = [*_lines(50, 3), "unknown ☃ ﬁ  ", ""]
        assert tokenizer.encode(lines) == theirs.for_side(ours).encode(lines)
    weights = _weights(found)
    assert weights.keys() == model.arrays.keys()
    for name, array in model.arrays.items():
        np.testing.assert_array_equal(weights[name], array, err_msg=name)


def _weights(model: ForeignModel) -> dict[str, Array]:
    read = {name: weight.read() for name, weight in model.weights.items()}
    assert all(array.shape == model.weights[name].shape for name, array in read.items())
    return {name: widened(array) for name, array in read.items()}


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
    model = _plain_model({}, tokenizers)
    write_model(model, tokenizers, DataConfig(), tmp_path, quantization)
    found = ctranslate2.read(tmp_path)
    assert not found.config.output_bias  # what forbids symbols is rounded, and recognised
    for name, array in _weights(found).items():
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
        write_model(_plain_model({}, tokenizers), tokenizers, DataConfig(), tmp_path, "int4")


# Models of other toolkits, as the package's converters make them


def _fill(spec: Any, sizes: tuple[int, int], tied: bool, eos: int) -> None:
    """Give all weights of a specification random numbers."""
    generator = np.random.default_rng(3)
    width, inner = SIZES["width"], SIZES["feed_forward"]

    def numbers(*shape: int, scale: float = 0.1) -> Array:
        return (generator.normal(size=shape) * scale).astype(np.float32)

    def linear(layer: Any, outputs: int, inputs: int) -> None:
        layer.weight = numbers(outputs, inputs, scale=2 * inputs**-0.5)  # so that input matters
        layer.bias = numbers(outputs)

    def norm(layer: Any) -> None:
        layer.gamma = 1 + numbers(width)
        if hasattr(layer, "beta"):
            layer.beta = numbers(width)

    def attention(layer: Any, *outputs: int) -> None:
        norm(layer.layer_norm)
        for part, size in zip(layer.linear, outputs, strict=True):
            linear(part, size, width)

    embeddings = [numbers(size, width, scale=width**-0.5) for size in sizes]
    spec.encoder.embeddings[0].weight = embeddings[0]
    spec.decoder.embeddings.weight = embeddings[0] if tied else embeddings[1]
    spec.decoder.projection.weight = spec.decoder.embeddings.weight if tied else embeddings[1] * 2
    spec.decoder.projection.bias = numbers(sizes[1])
    spec.decoder.projection.bias[eos] = -4 if tied else 0  # a tied one would follow a start of EOS
    for side in (spec.encoder, spec.decoder):
        for layer in side.layer:
            attention(layer.self_attention, 3 * width, width)
            if side is spec.decoder:
                attention(layer.attention, width, 2 * width, width)
            norm(layer.ffn.layer_norm)
            linear(layer.ffn.linear_0, inner, width)
            linear(layer.ffn.linear_1, width, inner)
            if hasattr(layer.ffn, "linear_0_noact"):
                linear(layer.ffn.linear_0_noact, inner, width)
        for name in ("layer_norm", "layernorm_embedding"):
            if hasattr(side, name):
                norm(getattr(side, name))


def _pieces(model: bytes) -> list[str]:
    loaded = sentencepiece.SentencePieceProcessor(model_proto=model)
    ids = range(len(loaded))
    return [loaded.IdToPiece(i) for i in ids if not loaded.IsControl(i) and not loaded.IsUnknown(i)]


def _foreign_model(
    kind: str, folder: Path, models: tuple[bytes, bytes], quantization: str | None = None
) -> None:
    """Write a model as the converter from a toolkit does, with its SentencePiece models."""
    package = pytest.importorskip("ctranslate2", reason="the extra bench is not installed")
    specs = package.specs
    activation = specs.Activation
    options: dict[str, Any] = {
        "marian": {"pre_norm": False, "activation": activation.SWISH},
        "opennmt-py": {"activation": activation.RELU},
        "opennmt-tf": {"activation": activation.GELUTanh, "alignment_heads": 0},
        "m2m": {"activation": activation.RELU},
        "nllb": {"activation": activation.RELU},
        "mbart": {"activation": activation.GELU, "layernorm_embedding": True},
        "eole": {"activation": activation.SWISH, "ffn_glu": True, "rms_norm": True},
    }[kind]
    spec = specs.TransformerSpec.from_config((2, 2), SIZES["heads"], **options)
    source, target = map(_pieces, models)
    files = {"source.spm": models[0], "target.spm": models[1]}
    if kind == "marian":
        lists = [["</s>", "<unk>", *sorted({*source, *target})]] * 2
    elif kind == "opennmt-py":
        front = ["<unk>", "<blank>", "<s>", "</s>"]
        lists = [[*front, *source], [*front, *reversed(source)]]
        files = {"sentencepiece.model": models[0]}
    elif kind == "opennmt-tf":
        front = ["<blank>", "<s>", "</s>"]
        lists = [[*front, *source, "<unk>"], [*front, *target, "<unk>"]]
    else:
        last = ["eng_Latn", "fra_Latn", "<mask>"] if kind == "nllb" else ["madeupword0"]
        lists = [["<s>", "<pad>", "</s>", "<unk>", *source, *last]] * 2
        files = {"sentencepiece.bpe.model": models[0]}
    sizes = len(lists[0]), len(lists[1])
    _fill(spec, sizes, lists[0] == lists[1], lists[1].index("</s>"))
    width = int(SIZES["width"])
    tables: dict[str, Array] = {
        "marian": sinusoids(300, width, "halves"),
        "opennmt-py": sinusoids(300, width, "interleaved"),
        "m2m": sinusoids(300, width, "tensor2tensor")[2:],
        "nllb": sinusoids(300, width, "tensor2tensor")[2:],
        "mbart": np.random.default_rng(9).normal(size=(200, width)).astype(np.float32),
    }
    for side in (spec.encoder, spec.decoder):
        if kind in tables:
            side.position_encodings.encodings = tables[kind].copy()
        side.scale_embeddings = {"mbart": 1.0, "m2m": width**0.5}.get(kind, True)
    spec.decoder.start_from_zero_embedding = kind == "marian"
    starts_from_eos = kind in ("marian", "m2m", "nllb", "mbart")
    spec.config.decoder_start_token = "</s>" if starts_from_eos else "<s>"
    spec.config.add_source_eos = kind in ("marian", "opennmt-tf")
    spec.register_source_vocabulary(lists[0])
    spec.register_target_vocabulary(lists[1])
    spec.validate()
    spec.optimize(quantization)
    folder.mkdir(exist_ok=True)
    spec.save(str(folder))
    for name, model in files.items():
        (folder / name).write_bytes(model)


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
    _foreign_model(kind, folder, models, quantization)
    import_model(ImportRequest(str(folder)), run)
    loaded = RunFolder(run)
    config, data = loaded.load_config().model, loaded.load_config().data
    assert {name: getattr(config, name) for name in EXPECTED[kind]} == EXPECTED[kind]
    assert data.source_eos == (kind not in ("opennmt-py", "eole"))
    assert data.max_length == {"mbart": 199, "opennmt-tf": 512, "eole": 512, "m2m": 297}.get(
        kind, 299
    )
    lines = [*_lines(40, 7), "ab ☃ cab"]
    for beam, least in ((1, 41), (4, 15)):  # beams of both end by other rules
        found = _translate(run, lines, beam)
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
    _foreign_model("nllb", folder, models)
    import_model(ImportRequest(str(folder)), run)
    lines = _lines(30, 7)
    tags = ("eng_Latn", "fra_Latn")
    tagged = [f"<2{tags[1]}> <2{tags[0]}> {line}" for line in lines]
    theirs = ctranslate2.translate_with_original(folder, tagged, 1)
    if times == 2:
        export_run(run, tmp_path / "again", "ctranslate2")
        import_model(ImportRequest(str(tmp_path / "again")), tmp_path / "run2")
        run = tmp_path / "run2"
    languages = {"source_language": tags[0], "target_language": tags[1]}
    assert RunFolder(run).load_config().data.language_tags == "both"
    found = _translate(run, lines, 1, **languages)
    other = _translate(run, lines, 1, source_language=tags[1], target_language=tags[0])
    assert found != other
    assert [each.split() for each in found] == [each.split() for each in theirs]
    with pytest.raises(InputError, match="no tag of the language 'deu_Latn'; give one of eng_Latn"):
        ctranslate2.translate_with_original(folder, ["<2deu_Latn> <2eng_Latn> ab"], 1)


def _translate(run: Path, lines: list[str], beam: int, **more: Any) -> list[str]:
    settings = TranslationSettings(
        search=SearchOptions(beam=beam, length_penalty="power"),
        device="cpu",
        precision="float32",
        split_sentences="off",
        unknown="keep",
        **more,
    )
    return [each.text for each in Translator.load(run, settings).translate(lines)]


def test_a_model_that_is_exported_and_imported_again_translates_to_the_same_bytes(
    models: tuple[bytes, bytes], tmp_path: Path
) -> None:
    _foreign_model("marian", tmp_path / "model", models)
    first, second = tmp_path / "first", tmp_path / "second"
    import_model(ImportRequest(str(tmp_path / "model")), first)
    run, exported = RunFolder(first), tmp_path / "exported"
    exported.mkdir()
    write_model(run.load_plain_model(), run.load_tokenizers(), run.load_config().data, exported, "")
    import_model(ImportRequest(str(exported)), second)
    assert RunFolder(second).load_config() == run.load_config()
    lines = _lines(40, 8)
    for beam in (1, 4):
        found = _translate(first, lines, beam)
        assert found == _translate(second, lines, beam)
    original = ctranslate2.translate_with_original(exported, lines, 1)
    for one, other in zip(_translate(first, lines, 1), original, strict=True):
        assert one.split() == other.split()


# Old versions


def test_a_model_of_the_first_versions_is_the_same_as_a_new_one(
    models: tuple[bytes, bytes], tmp_path: Path
) -> None:
    """Its attributes are of both sides at once, its settings in the model, its lists are text."""
    tokenizer = Tokenizer.from_bytes(models[0])
    model = _plain_model({}, Tokenizers(tokenizer, tokenizer))
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
    weights = _weights(expected)
    for name, array in _weights(found).items():
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


# What cannot be held


@pytest.fixture
def exported(models: tuple[bytes, bytes], tmp_path: Path) -> Path:
    """The folder of a sound model."""
    tokenizers = Tokenizers(*map(Tokenizer.from_bytes, models))
    folder = tmp_path / "model"
    folder.mkdir()
    write_model(_plain_model({}, tokenizers), tokenizers, DataConfig(), folder, "")
    return folder


def _change(folder: Path, change: Callable[[dict[str, Variable]], object]) -> None:
    file = read_model_file(folder / "model.bin")
    variables = {name: Variable.of(each.numbers().copy()) for name, each in file.variables.items()}
    change(variables)
    write_model_file(folder / "model.bin", variables, {})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("encoder/layer_0/self_attention/relative_position_keys", np.ones((9, 8)), "relative pos"),
        ("decoder/layer_1/self_attention/relative_attention_bias", np.ones((32, 4)), "T5"),
        ("decoder/layer_0/self_attention/num_heads_kv", 1, "multi-query attention"),
        ("decoder/layer_0/self_attention/head_dim", 16, "heads of other width"),
        ("decoder/layer_0/self_attention/queries_scale", 1.0, "another scale of queries"),
        ("decoder/layer_0/self_attention/rotary_scaling_type", 0, "scaled rotary positions"),
        ("decoder/layer_0/self_attention/sliding_window", 64, "sliding window"),
        ("decoder/layer_0/self_attention/q_norm/gamma", np.ones(8), "norms of queries"),
        ("decoder/alibi", 1, "ALiBi"),
        ("decoder/project_in/weight", np.ones((32, 16)), "a projection of the embedding"),
        ("decoder/scale_outputs", 0.5, "a scale of the output"),
        ("decoder/final_logit_softcapping", 30.0, "capped logits"),
        ("decoder/layer_0/ffn/experts_0/linear_0/weight", np.ones((4, 4)), "mixture of experts"),
        ("encoder/embeddings_1/weight", np.ones((9, 32)), "several features of a word"),
        ("encoder/layernorm_embedding/gamma", np.ones(32), "only one side"),
        ("encoder/pre_norm", 0, "pre_norm is 0 in the encoder and 1 in the decoder"),
        ("encoder/scale_embeddings", 3.0, "multiplies embeddings by 3"),
        ("encoder/activation", 5, "activation is 5 in the encoder and 0"),
        ("decoder/layer_7/ffn/layer_norm/gamma", np.ones(32), "layers of its decoder are incomple"),
        ("decoder/something/new", np.ones(3), "has decoder/something/new"),
        ("decoder/embeddings/weight", np.ones((5, 32)), "matrix 5 rows; the files belong to diff"),
        ("decoder/layer_0/ffn/linear_1/weight", np.ones((32, 9)), "by the other weights"),
    ],
)
def test_what_a_transformer_here_lacks_is_refused_by_its_name(
    name: str, value: object, message: str, exported: Path
) -> None:
    kind = np.int8 if isinstance(value, int) else np.float32
    array = np.array(value, kind)
    _change(exported, lambda variables: variables.update({name: Variable.of(array)}))
    with pytest.raises(InputError, match=message):
        ctranslate2.read(exported)


def test_a_missing_weight_is_named(exported: Path) -> None:
    name = "encoder/layer_1/self_attention/linear_1/weight"
    _change(exported, lambda variables: variables.pop(name))
    with pytest.raises(InputError, match=f"lacks the variable {name}"):
        ctranslate2.read(exported)


def test_missing_biases_are_zero(exported: Path) -> None:
    name = "encoder/layer_1/self_attention/linear_1/bias"
    _change(exported, lambda variables: variables.pop(name))
    weights = _weights(ctranslate2.read(exported))
    assert not weights["encoder.1.attention.output.bias"].any()


def test_integers_without_a_scale_are_damage(exported: Path) -> None:
    name = "encoder/layer_1/ffn/linear_1/weight"

    def change(variables: dict[str, Variable]) -> None:
        variables[name] = Variable.of(as_int8(variables[name].floats()))

    _change(exported, change)
    with pytest.raises(InputError, match=f"lacks {name}_scale"):
        _weights(ctranslate2.read(exported))


def _without(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def _with_config(**changes: object) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without("target_vocabulary.json"), "lacks target_vocabulary.json or .txt"),
        (_without("config.json"), "config.json is missing"),
        (lambda folder: (folder / "config.json").write_text("[1, 2"), "config.json is damaged"),
        (lambda folder: (folder / "config.json").write_text("[1, 2]"), "it is not a table"),
        (
            lambda folder: (folder / "source_vocabulary.json").write_text('["a", 1]'),
            "source_vocabulary.json is damaged: it is not a list of pieces",
        ),
        (
            lambda folder: (folder / "source.model").write_bytes(b"merges 0.2"),
            "source.model is not a SentencePiece model",
        ),
        (
            lambda folder: [(folder / f"{side}.model").unlink() for side in ("source", "target")],
            "lists of pieces but no SentencePiece model, which cuts text",
        ),
        (
            lambda folder: [
                (folder / f"{old}.model").rename(folder / f"{new}.model")
                for old, new in (("source", "en"), ("target", "de"))
            ],
            "which of de.model, en.model cuts the source is not clear",
        ),
        (_with_config(decoder_start_token=None), "decoder_start_token is null"),
        (_with_config(decoder_start_token="<go>"), "lacks decoder_start_token <go>"),
        (_with_config(add_source_bos=True), "sources begin with <s> .add_source_bos."),
        (_with_config(eos_token=3), "eos_token = 3 is not a token"),
        (_with_config(layer_norm_epsilon="x"), "layer_norm_epsilon = 'x' in config.json"),
        (_with_config(quantization_type=1), "weights of AWQ"),
    ],
)
def test_what_is_wrong_beside_the_weights_is_named(
    change: Callable[[Path], object], message: str, exported: Path
) -> None:
    change(exported)
    with pytest.raises(InputError, match=message):
        ctranslate2.read(exported)


def test_another_kind_of_model_is_refused_as_such(exported: Path) -> None:
    path = exported / "model.bin"
    path.write_bytes(path.read_bytes().replace(b"\x10\0TransformerSpec\0", b"\x0c\0WhisperSpec\0"))
    assert ctranslate2.recognises(exported)
    with pytest.raises(InputError, match=r"it is speech recognition \(WhisperSpec\)"):
        ctranslate2.read(exported)


# Details of positions


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
    model = _plain_model({"positions": "rotary"}, Tokenizers(tokenizer, tokenizer))
    write_model(model, Tokenizers(tokenizer, tokenizer), DataConfig(), tmp_path, "")

    def change(variables: dict[str, Variable]) -> None:
        for name in variables:
            if name.endswith("rotary_interleave"):
                variables[name] = Variable.of(np.array(1, np.int8))

    _change(tmp_path, change)
    import_model(ImportRequest(str(tmp_path)), tmp_path / "run")
    lines = _lines(20, 5)
    theirs = ctranslate2.translate_with_original(tmp_path, lines, 1)
    assert _translate(tmp_path / "run", lines, 1) == theirs


# Argos


def _package(folder: Path, models: tuple[bytes, bytes], **metadata: object) -> Path:
    package = folder / "translate-en_de-1_9"
    _foreign_model("opennmt-py", folder / "made", models)
    (folder / "made" / "sentencepiece.model").unlink()
    package.mkdir()
    shutil.move(folder / "made", package / "model")
    (package / "sentencepiece.model").write_bytes(models[0])
    given = {"from_code": "en", "to_code": "de", "package_version": "1.9", **metadata}
    (package / "metadata.json").write_text(json.dumps(given))
    return package


def test_a_package_of_argos_is_a_run(models: tuple[bytes, bytes], tmp_path: Path) -> None:
    package, archive = _package(tmp_path, models), tmp_path / "en_de.argosmodel"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in package.rglob("*"):
            packed.write(path, path.relative_to(tmp_path))
    run = tmp_path / "run"
    origin = import_model(ImportRequest(str(archive), verify=_lines(10, 3)), run)
    assert (origin.format, origin.model) == ("argos", "en-de 1.9")
    assert origin.verified.startswith("10 of 10 lines equal")
    loaded = RunFolder(run)
    data = loaded.load_config().data
    assert (data.source_language, data.source_eos) == ("en", False)
    assert loaded.config.facts().search == {"beam": 4, "length_penalty": "power", "alpha": 0.2}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"type": "sbd"}, "type = 'sbd'; translate is what can be imported"),
        ({"from_code": None}, "lacks from_code"),
        ({"to_code": "../x"}, "to_code = '../x'"),
        ({"target_prefix": ">>por<<"}, "begin with '>>por<<' .target_prefix."),
    ],
)
def test_packages_that_are_no_translation_models_are_refused(
    metadata: dict[str, object], message: str, models: tuple[bytes, bytes], tmp_path: Path
) -> None:
    package = _package(tmp_path, models, **metadata)
    assert argos.recognises(package)
    with pytest.raises(InputError, match=message):
        argos.read(package)


def test_a_package_whose_words_another_tool_cuts_is_refused(
    models: tuple[bytes, bytes], tmp_path: Path
) -> None:
    package = _package(tmp_path, models)
    (package / "sentencepiece.model").rename(package / "bpe.model")
    with pytest.raises(InputError, match="cut by Moses and subword-nmt"):
        argos.read(package)
