"""`seq2seq inspect` and `seq2seq info` as a user has them, the page in a real browser too."""

import html
import json
import shutil
import subprocess

import numpy as np
import pytest
from safetensors.numpy import load_file

from seq2seq_cli.kernels.library import build_in_use
from seq2seq_cli.models import ARCHITECTURES
from seq2seq_cli.runs.run_folder import RunFolder

CHROMIUM = next(filter(shutil.which, ("chromium", "chromium-browser", "google-chrome")), None)
LINES = b"one two three .\nfour five\n"
LF = b"\n"
DIGITS = ["eins", "zwei", "drei", "."]

# Does what a user does, and leaves what he then sees in the title.
VISITOR = """<script>
const target = [...document.querySelectorAll("#target li")];
const colours = () => [...document.querySelectorAll("#source li")].map(i => i.style.background);
target[1].dispatchEvent(new Event("mouseenter"));
const hovered = colours(), mean = document.querySelectorAll("#map td")[2].title;
element("head").value = "1";
element("head").dispatchEvent(new Event("change"));
const head = colours();
element("sentence").value = "1";
element("sentence").dispatchEvent(new Event("change"));
const second = [...document.querySelectorAll("#target li")].map(i => i.textContent);
document.title = JSON.stringify({hovered, mean, head, second, names: target.map(i => i.textContent),
  chosen: target.map(i => i.className), head_kept: element("head").value});
</script>"""


TREES = """1	one	_	_	_	_	2	nummod	_	_
2	two	_	_	_	_	0	root	_	_
3	three	_	_	_	_	2	appos	_	_
4	.	_	_	_	_	2	punct	_	_

1	four	_	_	_	_	2	nummod	_	_
2	five	_	_	_	_	0	root	_	_
"""

# The same for the page of words: what is named, marked and listed, before and after a movement.
WALKER = """<script>
const items = id => [...document.querySelectorAll(`#${id} li`)];
const marked = () => items("words").map(i => i.className);
const at = word => [dots[word].style.transform, labels[word].style.transform];
const before = at(1), names = items("words").map(i => i.textContent);
items("words")[1].dispatchEvent(new Event("focus"));
const seen = {names, chosen: marked(), heading: element("of").textContent,
  near: items("near").map(i => i.querySelector("bdi").textContent),
  cosines: items("near").map(i => Number(i.querySelector("span").textContent)),
  links: document.querySelectorAll("#links line").length, tree: !element("drawn").hidden,
  relations: [...document.querySelectorAll("#tree .relation")].map(i => i.textContent).sort(),
  on: [...document.querySelectorAll("#tree .word.chosen")].map(i => i.textContent),
  labels: labels.filter(i => i.textContent).length, layer: element("name").textContent};
element("layer").value = "1";
element("layer").dispatchEvent(new Event("input"));
Object.assign(seen, {moved: before[0] !== at(1)[0], together: at(1)[0] === at(1)[1],
  next: element("name").textContent, kept: marked(), share: element("share").textContent});
const box = element("plot").getBoundingClientRect();
const pointer = {clientX: box.left + places[3][0], clientY: box.top + places[3][1]};
element("plot").dispatchEvent(new PointerEvent("pointermove", pointer));
seen.pointed = marked();
element("sentence").value = "2";
element("sentence").dispatchEvent(new Event("change"));
seen.second = items("words").map(i => i.textContent);
element("side").value = "1";
element("side").dispatchEvent(new Event("change"));
Object.assign(seen, {target: items("words").map(i => i.textContent), bare: element("drawn").hidden,
  sentences: [...element("sentence").options].map(i => i.value)});
document.title = JSON.stringify(seen);
</script>"""


def plain(pieces: list[str]) -> list[str]:
    return [piece.removeprefix("▁") for piece in pieces if piece not in ("▁", "</s>")]


def test_json_holds_all_layers_and_heads(seq2seq, trained, tmp_path):
    output = tmp_path / "maps.json"
    done = seq2seq("inspect", "attention", trained, "--output", output, stdin=LINES)
    assert (done.code, done.stdout) == (0, b"")
    first, second = json.loads(output.read_text())
    assert plain(first["source"]) == ["one", "two", "three", "."]
    assert plain(first["target"]) == DIGITS
    assert plain(second["target"]) == ["vier", "fünf"]
    [layer] = first["weights"]
    assert len(layer) == 2
    for head in layer:
        assert len(head) == len(first["target"])
        assert all(sum(row) == pytest.approx(1, abs=0.01) for row in head)


