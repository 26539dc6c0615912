"""`seq2seq train`: what it refuses and how, what it reports, and that a run can be given again."""

import gzip
import json
from pathlib import Path

import pytest
import torch

from seq2seq_cli.runs.tensors import load_tensors

REFUSED_FILES = {
    "no such file": (
        {"--source": "trian.en"}, "trian.en: no such file; did you mean train.en?"
    ),
    "unequal sides": (
        {"--target": "short.de"},
        "train.en has 300 lines but short.de has 299; line k of the one must belong to line k",
    ),
    "nothing in it": (
        {"--source": "empty", "--target": "empty"},
        "empty and empty are empty: there is no sentence pair",
    ),
    "only blank lines": (
        {"--valid-source": "blank", "--valid-target": "blank"},
        "blank and blank do not contain a sentence pair; blank pairs: 3",
    ),
    "all too long": (
        {"--source": "long.en"},
        "none of the 300 pairs is left: 300 are longer than data.max_length = 12 tokens",
    ),
}  # fmt: skip

REFUSED_OPTIONS = {
    "unknown preset": (
        ["--preset", "transfomer-tiny"],
        "unknown preset 'transfomer-tiny'; did you mean transformer-tiny?",
    ),
    "unknown key": (
        ["--set", "training.max_update=5"],
        "unknown setting training.max_update; did you mean training.max_updates?",
    ),
    "unknown section": (
        ["--set", "modle.width=5"],
        "unknown setting [modle]; did you mean [model]?",
    ),
    "no section": (["--set", "width=5"], "--set width=5: give section.key=value"),
    "wrong type": (
        ["--set", "training.max_updates=many"],
        'training.max_updates = "many": a whole number is allowed',
    ),
    "no code": (
        ["--set", "data.source_language=english"],
        'data.source_language = "english": a code of two or three letters is allowed',
    ),
    "wrong choice": (["--set", "training.schedule=cosin"], 'did you mean "cosine"?'),
    "out of range": (["--set", "model.dropout=1.5"], "model.dropout = 1.5: at least 0 and below 1"),
    "R-Drop of equal passes": (
        ["--set", "training.r_drop=5", "--set", "model.dropout=0"],
        "training.r_drop = 5.0 draws two passes together that drop other things, and nothing is",
    ),
    "one tokenizer": (
        ["--source-tokenizer", "a.model"],
        "data.source_tokenizer and data.target_tokenizer belong together",
    ),
    "no such device": (["--device", "meta"], "--device meta: auto, cpu, cuda"),
    "a seed too great": (["--seed", "9" * 23], "at most 1,000,000,000,000 is allowed"),
    "a model too large": (
        ["--set", "model.width=100000000000", "--set", "model.heads=1"],
        "does not fit into memory",
    ),
    "no device": (["--device", "gpu"], "--device gpu: auto, cpu, cuda, cuda:N and mps are allowed"),
    "no settings file": (["--config", "tini.toml"], "no such file; did you mean tiny.toml?"),
    "no TOML": (["--config", "train.en"], "train.en is not valid TOML"),
    "a folder of others": (["--output", "others"], "others exists and is not a run folder"),
    "a file": (["--output", "train.en"], "train.en exists and is not a run folder"),
    "in a file": (["--output", "train.en/run"], "train.en"),
}


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        *[pytest.param(files, [], text, id=id) for id, (files, text) in REFUSED_FILES.items()],
        *[pytest.param({}, given, text, id=id) for id, (given, text) in REFUSED_OPTIONS.items()],
    ],
)
def test_what_cannot_be_trained_is_refused_with_a_message(files, options, message, train):
    command = train()
    german = (command.folder / "train.de").read_text()
    (command.folder / "short.de").write_text(german.removesuffix("\n").rpartition("\n")[0] + "\n")
    (command.folder / "long.en").write_text(("one two " * 7 + "\n") * 300)
    (command.folder / "empty").touch()
    (command.folder / "blank").write_text("\n \n\t\n")
    (command.folder / "others").mkdir()
    (command.folder / "others" / "notes").write_text("mine")
    before = sorted(command.folder.rglob("*"))
    done = command(*options, files=files)
    assert done.code == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(command.folder.rglob("*")) == before


