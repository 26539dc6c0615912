"""`seq2seq compare` with runs, and its page in a browser."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

CHROMIUM = next(filter(shutil.which, ("chromium", "chromium-browser", "google-chrome")), None)

SOURCE = "one two three\nfour five\nsix\n"
VISITOR = """<script>
const seen = {before: document.querySelector("#scores th:nth-child(2)").textContent};
const metric = document.getElementById("metric");
metric.value = "1";
metric.dispatchEvent(new Event("change"));
seen.after = document.querySelector("#scores th:nth-child(2)").textContent;
const names = document.querySelectorAll("#scores tbody td:first-child");
seen.systems = [...names].map(x => x.textContent);
const group = document.getElementById("group");
seen.groups = [...group.options].map(x => x.value);
group.value = seen.groups[seen.groups.length - 1];
group.dispatchEvent(new Event("change"));
seen.title = document.getElementById("groupTitle").textContent;
seen.rows = document.querySelectorAll("#groups tbody tr").length;
seen.wrong = [...document.querySelectorAll("article .wrong")].map(x => x.textContent);
seen.colour = getComputedStyle(document.querySelector("article .wrong")).color;
seen.wide = document.documentElement.scrollWidth > innerWidth;
document.title = JSON.stringify(seen);
</script>"""


@pytest.fixture
def files(tmp_path):
    texts = {"source": SOURCE, "out": "eins zwei drei\nvier acht\nx <b>\n"}
    texts["reference"] = "eins zwei drei\nvier fünf?\nsechs\n"
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_run_translates_as_the_translate_command_does(seq2seq, trained, files):
    written = seq2seq("translate", trained, stdin=SOURCE.encode()).stdout
    (files / "written").write_bytes(written)
    command = ["compare", f"run={trained}", "written", "--source", "source", "-r", "reference"]
    done = seq2seq(*command, "--samples", "100", "-o", "out.json", folder=files)
    assert done.code == 0, done.stderr
    record = json.loads((files / "out.json").read_text())
    assert record["systems"] == ["run", "written"]
    assert "written and run have the same 3 lines" in record["notes"]


def test_files_alone_are_compared_without_torch(files):
    (files / "torch.py").write_text("raise SystemExit('torch is imported')")
    shutil.copy(files / "out", files / "other")
    start = "import sys; sys.path.insert(0, '.'); from seq2seq_cli.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", start, "compare", "out", "other", "-r", "reference"],
        cwd=files,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here to open the page with")
def test_a_visitor_of_the_page_chooses_metric_and_groups(seq2seq, files):
    (files / "other").write_text("eins\nvier fünf?\nsieben\n")
    page = files / "page.html"
    command = ["compare", "out", "عربي=other", "-r", "reference", "--samples", "100", "-o", page]
    assert seq2seq(*command, folder=files).code == 0
    page.write_text(page.read_text().replace("</body>", f"{VISITOR}</body>"))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000"]
    browser = [str(CHROMIUM), *options, f"--user-data-dir={files / 'user'}", "--dump-dom"]
    shown = subprocess.run(
        [*browser, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    ).stdout
    title = shown.partition("<title>")[2].partition("</title>")[0]
    seen = json.loads(title.replace("&lt;", "<").replace("&gt;", ">"))
    assert (seen["before"], seen["after"]) == ("BLEU", "chrF2")
    assert seen["systems"] == ["out (baseline)", "عربي"]
    assert seen["groups"] == ["end of the reference"]
    assert (seen["title"], seen["rows"]) == ("chrF2 by end of the reference", 2)
    assert "x <b>" in seen["wrong"]
    assert seen["colour"] != "rgb(26, 26, 26)"
    assert not seen["wide"]


def test_a_reader_that_goes_away_ends_it_as_by_a_broken_pipe(tmp_path: Path) -> None:
    for name, text in (("a", "one two\n"), ("b", "one three\n")):
        (tmp_path / name).write_text(text)
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "seq2seq_cli", "compare", "a", "b", "-r", "a"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, cwd=tmp_path)
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")
