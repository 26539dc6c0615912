"""Scores of COMET and Kiwi are those of unbabel-comet; files that are not theirs are refused.

The expected scores were computed by unbabel-comet 2.2.7 (transformers 4.57.6, torch 2.13.0) from
the same checkpoints, which `write_checkpoint` makes without chance.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner, Result

from seq2seq_cli.cli.app import app
from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.comet import Comet, CometMetric, encoder, scorer
from seq2seq_cli.evaluation.comet.encoder import Encoder, sparsemax
from seq2seq_cli.evaluation.comet.metric import CometScore
from seq2seq_cli.evaluation.metrics import ScoreOptions
from seq2seq_cli.evaluation.scoring import score, score_by_length

transformers = pytest.importorskip("transformers")

LETTERS = "abcdefghijklmnopqrstuvwxyz .我书"
SIZES = {
    "vocab_size": 4 + len(LETTERS), "hidden_size": 16, "num_hidden_layers": 3,
    "num_attention_heads": 2, "intermediate_size": 24, "max_position_embeddings": 40,
    "type_vocab_size": 1, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
}  # fmt: skip
SOURCE = ["the old cat", "hello world", "a book " * 10, "我书", "x"]
TRANSLATION = ["an old cat", "world", "the cat " * 10, "我", "x"]
REFERENCE = ["the cat is old", "hello", "book", "我书.", "y"]
KINDS: dict[str, dict[str, Any]] = {
    "da": {"class_identifier": "regression_metric", "pool": "avg", "layer": "mix",
           "layer_transformation": "softmax", "layer_norm": False},
    "sparse": {"class_identifier": "regression_metric", "pool": "cls", "layer": "mix",
               "layer_transformation": "sparsemax", "layer_norm": True,
               "final_activation": "Sigmoid"},
    "layer": {"class_identifier": "regression_metric", "pool": "avg", "layer": 2},
    "kiwi": {"class_identifier": "unified_metric", "sent_layer": "mix", "layer_norm": False,
             "layer_transformation": "sparsemax", "input_segments": ["mt", "src"]},
}  # fmt: skip
EXPECTED = {
    "da": [0.559712, 0.605161, 0.58111, 0.668078, 0.661025],
    "sparse": [0.689779, 0.694634, 0.691364, 0.69597, 0.697308],
    "layer": [1.170498, 1.169284, 1.170124, 1.172011, 1.174477],
    "kiwi": [0.107624, 0.107423, 0.107823, 0.108151, 0.11855],
}


def numbers(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Weights that look random and are the same in every version."""
    places = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return (torch.sin(places * 12.9898 + seed) * 0.6).float().reshape(shape)