def test_a_given_target_is_looked_at_instead(seq2seq, trained, tmp_path):
    (tmp_path / "target").write_text("sieben\nnull null\n")
    command = ("inspect", "attention", trained, "--target", tmp_path / "target")
    done = seq2seq(*command, stdin=LINES)
    assert done.code == 0
    assert "sieben" in done.stdout.decode()
    assert done.stdout.decode().count("null") == 2
    done = seq2seq(*command, stdin=b"one\n")
    assert (done.code, done.stdout) == (2, b"")
    assert "standard input has 1 line but" in done.stderr


@pytest.mark.parametrize(("name", "start"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml")])
def test_figures_are_drawn(name, start, seq2seq, trained, tmp_path):
    pytest.importorskip("matplotlib", reason="pip install 'seq2seq-cli[plots]' to draw figures")
    output = tmp_path / name
    assert seq2seq("inspect", "attention", trained, "-o", output, stdin=LINES).code == 0
    assert output.read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--layer", "9"), "--layer 9: 1 to 1 is allowed for this model"),
        (("--output", "a.pdf"), "a.pdf: the name must end in .png, .svg, .html or .json"),
        (("--output", "no/a.png"), "no/a.png: cannot be written: no is not a writable directory"),
    ],
)
def test_what_cannot_be_shown_is_refused(options, message, seq2seq, trained, tmp_path):
    done = seq2seq("inspect", "attention", trained, *options, stdin=LINES, folder=tmp_path)
    assert (done.code, done.stderr) == (2, f"seq2seq: error: {message}\n")


def test_a_model_without_attention_says_so(seq2seq, train):
    command = train("rnn", max_updates=1)
    assert command().code == 0
    done = seq2seq("inspect", "attention", command.run, stdin=LINES)
    assert done.code == 2
    assert "which the architecture rnn does not have; " in done.stderr
    for name, kind in ARCHITECTURES.items():
        assert name in done.stderr or not kind.attends_to_source
    options = ("--only", "cross/attention", "-o", "states.npz")
    done = seq2seq("inspect", "states", command.run, *options, stdin=LINES)
    assert done.code == 2
    assert "--only cross/attention: this model does not have that; it has source/" in done.stderr


