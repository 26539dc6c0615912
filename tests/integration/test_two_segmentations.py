"""A run with one list of pieces and one matrix, whose sides cut text in different ways."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.config.shapes import weight_shapes
from seq2seq_cli.interop.foreign_model import ForeignModel, StoredWeight
from seq2seq_cli.interop.run_writer import write_run
from seq2seq_cli.runs.origin import Origin
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.tokenization.foreign_vocabulary import ForeignVocabulary, import_vocabularies
from tests.integration.conftest import write_corpus
from tests.property.test_foreign_vocabulary import learned, piece_names

TAGS = ("en", "de")


@pytest.fixture(scope="module", params=["both", "source"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with text and an imported run, with random weights."""
    folder = tmp_path_factory.mktemp("imported")
    write_corpus(folder)
    models = [
        learned("unigram", seed=1, size=120),
        learned("bpe", seed=2, size=140, byte_fallback=False),
    ]
    given = {piece for model in models for piece in piece_names(model)}
    digits = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "null",
        "eins",
        "zwei",
        "drei",
        "vier",
    ]
    pieces = [*sorted(given | set(digits)), *(f">>{tag}<<" for tag in TAGS)]
    ids = {piece: number for number, piece in enumerate(pieces)}
    sides = [ForeignVocabulary(pieces, model, ids["</s>"], ids["<unk>"]) for model in models]
    made = import_vocabularies(*sides, start=None, joint=True)
    tokenizers = Tokenizers(made.source, made.target, made.joint)
    config = TransformerConfig(
        width=16, heads=2, feed_forward=16, encoder_layers=1, decoder_layers=1, output_bias=True
    )
    draw = np.random.default_rng(1)
    weights = {
        name: StoredWeight.of(draw.normal(size=shape).astype(np.float32))
        for name, shape in weight_shapes(config, tokenizers.vocabulary).items()
    }
    data = DataConfig(source_eos=False, language_tags=request.param, source_language="en")
    write_run(
        ForeignModel(config, tokenizers, weights, data, Origin(format="test")), folder / "run"
    )
    return folder


def test_both_sides_are_cut_by_their_own_model(folder, seq2seq):
    tokenizers = RunFolder(folder / "run").load_tokenizers()
    assert tokenizers.is_joint
    assert tokenizers.files().keys() == {"source.model", "target.model"}
    line = "the house sleeps"
    cut = [
        seq2seq("tokenizer", "encode", folder / "run" / f"{side}.model", stdin=line.encode())
        for side in ("source", "target")
    ]
    source, target = (done.stdout.decode().split() for done in cut)
    assert source != target
    assert (
        tokenizers.target.decode_pieces(source) == tokenizers.target.decode_pieces(target) == line
    )


def test_it_translates_and_its_translations_are_likely_as_it_says(folder, seq2seq):
    (folder / "text").write_text("the house\nthe man sleeps\n")
    options = ["--target-language", "de"]
    done = seq2seq(
        *("translate", "run", "-i", "text", "--format", "jsonl", *options, "--max-extra", "2"),
        folder=folder,
    )
    assert done.code == 0, done.stderr
    records = [json.loads(line)["hypotheses"][0] for line in done.stdout.splitlines()]
    assert not any("<2" in token for record in records for token in record["tokens"][:1])
    pieces = "".join(" ".join(record["tokens"]) + "\n" for record in records)
    scored = seq2seq(
        *("likelihood", "run", "--source", "text", "--pieces", *options),
        stdin=pieces.encode(),
        folder=folder,
    )
    for line, record in zip(scored.stdout.decode().splitlines(), records, strict=True):
        assert float(line.split()[0]) == pytest.approx(record["log_probability"], abs=1e-3)


def test_fine_tuning_keeps_one_matrix_and_its_form(folder, seq2seq):
    both = RunFolder(folder / "run").load_config().data.language_tags == "both"
    marks = ("en=" * both, "de=")
    texts = [
        option
        for prefix, name in (("--", "train"), ("--valid-", "valid"))
        for side, end, mark in zip(("source", "target"), ("en", "de"), marks, strict=True)
        for option in (f"{prefix}{side}", f"{mark}{name}.{end}")
    ]
    limits = [
        option
        for name in ("max_updates", "validate_every")
        for option in ("--set", f"training.{name}=2")
    ]
    done = seq2seq(
        "train", "--init-from", "run", *texts, *limits, "--output", "tuned", folder=folder
    )
    assert done.code == 0, done.stderr
    run, tuned = (RunFolder(folder / name) for name in ("run", "tuned"))
    assert tuned.load_tokenizers().files().keys() == run.load_tokenizers().files().keys()
    assert tuned.config.vocabulary() == run.config.vocabulary()
    before, after = run.load_config().data, tuned.load_config().data
    assert (before.source_eos, before.language_tags) == (after.source_eos, after.language_tags)
    with safe_open(folder / "tuned" / "model.safetensors", "numpy") as weights:
        assert set(weights.keys()) == set(
            weight_shapes(tuned.load_config().model, tuned.config.vocabulary())
        )


def test_info_names_the_languages(folder, seq2seq):
    both = RunFolder(folder / "run").load_config().data.language_tags == "both"
    text = seq2seq("info", "run", folder=folder).stdout.decode()
    assert f"languages        {'from and ' * both}into en, de" in text
    found = json.loads(seq2seq("info", "run", "--format", "json", folder=folder).stdout)
    assert found["languages"] == {"from": list(TAGS) if both else [], "into": list(TAGS)}