def write_encoder(folder: Path) -> None:
    """A tokenizer of letters, and the settings of a tiny XLM-R."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    symbols = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces = [(name, 0.0) for name in (*symbols, *LETTERS.replace(" ", "▁"))]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        unk_token="<unk>", cls_token="<s>", sep_token="</s>",
    ).save_pretrained(folder)  # fmt: skip
    transformers.XLMRobertaConfig(**SIZES).save_pretrained(folder)


def write_checkpoint(folder: Path, kind: str, **changes: Any) -> Path:
    """A checkpoint of unbabel-comet's format, in a folder of its own."""
    write_encoder(folder / "encoder")
    settings = {
        "encoder_model": "XLM-RoBERTa", "pretrained_model": str(folder / "encoder"),
        "hidden_sizes": [12, 8], "activations": "Tanh", "load_pretrained_weights": False,
        **KINDS[kind], **changes,
    }  # fmt: skip
    config = transformers.XLMRobertaConfig(**SIZES)
    model = transformers.XLMRobertaModel(config, add_pooling_layer=False)
    shapes = {f"encoder.model.{name}": tuple(each.shape) for name, each in model.named_parameters()}
    shapes |= {f"layerwise_attention.scalar_parameters.{layer}": (1,) for layer in range(4)}
    shapes["layerwise_attention.gamma"] = (1,)
    width = 16 if kind == "kiwi" else 6 * 16
    for number, (inner, outer) in {0: (width, 12), 3: (12, 8), 6: (8, 1)}.items():
        shapes |= {f"estimator.ff.{number}.weight": (outer, inner)}
        shapes |= {f"estimator.ff.{number}.bias": (outer,)}
    if KINDS[kind].get("layer") == 2:
        shapes = {name: shape for name, shape in shapes.items() if "layerwise" not in name}
    weights = {
        name: numbers(shape, seed) + ("LayerNorm.weight" in name)
        for seed, (name, shape) in enumerate(shapes.items())
    }
    (folder / "checkpoints").mkdir()
    own = {name: value for name, value in settings.items() if name != "class_identifier"}
    torch.save(
        {"state_dict": weights, "hyper_parameters": own, "pytorch-lightning_version": "2.6.6"},
        folder / "checkpoints" / "model.ckpt",
    )
    (folder / "hparams.yaml").write_text(yaml.safe_dump(settings))
    return folder


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("comet")
    return {kind: write_checkpoint(root / kind, kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_unbabel_comet(kind: str, checkpoints: dict[str, Path]) -> None:
    found = Comet.load(checkpoints[kind]).score_lines(TRANSLATION, SOURCE, REFERENCE)
    assert found == pytest.approx([100 * each for each in EXPECTED[kind]], abs=1e-4)


def test_a_score_does_not_depend_on_the_other_lines(checkpoints: dict[str, Path]) -> None:
    model = Comet.load(checkpoints["da"])
    together = model.score_lines(TRANSLATION, SOURCE, REFERENCE)
    alone = Comet.load(checkpoints["da"])
    assert together == pytest.approx(
        [
            alone.score_lines([mt], [src], [ref])[0]
            for mt, src, ref in zip(TRANSLATION, SOURCE, REFERENCE, strict=True)
        ],
        abs=1e-4,
    )


def test_lines_are_computed_in_batches_that_are_not_too_large_and_once(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    embed = Encoder._embed

    def seen(self: Encoder, sentences: list[list[int]]) -> torch.Tensor:
        sizes.append(len(sentences) * max(map(len, sentences)))
        return embed(self, sentences)

    monkeypatch.setattr(encoder, "BATCH_TOKENS", 40)
    monkeypatch.setattr(Encoder, "_embed", seen)
    model = Comet.load(checkpoints["kiwi"])
    expected = pytest.approx([100 * each for each in EXPECTED["kiwi"]], abs=1e-4)
    assert model.score_lines(TRANSLATION, SOURCE, REFERENCE) == expected
    assert len(sizes) > 1
    assert max(sizes) <= 40
    sizes.clear()
    assert model.score_lines(TRANSLATION, SOURCE, ["", *REFERENCE[1:]]) == expected
    assert sizes == []  # another reference is nothing that it reads


def test_the_settings_in_a_checkpoint_count_before_those_beside_it(tmp_path: Path) -> None:
    """But for the layers' mixture, which hparams.yaml corrects; weights may have 16 bits."""
    folder = write_checkpoint(tmp_path / "da", "da", layer_transformation="sparsemax")
    settings = yaml.safe_load((folder / "hparams.yaml").read_text())
    settings |= {"activations": "ReLU", "layer_transformation": "sparsemax_patch"}
    (folder / "hparams.yaml").write_text(yaml.safe_dump(settings))
    for kind, near in ((torch.float32, 1e-4), (torch.float16, 0.1)):
        change_weights(
            folder, lambda weights, kind=kind: {n: w.to(kind) for n, w in weights.items()}
        )
        found = Comet.load(folder).score_lines(TRANSLATION, SOURCE, REFERENCE)
        assert found == pytest.approx([100 * each for each in EXPECTED["da"]], abs=near)
    kiwi = Comet.load(write_checkpoint(tmp_path / "kiwi", "kiwi", layer=1))  # which sent_layer is
    found = kiwi.score_lines(TRANSLATION, SOURCE, REFERENCE)
    assert found == pytest.approx([100 * each for each in EXPECTED["kiwi"]], abs=1e-4)


def change_weights(folder: Path, change: Any) -> None:
    stored = torch.load(folder / "checkpoints/model.ckpt", weights_only=True)
    stored["state_dict"] = change(stored["state_dict"])
    torch.save(stored, folder / "checkpoints/model.ckpt")


def test_more_than_ten_layers_are_mixed_each_by_its_own_share() -> None:
    prefix = "layerwise_attention.scalar_parameters."
    head = {f"{prefix}{layer}": torch.tensor([layer / 4]) for layer in range(12)}
    head["layerwise_attention.gamma"] = torch.tensor([2.0])
    mix = encoder._layer_mix(head, {"class_identifier": "regression_metric"}, 11, Path("x"))
    layers = [torch.eye(12)[layer][None, None] for layer in range(12)]
    mixed = mix(layers, torch.ones(1, 1, dtype=torch.bool))[0, 0]
    assert mixed.tolist() == pytest.approx((2 * (torch.arange(12) / 4).softmax(0)).tolist())


def test_sparsemax_is_the_nearest_point_of_the_simplex() -> None:
    assert sparsemax(torch.tensor([0.0, 2.0, 0.5])).tolist() == [0.0, 1.0, 0.0]
    assert sparsemax(torch.tensor([0.5, 0.3, -1.0])).tolist() == pytest.approx([0.6, 0.4, 0.0])


def test_a_layer_of_any_size_is_normalised_to_a_variance_of_one() -> None:
    layer = torch.randn(2, 5, 8, generator=torch.manual_seed(1)) * 1e-4 + 3e-4
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    for sentence, counts in zip(encoder._normalised(layer, mask), mask, strict=True):
        assert sentence[counts].mean().item() == pytest.approx(0, abs=1e-3)
        assert sentence[counts].square().mean().item() == pytest.approx(1, abs=1e-3)


def test_the_layers_of_an_estimator_follow_each_other_however_many_they_are() -> None:
    weights = [3.0, -2.0, 0.5, 7.0, -1.0]  # of estimator.ff.0, 3, 6, 9 and 12
    head, expected = {}, torch.tensor([[0.1], [-0.4]])
    for number, weight in enumerate(weights):
        head[f"estimator.ff.{3 * number}.weight"] = torch.tensor([[weight]])
        head[f"estimator.ff.{3 * number}.bias"] = torch.tensor([number / 8])
        expected = (expected.tanh() if number else expected) * weight + number / 8
    estimate = scorer._estimator(dict(reversed(head.items())), {}, 1, Path("x"))
    torch.testing.assert_close(estimate(torch.tensor([[0.1], [-0.4]])), expected[:, 0])


def test_a_text_has_the_mean_of_its_lines_and_blank_ones_do_not_count(
    checkpoints: dict[str, Path],
) -> None:
    model = Comet.load(checkpoints["da"])
    options = ScoreOptions(models={"comet": model}, source=[*SOURCE, ""], bootstrap_samples=50)
    texts = [*TRANSLATION, ""], [[*REFERENCE, ""]]
    [found] = score(*texts, metrics=["comet"], options=options)
    mean = 100 * sum(EXPECTED["da"]) / 5
    assert (found.metric, found.value) == ("COMET", pytest.approx(mean, abs=1e-4))
    assert found.mean == pytest.approx(mean, abs=10)
    sha256 = hashlib.sha256((checkpoints["da"] / "checkpoints/model.ckpt").read_bytes()).hexdigest()
    assert f"|model:da|sha256:{sha256[:12]}|scale:100" in found.signature
    buckets = score_by_length(*texts, [*SOURCE, ""], ["comet"], options)
    assert sum(b.scores[0].value * (b.lines - (b.least == 1)) for b in buckets) == pytest.approx(
        5 * mean, abs=1e-2
    )


def test_a_line_counts_unless_all_its_texts_are_blank() -> None:
    scores = [10.0, 20.0, 30.0, 40.0]
    model: Any = SimpleNamespace(
        name="a:b|c", sha256="0" * 64, needs_reference=True, score_lines=lambda *_: scores
    )
    metric = CometMetric(model, ["x", "", "", " "])
    score_ = metric.corpus_score(["", "y", "", ""], [["", "", "z", "\t"]])
    assert score_.score == 20
    assert "|model:a-b-c|sha256:" in str(metric.get_signature())


def test_an_interval_below_zero_is_told() -> None:
    score_ = CometScore("COMET", -2.5)
    score_._mean, score_._ci = -2.25, 0.5
    told = json.loads(score_.format(signature="a:b", is_json=True))
    assert (told["score"], told["confidence_mean"], told["confidence_var"]) == (-2.5, -2.25, 0.5)


# The commands


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    texts = {"src": SOURCE, "mt": TRANSLATION, "ref": REFERENCE, "other": SOURCE}
    for name, lines in texts.items():
        (tmp_path / name).write_text("".join(f"{line.strip()}\n" for line in lines))
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def test_kiwi_needs_no_reference(files: Path, checkpoints: dict[str, Path]) -> None:
    command = ["score", "--hypothesis", "mt", "--source", "src", "--metrics", "comet-kiwi"]
    done = run(*command, "--comet-kiwi", checkpoints["kiwi"], "--format", "json")
    assert done.exit_code == 0, done.exception
    [found] = json.loads(done.stdout)
    assert found["metric"] == "COMET-Kiwi"
    assert "nrefs" not in found["signature"]


def test_systems_are_compared_by_comet_too(files: Path, checkpoints: dict[str, Path]) -> None:
    command = ["compare", "mt", "other", "-r", "ref", "--source", "src", "--samples", "100"]
    done = run(*command, "--metrics", "chrf,comet", "--comet", checkpoints["da"], "-o", "a.json")
    assert done.exit_code == 0, done.exception
    chrf, comet = json.loads((files / "a.json").read_text())["tables"]
    assert (chrf["metric"], comet["metric"]) == ("chrF2", "COMET")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["-r", "ref", "--source", "src", "--metrics", "comet"],
            "comet needs a model: give --comet",
        ),
        (["-r", "ref", "--metrics", "comet", "--comet", "x"], "comet reads the source too"),
        (["--source", "src", "--metrics", "chrf"], "--reference is missing; comet-kiwi alone"),
        (
            ["-r", "ref", "--source", "src", "--metrics", "comet", "--comet", "x"],
            "x: no such checkpoint of COMET; fetch it once",
        ),
        (
            ["-r", "ref", "--source", "src", "--metrics", "comet", "--comet", "KIWI"],
            "a model for the metric comet-kiwi",
        ),
        (
            ["-r", "ref", "-r", "mt", "--source", "src", "--metrics", "comet", "--comet", "DA"],
            "COMET compares with one reference, and 2 are given",
        ),
    ],
)
def test_what_comet_lacks_is_told(
    files: Path, checkpoints: dict[str, Path], arguments: list[str], message: str
) -> None:
    places = {"KIWI": str(checkpoints["kiwi"]), "DA": str(checkpoints["da"])}
    done = run("score", "--hypothesis", "mt", *(places.get(each, each) for each in arguments))
    assert message in str(done.exception)


