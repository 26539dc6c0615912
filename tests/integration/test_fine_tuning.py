"""Training that begins from another run: its weights, its settings, its pieces, and no need of it.

The run that all begin from is `trained`; each test has a copy of it beside its corpus.
"""

import dataclasses
import json
import shutil
import signal
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2seq_cli.errors import InputError
from seq2seq_cli.models import TranslationModel
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.symbols import NEVER
from seq2seq_cli.tokenization.tokenizer import Tokenizer
from seq2seq_cli.training.fine_tuning import PretrainedRun
from seq2seq_cli.training.progress import SilentListener
from seq2seq_cli.training.run import train_run

# So small a rate that an update changes nothing that shows.
STILL = ("--max-updates", "1", "--set", "training.learning_rate=1e-12")
SHORT = ("--max-updates", "20", "--set", "training.checkpoint_every=5")

FineTune = Callable[..., Any]


@pytest.fixture
def fine_tune(seq2seq, corpus, trained) -> FineTune:
    """`seq2seq train --init-from origin --output tuned`, in a folder with both."""
    shutil.copytree(trained, corpus / "origin")
    files = ["--source", "train.en", "--target", "train.de"]
    files += ["--valid-source", "valid.en", "--valid-target", "valid.de"]

    def run(*options: object, output: str = "tuned", **how: Any) -> Any:
        given = ["train", *files, "--init-from", "origin", "--output", output, *options]
        return seq2seq(*given, folder=corpus, **how)

    return run


def left(run: Path) -> dict[str, bytes]:
    """Weights and optimizer, byte by byte."""
    return {str(f.relative_to(run)): f.read_bytes() for f in sorted(run.rglob("*.safetensors"))}


def weights(run: Path) -> dict[str, torch.Tensor]:
    return dict(RunFolder(run).load_model().named_parameters())


def test_it_begins_where_the_other_run_ended_with_its_model_and_tokenizer(fine_tune, corpus):
    only_training = {"dropout": 0.3, "activation_dropout": 0.4, "layer_dropout": 0.2}
    given = [f"--set=model.{name}={value}" for name, value in only_training.items()]
    done = fine_tune(*STILL, *given)
    assert done.code == 0, done.stderr
    origin, tuned = corpus / "origin", corpus / "tuned"
    for name, value in weights(origin).items():
        torch.testing.assert_close(weights(tuned)[name], value, rtol=0, atol=1e-6)
    assert (tuned / "tokenizer.model").read_bytes() == (origin / "tokenizer.model").read_bytes()
    settings = [tomllib.loads((run / "config.toml").read_text()) for run in (origin, tuned)]
    assert settings[1]["model"] == settings[0]["model"] | only_training
    assert settings[1]["training"]["init_from"] == "origin"
    label = RunFolder(origin).path / "model.safetensors"
    assert settings[1]["training"]["init_sha256"] in label.read_bytes()[:2000].decode("latin-1")


def test_it_continues_byte_for_byte_when_the_other_run_is_gone(fine_tune, corpus):
    options = (*SHORT, "--set", 'training.freeze=["encoder"]')
    assert fine_tune(*options).code == 0
    expected = left(corpus / "tuned")
    shutil.rmtree(corpus / "tuned")
    assert fine_tune(*options, writes=40).code == -signal.SIGKILL
    assert list(corpus.glob("tuned/training/update-*"))
    (corpus / "origin").rename(corpus / "elsewhere")
    done = fine_tune(*options)
    assert done.code == 0, done.stderr
    assert left(corpus / "tuned") == expected


def test_its_settings_given_back_begin_from_the_same_weights_or_not_at_all(fine_tune, corpus):
    assert fine_tune(*STILL).code == 0
    again = ("--config", "tuned/config.toml")
    assert fine_tune(*again, output="again").code == 0
    assert left(corpus / "again") == left(corpus / "tuned")
    assert fine_tune(*SHORT, output="other").code == 0
    shutil.rmtree(corpus / "origin")
    (corpus / "other").rename(corpus / "origin")
    done = fine_tune(*again, output="third")
    assert done.code == 2
    assert "origin holds other weights than training.init_sha256 says" in done.stderr
    assert not (corpus / "third").exists()


