"""A run folder stands alone and runs no code; a damaged one is refused with the reason."""

import ast
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import seq2seq_cli
from seq2seq_cli.runs.run_folder import RunFolder

SOURCES = sorted(Path(seq2seq_cli.__file__).parent.rglob("*.py"))


def change(name: str, how: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Damage one file."""

    def damage(run: Path) -> None:
        data = (run / name).read_bytes()
        assert how(data) != data
        (run / name).write_bytes(how(data))

    return damage


def config(old: str, new: str) -> Callable[[Path], None]:
    return change("config.toml", lambda data: data.replace(old.encode(), new.encode()))


def without_section(name: str) -> Callable[[Path], None]:
    """Take a whole section out of config.toml."""

    def cut(data: bytes) -> bytes:
        before, _, rest = data.partition(f"[{name}]\n".encode())
        _, bracket, after = rest.partition(b"\n[")
        return before + (bracket + after).lstrip(b"\n")

    return change("config.toml", cut)


def flip(place: int) -> Callable[[bytes], bytes]:
    """Change one bit."""
    return lambda data: data[:place] + bytes([data[place] ^ 1]) + data[place:][1:]


def pickled(run: Path) -> None:
    torch.save({"output.weight": torch.zeros(1)}, run / "model.safetensors")


def other_tokenizer(run: Path) -> None:
    model = (run / "tokenizer.model").read_bytes()
    (run / "tokenizer.model").write_bytes(model.replace(b"seven", b"sevem"))


def remove(name: str) -> Callable[[Path], None]:
    return lambda run: (run / name).unlink()


WEIGHTS, CONFIG, TOKENIZER = "copy/model.safetensors", "copy/config.toml", "copy/tokenizer.model"

DAMAGES = {
    "weights cut short": (
        change("model.safetensors", lambda data: data[:-100]), f"{WEIGHTS} is damaged"
    ),
    "weights cut in the header": (
        change("model.safetensors", lambda data: data[:50]), f"{WEIGHTS} is damaged"
    ),
    "weights empty": (change("model.safetensors", lambda data: b""), f"{WEIGHTS} is damaged"),
    "weights garbled": (
        change("model.safetensors", lambda data: data[::-1]), f"{WEIGHTS} is damaged"
    ),
    "a bit of the weights flipped": (change("model.safetensors", flip(-1000)), "have the hash"),
    "weights missing": (remove("model.safetensors"), f"{WEIGHTS} is missing"),
    "weights pickled": (pickled, f"{WEIGHTS} is damaged"),
    "not TOML": (config("[model]", "[model"), f"{CONFIG} is not valid TOML"),
    "not text": (config("[model]", "\udcff".encode("utf-8", "surrogateescape").decode("latin-1")),
                f"{CONFIG}"),
    "unknown key": (
        config("dropout =", "dropuot ="),
        f"{CONFIG}: unknown setting model.dropuot; did you mean model.dropout?",
    ),
    "unknown section": (config("[training]", "[trainin]"), f"{CONFIG}"),
    "wrong type": (config("width = 32", 'width = "32"'), f"{CONFIG}: model.width"),
    "other width": (config("width = 32", "width = 64"), f"{WEIGHTS} does not fit config.toml"),
    "other depth": (
        config("encoder_layers = 1", "encoder_layers = 2"), f"{WEIGHTS} does not fit config.toml"
    ),
    "other heads": (
        config("heads = 2", "heads = 4"),
        f"{WEIGHTS} does not fit config.toml: the weights were trained with model.heads = 2, the "
        "file says 4; put it back",
    ),
    "other activation": (config('"relu"', '"gelu"'), "trained with model.activation = 'relu'"),
    **{
        f"section {name} missing": (without_section(name), CONFIG)
        for name in ("data", "tokenizer", "model", "training", "vocabulary", "sha256")
    },
    "config missing": (remove("config.toml"), "copy is not a run folder: it has no config.toml"),
    "tokenizer missing": (remove("tokenizer.model"), f"{TOKENIZER}: no such file"),
    "tokenizer damaged": (
        change("tokenizer.model", lambda data: data[:-20]), f"{TOKENIZER}"
    ),
    "another tokenizer": (other_tokenizer, f"{TOKENIZER} is not the tokenizer"),
    "another vocabulary": (config("joint = true", "joint = false"), "it lacks tensor"),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_folder_is_refused_with_what_is_wrong(damage, message, seq2seq, run_copy):
    damage(run_copy)
    done = seq2seq("translate", "copy", stdin=b"one .\n", folder=run_copy.parent)
    assert (done.code, done.stdout) == (2, b"")
    assert done.stderr.startswith("seq2seq: error: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_run_loads_after_settings_that_only_training_uses_were_edited(seq2seq, run_copy):
    before = seq2seq("translate", "copy", stdin=b"one .\n", folder=run_copy.parent)
    for old, new in (
        *(
            ("\ndropout = 0.1", "\ndropout = 0.6"),
            ("attention_dropout = 0.0", "attention_dropout = 0.5"),
        ),
        *(('activation_dropout = "auto"', "activation_dropout = 0.4"),),
        *(("layer_dropout = 0.0", "layer_dropout = 0.3"),),
    ):
        assert old in (run_copy / "config.toml").read_text()
        config(old, new)(run_copy)
    done = seq2seq("translate", "copy", stdin=b"one .\n", folder=run_copy.parent)
    assert (done.code, done.stdout) == (0, before.stdout), done.stderr


def test_swapped_tokenizers_are_refused(seq2seq, train):
    command = train(max_updates=1)
    assert command("--set", "data.joint_vocabulary=false").code == 0
    source, target = command.run / "source.model", command.run / "target.model"
    source.rename(command.run / "other")
    target.rename(source)
    (command.run / "other").rename(target)
    done = seq2seq("translate", command.run, stdin=b"one .\n")
    assert done.code == 2
    assert f"{source} is not the tokenizer that this model was trained with" in done.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty", "empty is not a run folder: it has no config.toml"),
        ("file", "file is a file, not a run folder"),
        ("nothing", "nothing: no such run folder"),
    ],
)
def test_a_path_without_a_run_folder_is_refused(name, message, seq2seq, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("text")
    done = seq2seq("translate", name, stdin=b"one .\n", folder=tmp_path)
    assert (done.code, done.stderr) == (2, f"seq2seq: error: {message}\n")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_nothing_is_pickled(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            assert not {"pickle", "cPickle", "shelve", "marshal", "joblib"} & set(names)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            # It reads weights of others, and runs no code of the file.
            assert any(ast.unparse(each) == "weights_only=True" for each in node.keywords)
        if isinstance(node, ast.Attribute):
            assert ast.unparse(node) not in ("torch.save", "np.load")


def test_the_folder_needs_nothing_beside_it(seq2seq, train, tmp_path):
    command = train()
    (command.folder / "data").mkdir()
    assert command().code == 0
    first = seq2seq("translate", "run", stdin=b"one two .\n", folder=command.folder)
    moved = tmp_path / "elsewhere" / "model"
    moved.parent.mkdir()
    shutil.move(command.run, moved)
    for path in command.folder.glob("*.*"):
        path.unlink()
    shutil.rmtree(moved / "training")
    second = seq2seq("translate", moved, stdin=b"one two .\n")
    assert first.code == 0
    assert second == first


# What older versions wrote -> what is written today.
OLDER_SETTINGS = {
    "part_tokens = ": "micro_batch_tokens = ",
    "compile_layers = ": "torch_compile = ",
    "recompute_layers = ": "activation_checkpointing = ",
}
OLDER_STATE = {
    '"validated": ': '"last_validation": ',
    '"without_better": ': '"without_improvement": ',
    '"kept": ': '"saved_weights": ',
    '"window": ': '"since_report": ',
}


def make_older(run: Path) -> None:
    """Give a run folder the names that older versions wrote."""
    (state,) = run.glob("training/update-*/state.json")
    for file, names in ((run / "config.toml", OLDER_SETTINGS), (state, OLDER_STATE)):
        text = file.read_text()
        for old, new in names.items():
            assert text.count(new) == 1
            text = text.replace(new, old)
        file.write_text(text)


def test_a_folder_of_an_older_version_translates_and_is_resumed(seq2seq, train):
    command = train(max_updates=20, checkpoint_every=10, validate_every=10, patience=0)
    last = command.run / "training/update-00000040/weights.safetensors"
    assert command("--max-updates", 40).code == 0
    unbroken = last.read_bytes()
    assert command("--restart").code == 0
    expected = seq2seq("translate", command.run, stdin=b"one two .\n")
    make_older(command.run)
    assert expected.code == 0
    assert seq2seq("translate", command.run, stdin=b"one two .\n") == expected
    resumed = command("--max-updates", 40)
    assert resumed.code == 0, resumed.stderr
    assert last.read_bytes() == unbroken
    config = (command.run / "config.toml").read_text()
    assert [name in config for name in OLDER_SETTINGS.values()] == [True, True, True]


def test_an_old_name_in_the_command_is_an_error_that_says_the_new_one(train):
    command = train(part_tokens=100)
    error = "the setting training.part_tokens was renamed; write training.micro_batch_tokens"
    for done in (command(), train()("--set", "training.part_tokens=100")):
        assert (done.code, done.stderr) == (2, f"seq2seq: error: {error}\n")


@pytest.mark.parametrize(
    "largest",
    [
        pytest.param(50_000, id="weights too large"),
        pytest.param(120_000, id="optimizer too large"),
    ],
)
def test_a_full_disk_leaves_the_last_checkpoint_to_resume_from(largest, train):
    command = train(checkpoint_every=10, validate_every=10, max_updates=30)
    assert command().code == 0
    expected = (command.run / "model.safetensors").read_bytes()
    shutil.rmtree(command.run)

    assert command(writes=60).code < 0
    before = RunFolder(command.run).checkpoints.load()
    assert before is not None
    done = command(largest_file=largest)
    assert done.code == 1
    assert done.stderr.splitlines()[-1].startswith(
        "seq2seq: error: cannot write to the run folder: File too large; the checkpoint of update "
    )
    after = RunFolder(command.run).checkpoints.load()
    assert after is not None
    assert after.state == before.state
    assert not list(command.run.rglob("*.tmp"))
    assert command().code == 0
    assert (command.run / "model.safetensors").read_bytes() == expected


@pytest.mark.parametrize("largest", [0, 200, 3000])
def test_a_disk_that_is_full_from_the_start_is_an_error_and_no_traceback(largest, train):
    command = train(max_updates=1)
    done = command(largest_file=largest)
    assert done.code == 1
    assert "Traceback" not in done.stderr
    assert "File too large" in done.stderr.splitlines()[-1]
    assert command().code == 0


def test_a_loss_that_is_not_finite_stops_with_the_last_checkpoint_complete(train):
    command = train(learning_rate=1e30, warmup_updates=0, checkpoint_every=1000)
    done = command()
    assert done.code == 1
    error = done.stderr.splitlines()[-1]
    assert error.startswith("seq2seq: error: the loss of update 2 is not finite")
    assert "the checkpoint of update 0 is complete" in error
    assert "lower training.learning_rate (now 1e+30)" in error
    checkpoint = RunFolder(command.run).checkpoints.load()
    assert checkpoint is not None
    assert checkpoint.state.update == 0
    assert all(tensor.isfinite().all() for tensor in checkpoint.weights.values())


def test_metrics_say_how_training_went(trained):
    lines = (trained / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    steps = [record for record in records if record["kind"] == "training"]
    assert [step["update"] for step in steps] == list(range(50, 401, 50))
    assert steps[0]["loss"] > 2 > 1 > steps[-1]["loss"]
    assert all(a["seconds"] < b["seconds"] for a, b in itertools.pairwise(steps))
    assert all(step["tokens_per_second"] > 0 for step in steps)
