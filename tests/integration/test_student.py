"""A student in Firefox's format is trained, exported and imported; two engines agree on it."""

from pathlib import Path

import pytest

STUDENT = {
    **{"width": 64, "heads": 4, "feed_forward": 128, "encoder_layers": 2, "decoder_layers": 2},
    **{"dropout": 0.0, "norm": "post", "norm_epsilon": 1e-6, "decoder_attention": "ssru"},
    **{"sinusoids": "tensor2tensor", "zero_start": "true", "output_bias": "true"},
    **{"alignment_layer": 1, "alignment_head": 0},
}
LINES = 100


def test_a_trained_student_translates_the_same_in_another_engine(seq2seq, train) -> None:
    fxtranslate = pytest.importorskip("fxtranslate")
    learning = {"schedule": "cosine", "learning_rate": 0.005, "warmup_updates": 60}
    command = train(**learning, max_updates=300, validate_every=300)
    folder = command.folder
    lines = (folder / "train.en").read_text().splitlines()
    links = (" ".join(f"{k}-{k}" for k in range(len(line.split()))) for line in lines)
    (folder / "train.align").write_text("".join(f"{line}\n" for line in links))
    settings = [f"model.{name}={value}" for name, value in STUDENT.items()]
    settings += ["data.alignments=train.align", "training.guided_alignment=0.3"]
    done = command(*(part for each in settings for part in ("--set", each)))
    assert done.code == 0, done.stderr

    export = ["export", "run", "model", "--format", "firefox"]
    for arguments in (export, ["import", "model", "imported"]):
        done = seq2seq(*arguments, folder=folder)
        assert done.code == 0, done.stderr
    (folder / "lines.en").write_text("".join(f"{line}\n" for line in lines[:LINES]))
    translate = ["translate", "imported", "-i", "lines.en", "-o", "ours.de", "--unknown", "keep"]
    ours = {}
    for name, more in {"float32": [], "shortlist": ["--shortlist"]}.items():
        done = seq2seq(*translate, "--precision", "float32", *more, folder=folder)
        assert done.code == 0, done.stderr
        ours[name] = (folder / "ours.de").read_text().splitlines()
    parts = [read(folder / "model", f"{name}*") for name in ("model", "vocab", "vocab")]
    theirs = {
        "float32": fxtranslate.Translator(*parts),
        "shortlist": fxtranslate.Translator(*parts, read(folder / "model", "lex*")),
    }
    references = (folder / "train.de").read_text().splitlines()
    for name, engine in theirs.items():
        found = [engine.translate(line) for line in lines[:LINES]]
        equal = sum(a == b for a, b in zip(found, ours[name], strict=True))
        assert equal >= 0.99 * len(found)
        right = sum(a == b for a, b in zip(found, references, strict=False))
        assert right > 0.9 * len(found)


def read(folder: Path, pattern: str) -> bytes:
    (path,) = folder.glob(pattern)
    return path.read_bytes()
