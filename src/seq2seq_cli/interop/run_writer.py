"""Makes run folders of models of other engines, and copies of run folders."""

import dataclasses
import shutil
from pathlib import Path

from seq2seq_cli.config.settings import require
from seq2seq_cli.config.shapes import weight_shapes
from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.interop.foreign_model import ForeignModel
from seq2seq_cli.runs.layout import METRICS, RUN_CONFIG, SHORTLIST, WEIGHTS
from seq2seq_cli.runs.origin import Origin
from seq2seq_cli.runs.run_config import CorpusFacts, RunConfig, RunFacts
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.stored_weights import save_stored_weights


def write_run(model: ForeignModel, folder: Path) -> None:
    """Write a model as a run folder, one weight after the other, in the types that they have.

    Raises InputError if weights are missing, have other shapes than the settings say, or are not
    finite.
    """
    expected = weight_shapes(model.config, model.tokenizers.vocabulary)
    given = {name: weight.shape for name, weight in model.weights.items()}
    for name in sorted(expected.keys() ^ given.keys()):
        fault = "lacks" if name in expected else "has an unknown"
        require(False, f"the model {fault} weight {name}")
    for name, shape in expected.items():
        require(
            given[name] == shape,
            f"the model's {name} is {list(given[name])}, {list(shape)} by its settings",
        )
    config = RunConfig(model.data, TokenizerSettings(), model.config, TrainingConfig())
    run = RunFolder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: model.weights[name] for name in expected}
    save_stored_weights(folder / WEIGHTS, weights, dataclasses.asdict(model.config))
    if model.shortlist is not None:
        run.save_shortlist(*model.shortlist)
    # These models have learned from single sentences.
    corpus = CorpusFacts(several_sentences=0.0 if model.by_sentence else 1.0)
    facts = RunFacts(corpus, model.origin, dict(model.search))
    run.create(config, model.tokenizers, facts)


def copy_run(source: Path, folder: Path) -> None:
    """Copy what translating needs of a run folder. Raises InputError if it is damaged."""
    run = RunFolder(source)
    config, tokenizers, facts = run.load_config(), run.load_tokenizers(), run.config.facts()
    vocabulary = run.load_plain_model().vocabulary
    folder.mkdir(parents=True, exist_ok=True)
    copy = RunFolder(folder)
    for name in (WEIGHTS, METRICS):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    if (source / SHORTLIST).is_file():
        copy.save_shortlist(*run.load_shortlist(vocabulary))
    copy.create(config, tokenizers, facts)


def is_run(path: Path) -> bool:
    """Whether a run folder is here, whole or not."""
    return (path / RUN_CONFIG).is_file()


def record_origin(folder: Path, origin: Origin) -> None:
    """Replace what a run folder says about where it came from."""
    run = RunFolder(folder)
    facts = dataclasses.replace(run.config.facts(), origin=origin)
    run.config.write(run.load_config(), run.load_tokenizers(), facts)