class Evil:
    """Would run a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("unpickled",))


def test_a_pickle_with_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_checkpoint(tmp_path / "evil", "da")
    torch.save({"state_dict": {}, "hyper_parameters": Evil()}, folder / "checkpoints/model.ckpt")
    with pytest.raises(InputError, match="not a checkpoint of COMET that can be read"):
        Comet.load(folder)
    assert "unpickled" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_identifier": "xcomet_metric"}, "a model of the kind xcomet_metric"),
        ({"encoder_model": "BERT"}, "the encoder BERT; XLM-RoBERTa"),
        ({"pool": "max"}, "pool = max; avg and cls are allowed"),
        ({"activations": "Eval"}, "the activation Eval"),
        ({"activations": 5}, "the activation 5"),
        ({"encoder_model": ["XLM-RoBERTa"]}, "the encoder .*; XLM-RoBERTa"),
        ({"layer": 4}, "layer = 4; mix and 0 to 3 are allowed"),
        ({"layer": "top"}, "layer = 'top'; mix and 0 to 3"),
    ],
)
def test_models_of_other_kinds_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Comet.load(write_checkpoint(tmp_path / "other", "da", **changes))


WEIGHTS = [
    ("encoder.model.encoder.layer.1.output.dense.bias", "encoder are missing", "size mismatch"),
    ("encoder.model.embeddings.word_embeddings.weight", "the sizes", "the sizes"),
    ("layerwise_attention.gamma", "of layerwise_attention", "of layerwise_attention"),
    ("layerwise_attention.scalar_parameters.2", "of layerwise_attention", "of layerwise_attention"),
    ("estimator.ff.3.weight", r"ff\.6\.weight is \[1, 8\]", r"ff\.3\.weight is \[7\]"),
    ("estimator.ff.3.bias", r"a bias None, .* \[8\] fit", r"a bias \[7\], .* \[8\] fit"),
]


@pytest.mark.parametrize(("name", "missing", "other"), WEIGHTS)
def test_a_weight_that_is_missing_or_of_another_shape_is_told(
    name: str, missing: str, other: str, tmp_path: Path
) -> None:
    folder = write_checkpoint(tmp_path / "da", "da")
    change_weights(folder, lambda weights: weights | {name: torch.zeros(7)})
    with pytest.raises(InputError, match=other):
        Comet.load(folder)
    change_weights(folder, lambda weights: {n: w for n, w in weights.items() if n != name})
    with pytest.raises(InputError, match=missing):
        Comet.load(folder)


def test_scores_that_are_not_numbers_are_not_told(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "da", "da")
    change_weights(
        folder, lambda weights: weights | {"estimator.ff.6.bias": torch.tensor([np.nan])}
    )
    with pytest.raises(InputError, match="a score is not a number"):
        Comet.load(folder).score_lines(TRANSLATION, SOURCE, REFERENCE)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-9],
        lambda data: b"",
        lambda data: b"<!DOCTYPE html>",
    ],
)
def test_a_checkpoint_that_is_cut_or_something_else_is_refused(
    damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    folder = write_checkpoint(tmp_path / "da", "da")
    file = folder / "checkpoints/model.ckpt"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(InputError, match="not a checkpoint of COMET that can be read"):
        Comet.load(folder)


def test_an_encoder_of_another_size_or_none_is_told(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "da", "da")
    config = json.loads((folder / "encoder/config.json").read_text())
    for other in (
        config | {"vocab_size": 10**12},
        config | {"num_hidden_layers": 10**9},
        {"model_type": "clip"},
    ):
        (folder / "encoder/config.json").write_text(json.dumps(other))
        with pytest.raises(InputError, match="give the encoder that belongs to it"):
            Comet.load(folder)
    rows = config["vocab_size"]
    (folder / "encoder/config.json").write_text(json.dumps(config | {"vocab_size": rows - 1}))
    name = "encoder.model.embeddings.word_embeddings.weight"
    change_weights(folder, lambda weights: weights | {name: weights[name][:-1]})
    with pytest.raises(InputError, match="give the tokenizer that belongs to it"):
        Comet.load(folder)
    (folder / "encoder").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"are neither in .* nor in the cache of Hugging Face"):
        Comet.load(folder)