def test_without_output_it_names_the_missing_option(seq2seq):
    done = seq2seq("train", "--source", "a", "--target", "b")
    assert done.code == 2
    assert "--output" in done.stderr
    assert "name the run folder to write" in done.stderr


def test_plain_lines_tell_of_data_model_progress_and_validation(train):
    command = train(max_updates=100, validate_every=50, valid_samples=1)
    for name, change in (("train.en", "\n \none"), ("train.de", "eins\n\nzwei")):
        text = (command.folder / name).read_text()
        (command.folder / name).write_text(f"{change}\n{text}")
    done = command()
    assert (done.code, done.stdout) == (0, b"")
    assert "\x1b" not in done.stderr
    lines = iter(done.stderr.splitlines())
    for beginning in (
        "tokenizer: vocabulary size: ",
        "training pairs: 303 read, 301 used",
        "  dropped 2 with a blank side",
        "  source: ",
        "  target: ",
        "  length ratio target/source: 1.0",
        "model: transformer, ",
        "device: CPU, 1 thread, ",
        "update 50  epoch ",
        "validation at update 50: loss ",
        "  BLEU|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:",
        "  source:     ",
        "  reference:  ",
        "  hypothesis: ",
        "update 100  epoch ",
        "validation at update 100: loss ",
        "done: the limit of 100 updates was reached. Translate with: seq2seq translate run",
    ):
        assert any(line.startswith(beginning) for line in lines), f"{beginning!r} not in this order"


def test_quiet_says_nothing_and_metrics_say_all(train):
    command = train(validate_every=20)
    done = command("--quiet")
    assert (done.code, done.stdout, done.stderr) == (0, b"", "")
    records = [json.loads(line) for line in (command.run / "metrics.jsonl").open(encoding="utf-8")]
    records = [record for record in records if record["kind"] != "final"]  # if they are averages
    assert [(record["kind"], record["update"]) for record in records] == [
        ("validation", 20), ("training", 40), ("validation", 40),
    ]  # fmt: skip
    training, validation = records[1:]
    assert {
        "loss", "learning_rate", "gradient_norm", "tokens_per_second", "seconds", "epoch"
    } <= training.keys()  # fmt: skip
    assert {"loss", "perplexity", "bleu", "chrf", "is_best", "seconds"} <= validation.keys()
    assert [signature.split("|")[0] for signature in validation["signatures"]] == ["BLEU", "chrF2"]


def test_a_fault_is_reported_once_and_noted_at_each_validation(train):
    command = train(validate_every=20)
    for language, letter in (("en", "ж"), ("de", "ш")):
        line = " ".join(4 * letter)
        (command.folder / f"valid.{language}").write_text(f"{line}\n" * 300)
    done = command("--quiet")
    assert done.code == 0
    first, second = done.stderr.splitlines()
    assert "warning: 50.0% of validation's source tokens are unknown to the vocabulary" in first
    assert "warning: training and validation text differ: " in second
    records = [json.loads(line) for line in (command.run / "metrics.jsonl").open(encoding="utf-8")]
    faults = [record["faults"] for record in records if record["kind"] == "validation"]
    assert faults == [["unknown", "different-data"]] * 2


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_gzip_and_settings_of_a_run_given_back_train_the_same_model(train, seq2seq):
    command = train(max_updates=10)
    assert command().code == 0

    again = ["train", "--config", "run/config.toml", "--output", "again"]
    assert seq2seq(*again, folder=command.folder).code == 0
    assert weights(command.folder / "again") == weights(command.run)

    for name in ("train.en", "train.de", "valid.en", "valid.de"):
        plain = command.folder / name
        (command.folder / f"{name}.gz").write_bytes(gzip.compress(plain.read_bytes()))
    packed = {"--source": "train.en.gz", "--target": "train.de.gz", "--valid-source": "valid.en.gz"}
    assert command("--output", "packed", files=packed).code == 0
    assert weights(command.folder / "packed") == weights(command.run)