def visit(page, script, tmp_path):
    """What a script leaves in the title of a page that a browser opens."""
    page.write_text(page.read_text().replace("</body>", f"{script}</body>"))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000"]
    command = [str(CHROMIUM), *options, f"--user-data-dir={tmp_path / 'user'}", "--dump-dom"]
    shown = subprocess.run(
        [*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    ).stdout
    return json.loads(html.unescape(shown.partition("<title>")[2].partition("</title>")[0]))


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here to open the page with")
def test_a_visitor_of_the_page_sees_where_each_token_looked(seq2seq, trained, tmp_path):
    page = tmp_path / "page.html"
    assert seq2seq("inspect", "attention", trained, "-o", page, stdin=LINES).code == 0
    seen = visit(page, VISITOR, tmp_path)
    assert plain(seen["names"]) == DIGITS
    assert seen["chosen"] == ["", "chosen", *[""] * (len(seen["names"]) - 2)]
    assert all("rgba" in colour for colour in seen["hovered"])
    assert len(set(seen["hovered"])) > 1
    assert seen["head"] != seen["hovered"]
    assert plain(seen["second"]) == ["vier", "fünf"]
    assert seen["head_kept"] == "1"
    assert "→" in seen["mean"]


def states_of(seq2seq, run, tmp_path, *options, stdin=LINES):
    """The arrays of `inspect states`, and the records of its sentences."""
    output = tmp_path / "states.npz"
    done = seq2seq("inspect", "states", run, "--output", output, *options, stdin=stdin)
    assert (done.code, done.stdout) == (0, b"")
    assert done.stderr.startswith(f"{output}: {stdin.count(LF)} lines, ")
    arrays = dict(np.load(output))
    return arrays, [json.loads(line) for line in bytes(arrays["sentences"]).splitlines()]


def test_states_are_those_of_the_translation_and_its_attention(seq2seq, trained, tmp_path):
    arrays, records = states_of(seq2seq, trained, tmp_path, stdin=b"one two three .\n\nfour five\n")
    first, blank, third = records
    assert first["target_words"] == DIGITS
    assert third["source_words"] == ["four", "five"]
    assert (blank["source_pieces"], blank["target_pieces"]) == (["</s>"], ["<s>"])
    pieces = sum(len(record["source_pieces"]) for record in records)
    for name in ("embedding", "layer-1", "output", "line", "word"):
        assert len(arrays[f"source/{name}"]) == pieces
    maps = tmp_path / "maps.json"
    assert seq2seq("inspect", "attention", trained, "-o", maps, stdin=LINES).code == 0
    expected = json.loads(maps.read_text())[0]
    assert expected["target"] == [*first["target_pieces"][1:], "</s>"]
    shape = (len(expected["target"]), len(expected["source"]), 1, 2)
    weights = arrays["cross/attention"][: arrays["cross/attention_offsets"][1]].reshape(shape)
    assert weights.transpose(2, 3, 0, 1) == pytest.approx(np.array(expected["weights"]), abs=1e-4)


def test_states_of_a_given_target_predict_as_likelihood_does(seq2seq, trained, tmp_path):
    (tmp_path / "source").write_bytes(LINES)
    (tmp_path / "target").write_text("eins null drei .\nvier\n")
    arrays, _ = states_of(seq2seq, trained, tmp_path, "--target", tmp_path / "target")
    texts = ("--source", tmp_path / "source", "--target", tmp_path / "target")
    done = seq2seq("likelihood", trained, *texts, "--format", "jsonl")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    pieces = [piece for record in records for piece in record["tokens"]]
    ids = RunFolder(trained).load_tokenizers().target.pieces_to_ids(pieces)
    weights = load_file(trained / "model.safetensors")
    logits = arrays["target/output"] @ weights["target_embedding.weight"].T
    predicted = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    scores = [score for record in records for score in record["token_scores"]]
    assert predicted[range(len(ids)), ids] == pytest.approx(scores, abs=1e-3)


@pytest.mark.parametrize(
    ("options", "stdin", "message"),
    [
        ((), b"one\n" + b"one " * 99 + b"\n", "line 2 has 99 tokens, the model reads"),
        ((), b"", "standard input is empty"),
        (("--only", "source/layer-7"), b"one\n", "--only source/layer-7: this model does not have"),
        (
            ("--output", "a.pt"),
            b"one\n",
            "a.pt: the name must end in .npz, .parquet or .safetensors",
        ),
        (("--output", "no/a.npz"), b"one\n", "no/a.npz: cannot be written: no is not a writable"),
        (("--target", "two"), b"one\n", "standard input has 1 line but two has 2; "),
        (("--target", "long"), b"one\n", "the target of line 1 has 99 tokens, the model reads"),
    ],
)
def test_states_that_cannot_be_written_leave_no_file(
    options, stdin, message, seq2seq, trained, tmp_path
):
    (tmp_path / "two").write_text("eins\nzwei\n")
    (tmp_path / "long").write_text("eins " * 99 + "\n")
    before = sorted(tmp_path.iterdir())
    options = options if "--output" in options else (*options, "--output", "a.npz")
    done = seq2seq("inspect", "states", trained, *options, stdin=stdin, folder=tmp_path)
    assert (done.code, done.stdout) == (2, b"")
    assert done.stderr.startswith(f"seq2seq: error: {message}")
    assert sorted(tmp_path.iterdir()) == before


def test_a_full_disk_leaves_no_states(seq2seq, trained, tmp_path):
    command = ("inspect", "states", trained, "-o", "a.npz")
    done = seq2seq.start(*command, folder=tmp_path, largest_file=3000).finish(LINES)
    assert done.code == 1
    assert "a.npz: cannot be written: File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here to open the page with")
