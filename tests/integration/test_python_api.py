"""The Python API gives what the commands write, to the byte, and its examples run."""

import dataclasses
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import seq2seq_cli.translation
from seq2seq_cli.errors import InputError
from seq2seq_cli.kernels import library as kernels
from seq2seq_cli.search import SearchOptions, TorchPredictor, engine
from seq2seq_cli.translation import Candidate, TranslationSettings, Translator, likelihoods

LINES = ["one two .", "", "three four five six .", "one two three . " * 7, "seven"]
PREFIXES = ["neun", "", "", "acht", "sieben"]


def written(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def test_defaults_are_those_of_the_command(seq2seq: Any, trained: Path) -> None:
    translations = Translator.load(str(trained)).translate(LINES)
    done = seq2seq("translate", trained, stdin=written(LINES))
    assert written([translation.text for translation in translations]) == done.stdout
    warnings = [f"seq2seq: warning: {text}\n" for each in translations for text in each.warnings]
    assert warnings
    assert "".join(warnings) == done.stderr


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        (
            ["--n-best", 3],
            TranslationSettings(search=SearchOptions(n_best=3), alignments="if-possible"),
        ),
        (
            ["--sample", "--seed", 7, "--n-best", 2],
            TranslationSettings(
                search=SearchOptions(sample=True, seed=7, n_best=2), alignments="if-possible"
            ),
        ),
        (
            ["--precision", "int8", "--shortlist", "--beam", 2],
            TranslationSettings(
                search=SearchOptions(beam=2),
                precision="int8",
                shortlist=True,
                alignments="if-possible",
            ),
        ),
    ],
    ids=["n-best", "sample", "int8"],
)
def test_all_that_is_known_of_a_line_is_the_same(
    arguments: list[object], settings: TranslationSettings, seq2seq: Any, trained: Path
) -> None:
    translations = Translator.load(trained, settings).translate(LINES)
    numbered = list(enumerate(translations, start=1))
    done = seq2seq("translate", trained, "--format", "jsonl", *arguments, stdin=written(LINES))
    assert written([each.as_jsonl(number) for number, each in numbered]) == done.stdout


def first_candidate(translator: Translator) -> Candidate:
    return translator.translate(["one two ."])[0].candidates[0]


def log_score(translator: Translator) -> float:
    """The score of the first candidate without a penalty of coverage."""
    candidate, options = first_candidate(translator), translator.settings.search
    return sum(candidate.token_scores) / options.length_penalty_for(len(candidate.token_scores))


# Another value of each setting than the default, and what shows that two runs obey it.
OBEYED: dict[str, tuple[dict[str, Any], Callable[[Translator], bool]]] = {
    "search": (
        {"search": SearchOptions(coverage_penalty=0.1)},
        lambda translator: first_candidate(translator).score < log_score(translator) - 1e-4,
    ),
    "weights": (
        {"weights": (3.0, 1.0)},
        lambda translator: (
            [round(math.exp(each), 4) for each in translator.predictor.log_weights] == [0.75, 0.25]
        ),
    ),
    "alignments": (
        {"alignments": "if-possible"},
        lambda translator: first_candidate(translator).alignment is not None,
    ),
    "unknown": (
        {"unknown": "keep"},
        lambda translator: "日本" not in translator.translate(["one 日本 three"])[0].text,
    ),
    "split_sentences": (
        {"split_sentences": "on"},
        lambda translator: translator.translate(["one . two ."])[0].as_jsonl(1).count("</s>") == 2,
    ),
    "source_language": (
        {"source_language": "de"},  # the files of the run are called train.en
        lambda translator: translator.source_language == "de",
    ),
    "precision": (
        {"precision": "int8"},
        lambda translator: (
            translator.predictor.eight_bits and translator.predictor.models[1].output.eight_bits
        ),
    ),
    "shortlist": (
        {"shortlist": True},
        lambda translator: translator.predictor.shortlist is not None,
    ),
    "batch_tokens": ({"batch_tokens": 7}, lambda translator: translator.batch_budget() == 7),
    "workers": ({"workers": 2}, lambda translator: translator.settings.workers == 2),
}

# A value of each other setting that these runs refuse.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "target_language": ({"target_language": "de"}, "was not trained with marked targets"),
    "device": ({"device": "abacus"}, "--device abacus: auto, cpu, cuda"),
}