class Meanwhile(SilentListener):
    """Saves other weights in a run once a training that begins from it has read its text."""

    def __init__(self, run: Path) -> None:
        self.run = RunFolder(run)

    def said(self, sentence: str) -> None:
        if sentence.startswith("model: "):
            saved = {name: value + 0.5 for name, value in weights(self.run.path).items()}
            self.run.save_model({name: value.detach() for name, value in saved.items()})


@pytest.mark.parametrize("expected", ["", "the ones of before"])
def test_a_run_in_training_may_save_its_weights_meanwhile(
    corpus: Path, trained: Path, expected: str
) -> None:
    """Training keeps the hash of those it begins with, and begins with no others than asked for."""
    origin = corpus / "origin"
    shutil.copytree(trained, origin)
    config = RunFolder(trained).load_config()
    begins = {
        "init_from": str(origin),
        "init_sha256": PretrainedRun(RunFolder(origin)).sha256 if expected else "",
        "max_updates": 1,
        "learning_rate": 1e-12,
    }
    files = {
        field.name: tuple(
            str(corpus / Path(path).name) for path in getattr(config.data, field.name)
        )
        for field in dataclasses.fields(config.data)
        if field.name in ("source", "target", "valid_source", "valid_target")
    }
    config = dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, **files),
        training=dataclasses.replace(config.training, **begins),
    )

    def tune() -> None:
        train_run(
            config,
            corpus / "tuned",
            warn=print,
            device=torch.device("cpu"),
            listener=Meanwhile(origin),
        )

    if expected:
        with pytest.raises(
            InputError, match=r"holds other weights than training\.init_sha256 says"
        ):
            tune()
        assert not (corpus / "tuned" / "config.toml").exists()
        return
    tune()
    for name, value in weights(origin).items():
        torch.testing.assert_close(weights(corpus / "tuned")[name], value, rtol=0, atol=1e-6)
    kept = RunFolder(corpus / "tuned").load_config().training.init_sha256
    assert kept == PretrainedRun(RunFolder(origin)).sha256


def test_pieces_that_both_vocabularies_have_keep_their_vectors(fine_tune, seq2seq, corpus):
    """From one joint vocabulary to two of characters, each with one that was never seen."""
    for language, new in (("en", "é"), ("de", "ß")):
        (corpus / f"new.{language}").write_text(f"{new}\n")
        texts = [f"train.{language}", f"new.{language}"]
        made = ["tokenizer", "train", *texts, "-o", f"{language}.model"]
        assert seq2seq(*made, "--model-type", "char", folder=corpus).code == 0
    given = ("--source-tokenizer", "en.model", "--target-tokenizer", "de.model")
    long = ("--set", "data.max_length=100")
    done = fine_tune(*STILL, *given, *long)
    assert done.code == 0, done.stderr
    before = Tokenizer.load(corpus / "origin" / "tokenizer.model").vocabulary
    origin, tuned = weights(corpus / "origin"), weights(corpus / "tuned")
    for side, language in (("source", "en"), ("target", "de")):
        now = Tokenizer.load(corpus / f"{language}.model").vocabulary
        shared = [piece for piece in now if piece in before]
        assert 4 < len(shared) < len(now)
        said = f"{side} embeddings: {len(shared)} of {len(now)} pieces carried over, "
        assert f"{said}{len(now) - len(shared)} new" in done.stderr
        rows, places = [now.index(p) for p in shared], [before.index(p) for p in shared]
        found = tuned[f"{side}_embedding.weight"][rows]
        expected = origin["target_embedding.weight"][places]  # which is the source's too
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_added_pieces_and_languages_extend_the_run_and_continue_byte_for_byte(
    seq2seq, trained, corpus
):
    shutil.copytree(trained, corpus / "origin")
    files = ["--source", "train.en", "--valid-source", "valid.en"]
    files += ["--target", "de=train.de", "--valid-target", "de=valid.de"]

    def fine_tune(*options, **how):
        given = ["train", *files, "--init-from", "origin", "--output", "tuned", *options]
        return seq2seq(*given, folder=corpus, **how)

    (corpus / "new.txt").write_text("▁onetwo\n▁Dreißig\n")
    given = ("--add-pieces", "new.txt", "--add-language", "de", "--add-language", "sv")
    options = (*SHORT, *given, "--set", 'training.freeze=["decoder"]')
    done = fine_tune(*options)
    assert done.code == 0, done.stderr
    before = Tokenizer.load(corpus / "origin" / "tokenizer.model")
    now = Tokenizer.load(corpus / "tuned" / "tokenizer.model")
    assert now.vocabulary == [*before.vocabulary, "▁onetwo", "▁Dreißig", "<2de>", "<2sv>"]
    size = len(before)
    assert f"embeddings: {size} of {size + 4} pieces carried over, 4 new as the mean" in done.stderr
    origin, tuned = weights(corpus / "origin"), weights(corpus / "tuned")
    assert all(
        torch.equal(value, tuned[name])
        for name, value in origin.items()
        if TranslationModel.group(name) == "decoder"
    )
    expected = left(corpus / "tuned")
    shutil.rmtree(corpus / "tuned")
    assert fine_tune(*options, writes=40).code == -signal.SIGKILL
    (corpus / "new.txt").rename(corpus / "moved.txt")
    again = tuple("moved.txt" if option == "new.txt" else option for option in options)
    assert fine_tune(*again).code == 0
    assert left(corpus / "tuned") == expected
    (corpus / "other.txt").write_text("▁three\n▁other\n")
    done = fine_tune(*("other.txt" if option == "new.txt" else option for option in options))
    assert done.code == 2
    assert "has other pieces than tuned began with" in done.stderr