def test_vocabularies_are_joint_separate_or_given(train, seq2seq):
    command = train(max_updates=1)

    def tokenizers(*options: str, output: str) -> set[str]:
        done = command(*options, "--output", output)
        assert done.code == 0, done.stderr
        return {path.name for path in (command.folder / output).glob("*.model")}

    assert tokenizers(output="joint") == {"tokenizer.model"}
    separate = ["--set", "data.joint_vocabulary=false"]
    assert tokenizers(*separate, output="separate") == {"source.model", "target.model"}

    for language in ("en", "de"):
        made = ["tokenizer", "train", f"train.{language}", "-o", f"{language}.model"]
        assert seq2seq(*made, "--model-type", "char", folder=command.folder).code == 0
    given = ["--source-tokenizer", "en.model", "--target-tokenizer", "de.model"]
    assert tokenizers(*given, output="given") == {"source.model", "target.model"}
    for name, model in (("source", "en"), ("target", "de")):
        used = (command.folder / "given" / f"{name}.model").read_bytes()
        assert used == (command.folder / f"{model}.model").read_bytes()
    one = ["--source-tokenizer", "en.model", "--target-tokenizer", "en.model"]
    assert tokenizers(*one, output="one") == {"tokenizer.model"}


ROUNDING = 0.03  # nats a target token that bfloat16 may make of difference, of some 2.5 at first


# Where products drop what stands between them, they draw other numbers than float32's dropout does.
SAME_DROPOUT = {"transformer": ["--set", "model.activation_dropout=0.0"], "attention-rnn": []}


@pytest.mark.parametrize("architecture", SAME_DROPOUT)
def test_bfloat16_learns_as_float32_does(architecture, train):
    """From the same weights and with the same dropout, over 200 updates."""
    losses = []
    for precision in ("float32", "bfloat16"):
        command = train(architecture, precision=precision, max_updates=200, validate_every=200)
        done = command("--restart", *SAME_DROPOUT[architecture])
        assert done.code == 0, done.stderr
        records = map(json.loads, (command.run / "metrics.jsonl").read_text().splitlines())
        losses.append([each["loss"] for each in records])
    exact, rounded = losses
    assert len(exact) == len(rounded) >= 5
    assert exact[-1] < 0.6 * exact[0]  # much was learned
    assert exact != rounded
    assert rounded == pytest.approx(exact, abs=ROUNDING)


def test_auto_batches_are_as_large_as_fits(train):
    """What was found when the run began stands in its settings, and the same command continues."""
    command = train(max_updates=5, validate_every=5)
    begun = command("--batch-tokens", "auto")
    assert begun.code == 0, begun.stderr
    assert "batches: 4,096 tokens" in begun.stderr
    assert "batch_tokens = 4096" in (command.run / "config.toml").read_text()
    gone_on = command("--batch-tokens", "auto", "--max-updates", "7")
    assert gone_on.code == 0, gone_on.stderr
    assert "continuing from update 5" in gone_on.stderr


def test_batch_tokens_are_a_number_or_auto(train):
    done = train()("--batch-tokens", "many")
    assert done.code == 2
    assert 'training.batch_tokens = "many": a whole number or "auto" is allowed' in done.stderr


def test_checkpointed_layers_change_nothing_but_memory(train):
    weights = []
    for recomputed in ("false", "true"):
        command = train(max_updates=12, validate_every=12)
        done = command("--restart", "--set", f"training.activation_checkpointing={recomputed}")
        assert done.code == 0, done.stderr
        weights.append(load_tensors(command.run / "model.safetensors"))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
