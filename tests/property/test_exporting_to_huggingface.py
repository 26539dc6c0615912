"""A run is the same function in transformers once it is exported, and is read again."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.interop.formats import export_run
from seq2seq_cli.interop.huggingface import reader as huggingface
from seq2seq_cli.interop.huggingface.card import model_card
from seq2seq_cli.interop.run_writer import write_run
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.tokenization.learning import train_tokenizer
from seq2seq_cli.translation import TranslationSettings, Translator
from tests.property.huggingface_models import (
    SOURCE_WORDS,
    TARGET_WORDS,
    hostile_lines,
    lines_of,
    made_up,
    transformers,
)

EXPORTED: dict[str, dict[str, Any]] = {
    "as in MarianMT": {"activation": "swish", "output_bias": True, "zero_start": True},
    "positions of Marian": {"sinusoids": "tensor2tensor", "activation": "gelu-sigmoid"},
    "learned positions, untied": {"positions": "learned", "max_positions": 70, "tie_output": False},
    "separate": {"activation": "gelu", "scale_embeddings": False},
    "one list, two matrices": {"activation": "gelu-tanh", "tie_source": False},
}


@pytest.fixture(scope="module", params=EXPORTED)
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[RunFolder, Path]:
    """A run with made-up weights, and the folder that it was written to."""
    folder = tmp_path_factory.mktemp("run")
    settings = TokenizerSettings(
        vocabulary_size=60, source_normalization="identity", languages=("de", "pt_BR")
    )
    sides = [
        train_tokenizer(lines_of(known, 300, 5), settings).tokenizer
        for known in (SOURCE_WORDS, TARGET_WORDS)
    ]
    sides = sides if request.param == "separate" else [sides[0], sides[0]]
    tokenizers = Tokenizers(*sides)
    options = EXPORTED[request.param]
    config = TransformerConfig(
        **{"width": 32, "heads": 4, "feed_forward": 48, "norm": "post"},
        **{"encoder_layers": 2, "decoder_layers": 1, **options},
    )
    data = DataConfig(source=("/home/me/own.en",), target=("own.de",), source_language="en")
    write_run(made_up(config, tokenizers, data), folder / "run")
    run = RunFolder(folder / "run")
    export_run(run.path, folder / "written", "huggingface")
    return run, folder / "written"


def test_an_exported_run_translates_equally_in_transformers(
    exported: tuple[RunFolder, Path],
) -> None:
    run, folder = exported
    model = transformers.MarianMTModel.from_pretrained(folder).eval()
    tokenizer = transformers.MarianTokenizer.from_pretrained(folder)
    lines = lines_of(SOURCE_WORDS, 50, 6)
    # As the run does by default, other than that each line is searched as a whole
    options = SearchOptions(beam=1, no_repeat_ngram=2, max_ratio=0, max_extra=24)
    settings = TranslationSettings(search=options, target_language="de", unknown="keep")
    ours = [each.text for each in Translator.load(run.path, settings).translate(lines)]
    batch = tokenizer([f">>de<< {line}" for line in lines], return_tensors="pt", padding=True)
    found = model.generate(
        **batch, num_beams=1, no_repeat_ngram_size=2, max_new_tokens=24, early_stopping=None
    )
    theirs = tokenizer.batch_decode(found, skip_special_tokens=True)
    # Tags in the middle of a translation are symbols here, and text there.
    written = ["".join(re.sub(">>[A-Za-z_]+<<", "", line).split()) for line in theirs]
    assert written == ["".join(line.split()) for line in ours]
    assert len(set(ours)) > 10


def test_what_was_exported_is_read_again(exported: tuple[RunFolder, Path], tmp_path: Path) -> None:
    run, folder = exported
    read = huggingface.read(folder)
    write_run(read, tmp_path / "again")
    config, again = run.load_config().model, read.config
    different = {name for name, _, _ in config.differences(again)}
    assert different <= {"output_bias", "zero_start", "tie_source"}
    lines = [f"<2pt_BR> {line}" for line in hostile_lines(200)]
    for beam in (1, 4) if config.output_bias else (1,):
        search = SearchOptions(beam=beam, length_penalty="power", max_ratio=0, max_extra=24)
        settings = TranslationSettings(search=search)
        ours, theirs = (
            [each.text for each in Translator.load(path, settings).translate(lines)]
            for path in (run.path, tmp_path / "again")
        )
        assert ours == theirs


def test_a_model_card_says_how_to_use_it_and_where_it_is_from(
    exported: tuple[RunFolder, Path],
) -> None:
    text = (exported[1] / "README.md").read_text()
    assert "license: cc-by-4.0" in text
    assert "`own.en`" in text
    assert "/home/me" not in text
    assert "MarianTokenizer.from_pretrained" in text
    assert huggingface.read(exported[1]).origin.licence == "cc-by-4.0"


def test_a_model_card_has_the_figures_of_the_weights_that_training_chose(
    exported: tuple[RunFolder, Path], tmp_path: Path
) -> None:
    run = RunFolder(shutil.copytree(exported[0].path, tmp_path / "run"))
    assert "The run recorded no figures." in model_card(run)
    for update, bleu in ((10, 20.0), (20, 30.0), (30, 25.0)):
        is_best = bleu != 25.0
        run.metrics.append(
            {"kind": "validation", "update": update, "bleu": bleu, "is_best": is_best}
        )
    assert "after update 20:\n\n| metric | value |\n|---|---|\n| BLEU | 30.00 |" in model_card(run)
    run.metrics.append(
        {"kind": "final", "update": 30, "weights": "the average of updates 10, 20", "bleu": 31.5}
    )
    assert "the average of updates 10, 20:\n\n| metric" in model_card(run)
    assert "| BLEU | 31.50 |" in model_card(run)
