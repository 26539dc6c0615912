"""Files of Hugging Face: the same weights in any of them; what cannot be held is refused."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentencepiece import SentencePieceTrainer

from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.foreign_model import ForeignModel, widened
from seq2seq_cli.interop.huggingface import reader as huggingface
from seq2seq_cli.translation.importing import ImportRequest, import_model
from tests.property.huggingface_models import (
    SIZES,
    SOURCE_WORDS,
    lines_of,
    marian,
    nllb,
    randomise,
    t5,
    transformers,
    words,
)


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    path = tmp_path_factory.mktemp("joint")
    torch.manual_seed(5)
    model, tokenizer, _ = marian(path, "joint")
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path, model


def numbers_of(read: ForeignModel) -> dict[str, np.ndarray]:
    return {name: np.array(widened(weight.read())) for name, weight in read.weights.items()}


def test_weights_are_the_same_in_any_file(joint: tuple[Path, Any], tmp_path: Path) -> None:
    whole, model = joint
    expected = numbers_of(huggingface.read(whole))
    saved = {"sharded": {"max_shard_size": "20KB"}, "pickled": None, "16 bits": {}}
    for kind, options in saved.items():
        folder = tmp_path / kind
        shutil.copytree(whole, folder)
        (folder / "model.safetensors").unlink()
        if options is None:
            torch.save(model.state_dict(), folder / "pytorch_model.bin")
        else:
            changed = model.bfloat16() if kind == "16 bits" else model
            changed.save_pretrained(folder, **options)
        assert len(list(folder.glob("model-*.safetensors"))) > 1 or kind != "sharded"
        read = huggingface.read(folder)
        assert read.weights["target_embedding.weight"].dtype == (
            "BF16" if kind == "16 bits" else "F32"
        )
        for name, array in numbers_of(read).items():
            tolerance = 2**-8 if kind == "16 bits" else 0
            np.testing.assert_allclose(array, expected[name], rtol=tolerance, err_msg=name)


class Harmful:
    def __reduce__(self) -> Any:
        return print, ("run",)


def test_a_pickle_that_would_run_something_is_refused(
    joint: tuple[Path, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(joint[0], tmp_path / "harmful")
    (folder / "model.safetensors").unlink()
    torch.save({"model.shared.weight": Harmful()}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pytorch_model\.bin cannot be read as weights alone"):
        huggingface.read(folder)
    assert "run" not in capsys.readouterr().out


def changed(**values: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


def written(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text) and None


def anothers_spm() -> bytes:
    """A SentencePiece model of text in other letters."""
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(lines_of(words("опрстуфхцчшщ"), 500, 2)),
        model_writer=model,
        vocab_size=80,
        minloglevel=4,
        num_threads=1,
    )
    return model.getvalue()


INDEX = "model.safetensors.index.json"
REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "UMT5": (changed(model_type="umt5"), 'model_type "umt5" cannot be held: each of its layers'),
    "no T5": (changed(model_type="t5"), "spiece.model is missing"),
    "experts": (changed(model_type="nllb-moe"), "mixture of experts"),
    "another model": (changed(model_type="bert"), "'bert' is not a translation model"),
    "sides differ": (changed(decoder_ffn_dim=96), "encoder_ffn_dim = 48 and decoder_ffn_dim = 96"),
    "activation": (changed(activation_function="mish"), "activation_function = 'mish'"),
    "embedding norm": (changed(normalize_embedding=True), "normalize_embedding = true"),
    "too few rows": (changed(vocab_size=100), "the model has 100 rows"),
    "BPE": (written("source.bpe", "#version"), r"source\.bpe belongs to a model of before"),
    "no text": (written("vocab.json", '{"</s>": 0}'), r"vocab\.json has no <unk>"),
    "twice": (written("vocab.json", '{"</s>": 0, "<unk>": 0}'), "gives the id 0 to"),
    "no whole number": (written("vocab.json", '{"</s>": "0"}'), "is not a whole number"),
    "no spm": (lambda folder: (folder / "target.spm").unlink(), r"target\.spm is missing"),
    "another's spm": (
        lambda folder: (folder / "target.spm").write_bytes(anothers_spm()) and None,
        r"vocab\.json has \d+ of the \d+ pieces of target\.spm: the files are not of one model",
    ),
    "padding": (changed(pad_token_id=9999), "pad_token_id = 9999, which no piece of vocab"),
    "start": (changed(decoder_start_token_id=9999), "decoder_start_token_id = 9999, which no"),
    "another end": (changed(eos_token_id=5), "eos_token_id = 5, and </s> has the id 0 in vocab"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "has no weights"),
    "layers": (changed(decoder_layers=3), r"lack the tensor model\.decoder\.layers\.2"),
    "width": (changed(d_model=64), r"is \[\d+, 32\], \[\d+, 64\] by config\.json"),
    "huge rows": (
        changed(vocab_size=2**31 - 1),
        "vocab_size = 2147483647 is more than the weights",
    ),
    "huge depth": (changed(encoder_layers=2**31 - 1), "encoder_layers = 2147483647 is more than"),
    "a list": (changed(activation_function=["relu"]), r"activation_function = \['relu'\]: relu"),
    "no text at all": (written("vocab.json", '{"\\ud800": 0}'), "pieces that are not text"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_held_is_refused_by_its_reason(
    name: str, joint: tuple[Path, Any], tmp_path: Path
) -> None:
    folder = shutil.copytree(joint[0], tmp_path / "model")
    change, reason = REFUSED[name]
    change(folder)
    with pytest.raises(InputError, match=reason) as raised:
        huggingface.read(folder)
    assert str(folder) in str(raised.value)


def rewritten(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return rewrite


def many_sentinels(folder: Path) -> None:
    """As in folders of before tokenizer.json."""
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text('{"extra_ids": 1000000000000}')


T5_REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "activation": (changed(feed_forward_proj="gated-mish"), "feed_forward_proj = 'gated-mish'"),
    "a list": (changed(feed_forward_proj=["relu"]), r"feed_forward_proj = \['relu'\]"),
    "huge rows": (
        changed(vocab_size=2**31 - 1),
        "vocab_size = 2147483647 is more than the weights",
    ),
    "huge depth": (changed(num_layers=2**31 - 1), "num_layers = 2147483647 is more than"),
    "depth": (changed(num_decoder_layers=2), r"lack the tensor decoder\.block\.1\.layer\.0"),
    "heads": (changed(num_heads=2), r"attention_bias.* is \[8, 4\], \[8, 2\] by config"),
    "groups": (
        changed(relative_attention_num_buckets=6),
        r"attention_bias.* is \[8, 4\], \[6, 4\] by config",
    ),
    "gate": (changed(feed_forward_proj="gated-gelu"), r"lack the tensor .*wi_0\.weight"),
    "too few rows": (changed(vocab_size=100), "the model has 100 rows"),
    "sentinels": (many_sentinels, "extra_ids = 1000000000000 is not a number below the"),
    "another's text": (
        rewritten("spiece.model", lambda _: b"<!DOCTYPE html>"),
        r"spiece\.model is not a SentencePiece model",
    ),
    "another's spm": (
        rewritten("spiece.model", lambda _: anothers_spm()),
        r"tokenizer\.json has \d+ of the \d+ pieces of spiece\.model: the files are not of one",
    ),
    "cut text": (
        rewritten("spiece.model", lambda data: data[:900]),
        r"spiece\.model is not a SentencePiece model",
    ),
    "cut weights": (
        rewritten("model.safetensors", lambda data: data[:-9]),
        "does not lie in the file as its header says",
    ),
}


@pytest.fixture(scope="module")
def t5_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("t5")
    torch.manual_seed(5)
    model, tokenizer, _ = t5(path, "t5")
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.mark.parametrize("name", T5_REFUSED)
def test_a_folder_of_t5_that_is_cut_or_mixed_is_refused_by_its_reason(
    name: str, t5_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(t5_folder, tmp_path / "model")
    change, reason = T5_REFUSED[name]
    change(folder)
    with pytest.raises(InputError, match=reason) as raised:
        import_model(ImportRequest(str(folder)), tmp_path / "run")
    assert str(folder) in str(raised.value)
    assert [each.name for each in tmp_path.iterdir()] == ["model"]


def test_a_damaged_model_of_text_is_named_where_tags_would_be_cut_by_it(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.mkdir()
    model, tokenizer, _ = t5(path, "madlad")
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    (path / "spiece.model").write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(InputError, match=r"spiece\.model is not a SentencePiece model"):
        huggingface.read(path)


OTHER_KINDS = (["a"], {"a": 1}, "x", -1, 2**40, 1e300, True)


@pytest.mark.parametrize("kind", ["marian", "t5", "nllb"])
def test_settings_of_another_kind_are_refused_or_do_no_harm(
    kind: str, joint: tuple[Path, Any], t5_folder: Path, tmp_path: Path
) -> None:
    """Whatever a damaged file of settings holds, nothing but InputError comes of it."""
    whole = {"marian": joint[0], "t5": t5_folder}.get(kind)
    if whole is None:
        whole = tmp_path / "nllb"
        whole.mkdir()
        for each in nllb(whole, legacy=True)[:2]:
            each.save_pretrained(whole)
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    refused = set()
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        settings = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
        for key in settings:
            for value in OTHER_KINDS:
                (folder / name).write_text(json.dumps(settings | {key: value}))
                try:
                    huggingface.read(folder)
                except InputError:
                    refused.add(key)
        (folder / name).write_text(json.dumps(settings))
    assert {"model_type", "d_model", "vocab_size"} <= refused


def test_stored_positions_of_another_model_are_refused(
    joint: tuple[Path, Any], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(joint[0], tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    sides = [f"model.{side}.embed_positions.weight" for side in ("encoder", "decoder")]
    for shapes in ([(128, 16)] * 2, [(128, 32), (64, 32)], [(128,)] * 2, [()] * 2):
        changed = {name: torch.zeros(shape) for name, shape in zip(sides, shapes, strict=True)}
        save_file(tensors | changed, folder / "model.safetensors")
        with pytest.raises(InputError, match=r"embed_positions\.weight is .* by config\.json"):
            huggingface.read(folder)


def test_lines_that_the_original_has_no_positions_for_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.mkdir()
    torch.manual_seed(5)
    _, tokenizer, _ = marian(path, "joint")
    tokenizer.save_pretrained(path)
    pad = tokenizer.pad_token_id
    sizes = {"vocab_size": pad + 1, "eos_token_id": 0, "forced_eos_token_id": 0}
    short = transformers.MarianConfig(
        **{**SIZES, **sizes, "max_position_embeddings": 32},
        pad_token_id=pad,
        decoder_start_token_id=pad,
    )
    model = transformers.MarianMTModel(short)
    randomise(model)
    model.final_logits_bias[0, 0] += 12  # most translations end
    model.save_pretrained(path)
    lines = [*lines_of(SOURCE_WORDS, 12, 4, 3), " ".join(SOURCE_WORDS[:60])]
    found = huggingface.translate_with_original(path, lines, 1)
    assert found[-1] is None
    assert any(each is not None for each in found)
    request = ImportRequest(str(path), verify=lines)
    origin = import_model(request, tmp_path / "run")
    left_out = found.count(None)
    compared = len(lines) - left_out
    assert origin.verified.startswith(
        f"{compared} of {compared} lines equal, {left_out} too long for it"
    )


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "missing.safetensors"])
def test_an_index_names_files_of_its_folder_only(
    name: str, joint: tuple[Path, Any], tmp_path: Path
) -> None:
    folder = shutil.copytree(joint[0], tmp_path / "model")
    (folder / "model.safetensors").rename(tmp_path / "model.safetensors")
    (folder / INDEX).write_text(json.dumps({"weight_map": {"model.shared.weight": name}}))
    with pytest.raises(InputError, match=r"not a file of its folder|is missing, which"):
        huggingface.read(folder)


def test_the_authors_search_licence_and_alignment_are_kept(
    joint: tuple[Path, Any], tmp_path: Path
) -> None:
    folder = shutil.copytree(joint[0], tmp_path / "model")
    search = {"num_beams": 6, "length_penalty": 0.8, "no_repeat_ngram_size": 3, "max_length": 512}
    (folder / "generation_config.json").write_text(json.dumps(search | {"min_length": 4}))
    (folder / "README.md").write_text(
        "---\nlanguage: de\nlicense: cc-by-4.0\n---\ntransformer-align"
    )
    read = huggingface.read(folder)
    assert read.search == {
        **{"beam": 6, "length_penalty": "power", "alpha": 0.8, "no_repeat_ngram": 3},
    }
    assert read.origin.licence == "cc-by-4.0"
    assert (read.config.alignment_layer, read.config.alignment_head) == (1, 0)
    assert any("min_length = 4" in note for note in read.notes)