def test_a_model_with_all_settings_of_published_ones_is_tuned_and_continues(seq2seq, corpus):
    """Output bias, untied output, embedding norm, one aligning head, and a frozen output."""
    (corpus / "model.toml").write_text(
        '[model]\narchitecture = "transformer"\nwidth = 32\nencoder_layers = 1\n'
        'decoder_layers = 2\nheads = 2\nfeed_forward = 64\nnorm = "post"\noutput_bias = true\n'
        "tie_output = false\nembedding_norm = true\nnorm_epsilon = 1e-6\nfirst_position = 2\n"
        'sinusoids = "tensor2tensor"\nactivation = "gelu-tanh"\nalignment_layer = 1\n'
        "alignment_head = 0\n[tokenizer]\nvocabulary_size = 60\n[data]\nmax_length = 40\n"
        "[training]\nbatch_tokens = 300\nlearning_rate = 0.005\nwarmup_updates = 20\n"
    )
    files = ["--source", "train.en", "--target", "train.de"]
    files += ["--valid-source", "valid.en", "--valid-target", "valid.de"]
    begun = ["train", *files, "--config", "model.toml", "--max-updates", "60", "--output", "origin"]
    done = seq2seq(*begun, folder=corpus)
    assert done.code == 0, done.stderr
    count = len((corpus / "train.en").read_text().splitlines())
    (corpus / "links").write_text("0-0\n" * count)
    options = ["train", *files, "--init-from", "origin", "--output", "tuned", *SHORT]
    options += ["--set", 'training.freeze=["output", "encoder"]']
    options += ["--set", "data.alignments=links", "--set", "training.guided_alignment=0.1"]
    options += ["--set", "training.ema_decay=0.9", "--set", "training.r_drop=1"]
    assert seq2seq(*options, folder=corpus).code == 0
    expected = left(corpus / "tuned")
    origin, tuned = weights(corpus / "origin"), weights(corpus / "tuned")
    kept = {name for name in origin if torch.equal(origin[name], tuned[name])}
    assert kept == {n for n in origin if TranslationModel.group(n) in ("output", "encoder")}
    shutil.rmtree(corpus / "tuned")
    assert seq2seq(*options, folder=corpus, writes=40).code == -signal.SIGKILL
    assert seq2seq(*options, folder=corpus).code == 0
    assert left(corpus / "tuned") == expected