def test_a_visitor_of_the_geometry_sees_words_move_and_their_neighbours(seq2seq, trained, tmp_path):
    page, trees = tmp_path / "page.html", tmp_path / "trees.conllu"
    trees.write_text(TREES)
    command = ("inspect", "geometry", trained, "--trees", trees, "--page", page)
    done = seq2seq(*command, stdin=b"one two three .\n\nfour five\n")
    assert (done.code, done.stdout) == (0, b"")
    assert done.stderr == f"{page}: 3 lines, 12 words\n"
    seen = visit(page, WALKER, tmp_path)
    assert seen["names"] == ["one", "two", "three", "."]
    assert seen["chosen"] == ["", "chosen", "", ""]
    assert seen["heading"] == "Nearest to \u2068two\u2069 in embedding"
    assert set(seen["near"]) == {"one", "three", ".", "four", "five"}
    assert seen["cosines"] == sorted(seen["cosines"], reverse=True)
    assert seen["links"] == 5
    assert seen["labels"] >= 4
    assert seen["tree"]
    assert seen["relations"] == ["appos", "nummod", "punct", "root"]
    assert seen["on"] == ["\u2068two\u2069"]
    assert (seen["layer"], seen["next"]) == ("embedding", "layer-1")
    assert seen["moved"]
    assert seen["together"]
    assert seen["kept"] == seen["chosen"]
    assert "of the variance of 6 words" in seen["share"]
    assert seen["pointed"] == ["", "", "", "chosen"]
    assert seen["second"] == ["four", "five"]
    assert seen["target"] == ["vier", "fünf"]
    assert seen["bare"]
    assert seen["sentences"] == ["0", "2"]  # the blank line is not there


@pytest.mark.parametrize(
    ("options", "stdin", "message"),
    [
        (("--page", "a.png"), LINES, "a.png: the name must end in .html or .htm"),
        (("--page", "no/a.html"), LINES, "no/a.html: cannot be written: no is not a writable"),
        (
            ("--trees", "trees.conllu"),
            b"a\nb\nc\n",
            "trees.conllu has 2 trees but standard input has",
        ),
        (("--trees", "trees.conllu"), b"one\ntwo\n", "trees.conllu, line 1: the tree of line 1 of"),
        (("--trees", "no.conllu"), LINES, "no.conllu: no such file"),
        (("--target-trees", "trees.conllu"), LINES, "--target-trees is for a translation that is"),
        ((), b"", "standard input is empty"),
        ((), b"\n", "there are no words to show: all lines are blank"),
        ((), b"one " * 99 + b"\n", "line 1 has 99 tokens, the model reads"),
        ((), b"one\n" * 1001, "standard input: more than 1,000 lines; give fewer"),
    ],
)
def test_geometry_that_cannot_be_shown_is_refused(
    options, stdin, message, seq2seq, trained, tmp_path
):
    (tmp_path / "trees.conllu").write_text(TREES)
    options = options if "--page" in options else (*options, "--page", "a.html")
    done = seq2seq("inspect", "geometry", trained, *options, stdin=stdin, folder=tmp_path)
    assert (done.code, done.stdout) == (2, b"")
    assert done.stderr.startswith(f"seq2seq: error: {message}")
    assert [path.name for path in tmp_path.iterdir()] == ["trees.conllu"]