@pytest.mark.parametrize("field", dataclasses.fields(TranslationSettings), ids=lambda f: f.name)
def test_every_setting_is_obeyed(field: dataclasses.Field[Any], trained: Path) -> None:
    runs = [trained, trained]
    if field.name in REFUSED:
        changed, message = REFUSED[field.name]
        with pytest.raises(InputError, match=message):
            Translator.load(runs, TranslationSettings(**changed))
        return
    changed, is_obeyed = OBEYED[field.name]
    assert not is_obeyed(Translator.load(runs))
    assert is_obeyed(Translator.load(runs, TranslationSettings(**changed)))


def test_an_ensemble_with_prefixes_and_alignments_is_the_same(
    seq2seq: Any, trained: Path, tmp_path: Path
) -> None:
    (tmp_path / "prefixes").write_bytes(written(PREFIXES))
    arguments = ["--weights", "2,1", "--prefix", "prefixes", "--alignment", "pairs"]
    done = seq2seq(
        *("translate", trained, trained, *arguments, "--format", "jsonl"),
        stdin=written(LINES),
        folder=tmp_path,
    )
    settings = TranslationSettings(weights=(2, 1), alignments="required")
    found = Translator.load([trained, trained], settings).translate(LINES, PREFIXES)
    assert written([each.as_jsonl(number) for number, each in enumerate(found, 1)]) == done.stdout
    assert written([each.as_pharaoh() for each in found]) == (tmp_path / "pairs").read_bytes()


def test_likelihoods_are_the_same(seq2seq: Any, trained: Path, tmp_path: Path) -> None:
    targets = ["eins zwei .", "", "drei vier", "eins .", "sieben"]
    (tmp_path / "source").write_bytes(written(LINES))
    done = seq2seq(
        *("likelihood", trained, "--source", "source", "--format", "jsonl"),
        stdin=written(targets),
        folder=tmp_path,
    )
    translator = Translator.load(trained, TranslationSettings(batch_tokens=4096))
    scored = likelihoods(translator, LINES, targets)
    assert written([likelihood.as_jsonl() for likelihood in scored]) == done.stdout


@pytest.mark.parametrize(
    ("prefixes", "message"),
    [
        (["eins"], "prefixes has 1 line but the text has 2"),
        (["", "日本"], "prefixes, line 2: the run has no pieces for some of its characters"),
    ],
    ids=["too few", "unknown"],
)
def test_prefixes_that_do_not_fit_are_refused(
    prefixes: list[str], message: str, trained: Path
) -> None:
    with pytest.raises(InputError, match=message):
        Translator.load(trained).translate(["one", "two"], prefixes)


TOY = {"A man rides a bicycle.": "one two .", "A woman sleeps.": "three .", "Ein Mann": "acht"}


def test_the_examples_of_the_package_run(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    (tmp_path / "runs").mkdir()
    for name in ("en-de", "a", "b"):
        (tmp_path / "runs" / name).symlink_to(trained)
    monkeypatch.chdir(tmp_path)
    documentation = seq2seq_cli.translation.__doc__ or ""
    code = "\n".join(line[4:] for line in re.findall(r"^(?: {4}.*)?$", documentation, re.M))
    for text, toy in TOY.items():
        code = code.replace(text, toy)
    exec(code, {})
    first, second, ranked = capfd.readouterr().out.splitlines()
    assert (first, second) == ("eins zwei .", "drei .")
    assert ranked.startswith('{"line": 1, "source": "one two .", "hypotheses": [{"text": "acht ')


def test_what_has_no_kernels_says_that_pytorch_translates(seq2seq: Any, trained: Path) -> None:
    assert not Translator.load(trained).slow_reason or kernels.build_in_use() is None
    done = seq2seq("translate", trained, "--precision", "bfloat16", stdin=b"one .\n")
    assert done.code == 0
    assert "PyTorch translates instead, which is slower" in done.stderr


def test_an_option_that_kernels_do_not_have_is_obeyed_in_pytorch(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "SERVED_OPTIONS", engine.SERVED_OPTIONS - {"no_repeat_ngram"})
    plain, asked = (
        Translator.load(trained, TranslationSettings(search=SearchOptions(no_repeat_ngram=size)))
        for size in (0, 2)
    )
    assert "--no-repeat-ngram" not in plain.slow_reason
    assert isinstance(asked.predictor, TorchPredictor)
    assert (
        asked.slow_reason == "there are no kernels for --no-repeat-ngram" or not kernels.library()
    )