def test_an_imported_model_is_tuned_with_new_pieces_and_continues_byte_for_byte(seq2seq, corpus):
    """Through files of Marian: with an output bias, and rows that are never written."""
    (corpus / "model.toml").write_text(
        '[model]\narchitecture = "transformer"\nwidth = 32\nencoder_layers = 1\n'
        'decoder_layers = 1\nheads = 2\nfeed_forward = 64\nnorm = "post"\noutput_bias = true\n'
        'norm_epsilon = 1e-6\nsinusoids = "tensor2tensor"\nzero_start = true\n'
        "[tokenizer]\nvocabulary_size = 60\n[data]\nmax_length = 40\n[training]\n"
        "batch_tokens = 300\nlearning_rate = 0.005\nwarmup_updates = 20\n"
    )
    texts = ["--source", "train.en", "--target", "train.de"]
    texts += ["--valid-source", "valid.en", "--valid-target", "valid.de"]

    def run(*arguments, **how):
        done = seq2seq(*arguments, folder=corpus, **how)
        assert done.code == (-signal.SIGKILL if how else 0), done.stderr
        return done

    run("train", *texts, "--config", "model.toml", "--max-updates", "60", "--output", "origin")
    run("export", "origin", "exported", "--format", "marian")
    run("import", "exported", "imported")
    (corpus / "new.txt").write_text("▁twoone\n")
    tune = ["train", *texts, "--init-from", "imported", "--output", "tuned"]
    tune += ["--add-pieces", "new.txt", "--add-language", "de", "--max-updates", "40"]
    for setting in ("checkpoint_every=5", "validate_every=20", "warmup_updates=4"):
        tune += ["--set", f"training.{setting}"]
    tune += ["--set", "training.learning_rate=0.003", "--set", "training.freeze=encoder"]
    done = run(*tune)
    assert "2 new as the mean of the pieces that their text was cut into" in done.stderr
    facts = tomllib.loads((corpus / "tuned" / "config.toml").read_text())
    assert facts["origin"]["format"] == "marian"
    metrics = [json.loads(line) for line in (corpus / "tuned" / "metrics.jsonl").open()]
    losses = [each["loss"] for each in metrics if each["kind"] == "validation"]
    assert losses[-1] < losses[0]
    bias = weights(corpus / "tuned")["output.bias"]
    never = weights(corpus / "imported")["output.bias"] < NEVER / 2
    assert never.any()
    assert (bias[: len(never)] < NEVER / 2).equal(never)
    expected = left(corpus / "tuned")
    shutil.rmtree(corpus / "tuned")
    run(*tune, writes=40)
    run(*tune)
    assert left(corpus / "tuned") == expected


def test_frozen_parameters_do_not_change(fine_tune, corpus):
    done = fine_tune(*SHORT, "--set", 'training.freeze=["encoder", "embeddings"]')
    assert done.code == 0, done.stderr
    assert "frozen: encoder, embeddings, " in done.stderr
    origin, tuned = weights(corpus / "origin"), weights(corpus / "tuned")
    changed = {name for name in origin if not torch.equal(origin[name], tuned[name])}
    assert changed == {name for name in origin if TranslationModel.group(name) == "decoder"}


REFUSED = {
    "another width": (
        ["--set", "model.width=16"],
        "the weights of origin were trained with model.width = 32 and do not fit 16",
    ),
    "another architecture": (["--preset", "rnn"], "trained with model.architecture"),
    "no run": (["--init-from", "origins"], "origins: no such run folder"),
    "itself": (["--output", "origin", "--restart"], '"origin" is the run folder to write'),
    "pieces and tokenizers": (
        ["--add-pieces", "train.en", "--source-tokenizer", "a", "--target-tokenizer", "a"],
        "training.add_pieces and training.add_languages extend the vocabulary of",
    ),
    "no pieces": (["--add-pieces", "none.txt"], "none.txt: no such file"),
    "no language": (["--add-language", "2x"], 'training.add_languages has "2x"'),
    "no part": (
        ["--set", "training.freeze=attention"],
        '"attention": this model has no such parameter group',
    ),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_it_cannot_begin_from_is_refused_before_anything_is_written(
    options, message, fine_tune, corpus
):
    before = sorted(corpus.rglob("*"))
    done = fine_tune(*STILL, *options)
    assert done.code == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(corpus.rglob("*")) == before


def test_an_unknown_group_to_freeze_is_refused_before_text_is_read(fine_tune):
    done = fine_tune(*STILL, "--set", "training.freeze=attention")
    assert "training pairs:" not in done.stderr


def test_settings_of_tokenizers_that_are_given_are_said_to_have_no_effect(fine_tune):
    done = fine_tune(*STILL, "--set", "data.joint_vocabulary=false", "--set", "tokenizer.seed=2")
    for name in ("data.joint_vocabulary", "tokenizer.seed"):
        assert f"{name} has no effect: the tokenizers are those of --init-from" in done.stderr


def test_a_run_without_weights_is_refused(fine_tune, corpus):
    (corpus / "origin" / "model.safetensors").unlink()
    done = fine_tune(*STILL)
    assert done.code == 2
    assert "model.safetensors is missing: that run has not been validated yet" in done.stderr