@pytest.mark.parametrize(
    ("name", "start"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.html", b"<!DOCTYPE")]
)
def test_curves_are_drawn(name, start, seq2seq, trained, tmp_path):
    pytest.importorskip("matplotlib", reason="pip install 'seq2seq-cli[plots]' to draw figures")
    output = tmp_path / name
    done = seq2seq("inspect", "curves", trained, trained, "--over", "tokens", "-o", output)
    assert (done.code, done.stdout) == (0, b"")
    assert output.read_bytes().startswith(start)


def test_curves_are_shown_in_the_terminal(seq2seq, trained):
    done = seq2seq("inspect", "curves", trained)
    assert done.code == 0
    for figure in ("loss", "learning rate"):
        assert f"\n{figure}, " in "\n" + done.stdout.decode()


def test_info_tells_size_and_cost(seq2seq, trained):
    done = seq2seq("info", trained, "--format", "json")
    record = json.loads(done.stdout)
    assert record["architecture"] == "transformer"
    assert record["parameters"] == sum(tensor["count"] for tensor in record["tensors"])
    assert record["flops"]["target_token"] > 2 * 32 * 32
    text = seq2seq("info", trained).stdout.decode()
    assert f"{record['parameters']:,}" in text
    assert "architecture     transformer" in text
    assert record["kernels"] == build_in_use()
    assert f"kernels          {record['kernels'] or 'none'}, " in text


def _chains(sentences: int) -> str:
    """Trees in which every word depends on the one before it."""
    words = ["one", "two", "three", "four", "five"]
    blocks = []
    for number in range(sentences):
        chosen = [words[(number * step + step) % 5] for step in range(1, 4 + number % 3)]
        rows = [
            f"{index + 1}\t{word}\t_\tNUM\t_\t_\t{index}\t{'conj' if index else 'root'}\t_\t_"
            for index, word in enumerate(chosen)
        ]
        blocks.append("\n".join(rows) + "\n")
    return "\n".join(blocks)


def test_probes_tell_what_each_layer_knows_beside_what_needs_no_model(seq2seq, trained, tmp_path):
    (tmp_path / "a.conllu").write_text(_chains(48))
    arguments = ("inspect", "probe", trained, "--trees", tmp_path / "a.conllu", "--rank", "8")
    done = seq2seq(*arguments, "--format", "json", "-o", tmp_path / "tree.png")
    assert done.code == 0, done.stderr
    report = json.loads(done.stdout)
    assert [each["layer"] for each in report["layers"]] == ["embedding", "layer-1", "output"]
    assert report["linear_order"]["uuas"] == 1  # chains are the order of words
    assert (report["sentences"], report["held_out"], report["ambiguous"]) == (36, 12, [])
    assert report["layers"][0]["senses"]["accuracy"] is None
    assert 0 <= report["attention"]["related"] <= 1
    assert (tmp_path / "tree.png").read_bytes().startswith(b"\x89PNG")


def test_probes_of_the_decoder_are_given_the_source_of_each_tree(seq2seq, trained, tmp_path):
    (tmp_path / "a.conllu").write_text(_chains(48))
    (tmp_path / "a.en").write_text("one two\n\n" * 48)
    arguments = ("inspect", "probe", trained, "--trees", "a.conllu", "--format", "json")
    reports = [seq2seq(*arguments, *more, folder=tmp_path) for more in ((), ("--source", "a.en"))]
    assert [each.code for each in reports] == [0, 0]
    encoder, decoder = (json.loads(each.stdout) for each in reports)
    assert decoder["linear_order"] == encoder["linear_order"]
    assert decoder["layers"][0]["random_projection"] != encoder["layers"][0]["random_projection"]


def test_a_run_agrees_with_itself_and_untrained_ones_do_not(seq2seq, trained, tmp_path):
    lines = "one two three five\n\none, two; four three\nfive four one\n" * 8 + "one two\n"
    arguments = ("inspect", "agreement", trained, trained)
    done = seq2seq(*arguments, "--format", "json", stdin=lines.encode())
    assert done.code == 0, done.stderr
    report = json.loads(done.stdout)
    assert [each["layer"] for each in report["layers"]] == ["embedding", "layer-1", "output"]
    assert [each["other"] for each in report["layers"]] == ["embedding", "layer-1", "output"]
    for each in report["layers"]:
        assert each["trained"] == {"edges": 1, "spearman": pytest.approx(1)}
        assert each["untrained"]["spearman"] < 0.9
    assert "9 lines of fewer than 3 words left out" in done.stderr
    table = seq2seq(*arguments, stdin=lines.encode())
    assert table.stdout.decode().count("1.00 / 1.00") == 3
    few = seq2seq(*arguments, stdin=b"one two three\n")
    assert (few.code, few.stdout) == (2, b"")
    assert "seq2seq: error: 20 lines of 3 words or more are needed; 1 line given" in few.stderr


@pytest.mark.parametrize(
    ("trees", "options", "message"),
    [
        (_chains(20), (), "20 of 20 trees can be used, at least 40 are needed"),
        (_chains(48), ("--sentence", "13", "-o", "t.png"), "--sentence 13: 12 sentences are held"),
        ("one two\n", (), "a.conllu, line 1: 1 column; CoNLL-U has 10"),
        (None, (), "a.conllu"),
        (_chains(48), ("--source", "-"), "standard input has 0 lines with text and a.conllu 48"),
        (_chains(48), ("-o", "t.html"), "t.html: the name must end in .png or .svg"),
    ],
)
def test_trees_that_cannot_be_probed_are_refused(
    trees, options, message, seq2seq, trained, tmp_path
):
    if trees is not None:
        (tmp_path / "a.conllu").write_text(trees)
    done = seq2seq("inspect", "probe", trained, "--trees", "a.conllu", *options, folder=tmp_path)
    assert (done.code, done.stdout) == (2, b"")
    assert f"seq2seq: error: {message}" in done.stderr
    assert not (tmp_path / "t.png").exists()
