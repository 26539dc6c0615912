"""`seq2seq translate` as a pipe: N lines in, N lines out, at once, whatever the lines hold."""

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from itertools import permutations
from pathlib import Path

import pytest

from tests.integration.conftest import number_words

ODD_LINES = [
    (b"one two .", "eins zwei .", "LF"),
    (b"", "", "blank"),
    (b"three .\r", "drei .", "CRLF"),
    (b" \t ", "", "only spaces"),
    (b"four\x00five .", "vier fünf .", "NUL acts as a space"),
    (b"\x00\x07", "", "only control characters"),
    ("six\u2028seven .".encode(), "sechs sieben .", "line separator"),
    ("eight\u0085nine .".encode(), "acht neun .", "next line"),
    (b"one\x0cthree .", "eins drei .", "form feed"),
    (b"two\rfour .", "zwei vier .", "CR inside a line"),
    (b"zero .", "null .", "no line end"),
]


def test_a_line_in_is_a_line_out_whatever_it_holds(seq2seq, trained):
    text = b"\xef\xbb\xbf" + b"\n".join(line for line, _, _ in ODD_LINES)
    done = seq2seq("translate", trained, stdin=text)
    assert done.code == 0
    assert done.stdout.decode() == "".join(f"{expected}\n" for _, expected, _ in ODD_LINES)
    assert done.stderr == ""


def test_invalid_utf8_is_replaced_and_its_line_named(seq2seq, trained):
    done = seq2seq("translate", trained, stdin=b"one .\n\xff\xfe two .\nthree .\n")
    first, _, third = done.stdout.decode().splitlines()
    assert (first, third) == ("eins .", "drei .")
    broken, unknown = done.stderr.splitlines()
    assert broken == (
        "seq2seq: warning: standard input: 1 line is not valid UTF-8, broken bytes are replaced by "
        "U+FFFD (line 2)"
    )
    assert "line 2: the run has no pieces for" in unknown  # U+FFFD


def test_empty_input_is_empty_output(seq2seq, trained):
    done = seq2seq("translate", trained)
    assert (done.code, done.stdout, done.stderr) == (0, b"", "")


def test_each_line_is_answered_before_the_next_is_given(seq2seq, trained):
    process = seq2seq.start("translate", trained)
    for line, answer in [
        (b"one .\n", b"eins .\n"),
        (b"\n", b"\n"),
        (b"two six .\n", b"zwei sechs"),
    ]:
        process.stdin.write(line)
        assert process.stdout.read(100).startswith(answer)
    assert process.finish().code == 0


def test_the_translation_of_a_line_depends_on_no_other(seq2seq, trained):
    lines = [f"{' '.join(words)} ." for words in permutations(("one", "six", "two", "nine"), 3)]
    lines += [line[: len(line) // 2] for line in lines] + ["", "three . " * 10, "zwölf"]
    together = seq2seq("translate", trained, stdin="\n".join(lines).encode())
    backwards = seq2seq(
        "translate", trained, "--batch-tokens", 1, stdin="\n".join(reversed(lines)).encode()
    )
    assert len(set(together.stdout.splitlines())) > 24
    assert together.stdout.splitlines() == backwards.stdout.splitlines()[::-1]


def test_a_line_that_is_too_long_is_translated_in_segments_with_a_warning(seq2seq, trained):
    lines = [
        (
            "one two three . " * 7,
            ["one two three . " * 3, "one two three . " * 3, "one two three ."],
        ),
        ("four five six " * 9, ["four five six " * 4, "four five six " * 4, "four five six "]),
        ("seven" * 8, ["seven" * 2] * 4),
    ]
    given = [line for line, _ in lines] + [text for _, segments in lines for text in segments]
    done = seq2seq("translate", trained, stdin="\n".join(given).encode())
    translations = iter(done.stdout.decode().splitlines())
    joined = [next(translations) for _ in lines]
    for line, (_, segments) in zip(joined, lines, strict=True):
        assert line == " ".join(next(translations) for _ in segments)
    first, all_lines = done.stderr.splitlines()
    assert "line 1 has " in first
    assert " tokens, the model reads 12: split into 3 segments" in first
    assert "lines 1, 2 and 3 have more tokens than the model reads and were split" in all_lines
    asked = seq2seq("translate", trained, "--format", "jsonl", stdin="\n".join(given).encode())
    records = [json.loads(line) for line in asked.stdout.splitlines()]
    for record, (_, segments) in zip(records, lines, strict=False):
        [warning] = record["warnings"]
        assert warning.endswith(f" the model reads 12: split into {len(segments)} segments")


def test_files_in_and_out(seq2seq, trained, tmp_path):
    (tmp_path / "line.en").write_text("one .\ntwo .\n")
    done = seq2seq("translate", trained, "-i", "line.en", "-o", "out", folder=tmp_path)
    assert (done.code, done.stdout, done.stderr) == (0, b"", "")
    assert (tmp_path / "out").read_text() == "eins .\nzwei .\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-i", "lime.en"], "lime.en: no such file; did you mean line.en?"),
        (
            ["-i", "line.en", "-o", "no/out"],
            "no/out: cannot be written: no is not a writable directory",
        ),
        (["-i", "line.en", "-o", "."], ".: cannot be written: it is a directory"),
        (
            ["-i", "line.en", "-o", "line.en"],
            "line.en is both input and output; write to another file",
        ),
        (["--beam", "0"], "Invalid value for '--beam'"),
        (["--device", "gpu"], "--device gpu: auto, cpu, cuda, cuda:N and mps are allowed"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_message(
    arguments, message, seq2seq, trained, tmp_path
):
    (tmp_path / "line.en").write_text("one .\n")
    done = seq2seq("translate", trained, *arguments, folder=tmp_path)
    assert done.code == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "line.en").read_text() == "one .\n"


def test_a_wrong_output_is_refused_before_the_model_is_loaded(seq2seq, tmp_path):
    done = seq2seq("translate", tmp_path / "no-run", "-o", "no/out", folder=tmp_path)
    assert "no/out: cannot be written" in done.stderr


def endless(process, line: bytes = b"one two three .\n") -> threading.Thread:
    """Feed a process for as long as it reads."""

    def feed() -> None:
        try:
            while True:
                process.stdin.write(line * 64)
        except OSError:
            return

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("command", [("info", None), ("settings",), ("presets",), ("--version",)])
def test_a_reader_that_is_gone_ends_every_command_alike(seq2seq, trained, command):
    process = seq2seq.start(*(trained if each is None else each for each in command))
    process.stdout.close()
    assert process.wait() == 128 + signal.SIGPIPE
    assert process.stderr.read() == b""


def test_a_reader_that_goes_away_ends_it_quietly(seq2seq, trained):
    process = seq2seq.start("translate", trained)
    feeder = endless(process)
    assert process.stdout.read(13) == b"eins zwei dre"
    process.stdout.close()
    assert process.wait() == 128 + signal.SIGPIPE
    assert process.stderr.read() == b""
    feeder.join()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("reader", ["reads", "is slow"])
def test_a_signal_ends_it_with_whole_lines_written(reader, number, seq2seq, trained):
    process = seq2seq.start("translate", trained)
    if reader == "is slow":  # its pipe is full in the middle of a line
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
    endless(process)
    output = process.stdout.read(4096 if reader == "reads" else 20)
    time.sleep(0.5)
    process.send_signal(number)
    if reader == "is slow":
        time.sleep(0.2)
    output += b"".join(iter(lambda: process.stdout.read(1 << 16), b""))
    assert process.wait() == 128 + number
    assert process.stderr.read() == b""
    assert output.endswith(b"\n")
    assert set(output.splitlines()) == {b"eins zwei drei ."}


@pytest.mark.parametrize("more", [[], ["--no-repeat-ngram", 9]], ids=["compiled", "torch"])
def test_a_signal_waits_for_no_batch_of_other_threads(more, seq2seq, trained):
    """Each batch of this beam takes long, and all but the first begin in threads."""
    wide = ("--beam", 1000, "--n-best", 1000, "--format", "tsv", "--max-extra", 200)
    process = seq2seq.start("translate", trained, *wide, "--workers", 3, *more)
    threading.Thread(target=lambda: process.stdin.write(b"one two three .\n" * 20000)).start()
    time.sleep(3)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait() in (128 + signal.SIGINT, -signal.SIGINT)
    assert time.monotonic() - start < 3
    assert process.stderr.read() == b""


def test_memory_stays_flat_on_endless_input(seq2seq, trained):
    process = seq2seq.start("translate", trained, "--beam", 1)
    endless(process)

    def memory_after(lines: int) -> int:
        """KiB of resident memory when so many more lines have come."""
        while lines > 0:
            lines -= process.stdout.read(1 << 14).count(b"\n")
        status = Path(f"/proc/{process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    before = memory_after(4000)
    assert memory_after(8000) < before + 8192
    process.send_signal(signal.SIGTERM)
    process.stdout.close()
    process.wait()


def seq2seq_command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "seq2seq_cli", *map(str, arguments)]


def test_a_closed_stdout_is_an_error_and_no_traceback(trained):
    command = seq2seq_command("translate", trained)
    done = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *command], input="one .", capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr == ("seq2seq: error: standard output is closed; give it a file or a pipe\n")


def test_a_full_disk_is_an_error_and_no_traceback(seq2seq, trained):
    with Path("/dev/full").open("wb") as full:
        done = seq2seq.start("translate", trained, stdout=full.fileno()).finish(b"one .\n")
    assert done.code == 1
    message = "seq2seq: error: standard output: cannot be written: No space left on device"
    assert done.stderr.splitlines() == [message]


def test_on_a_terminal_it_prompts_line_by_line(trained):
    ours, its = pty.openpty()
    process = subprocess.Popen(
        seq2seq_command("translate", trained), stdin=its, stdout=its, stderr=its
    )
    os.close(its)

    def read_until(words: bytes) -> bytes:
        seen = b""
        while words not in seen:
            seen += os.read(ours, 1024)
        return seen

    assert read_until(b"> ") == b"> "
    os.write(ours, b"one two .\n")
    assert b"eins zwei .\r\n" in read_until(b"\n> ")
    os.write(ours, b"three .\n")
    assert b"drei .\r\n" in read_until(b"\n> ")
    os.write(ours, b"\x04")
    assert process.wait(timeout=60) == 0
    os.close(ours)


@pytest.mark.parametrize(
    ("options", "idle"),
    [
        (["--beam", 1], ["--alpha", 9]),
        (["--beam", 1], ["--length-penalty", "power"]),
        (["--beam", 1], ["--coverage-penalty", 5]),
        (["--sample"], ["--beam", 9]),
        (["--sample"], ["--alpha", -2]),
        (["--sample", "--top-k", 1], ["--seed", 7]),
        (["--sample", "--top-k", 1], ["--temperature", 3]),
        ([], ["--weights", 3]),
    ],
)
def test_an_option_that_is_said_to_have_no_effect_has_none(options, idle, seq2seq, trained):
    text = ("\n".join(number_words(5, 20)[0]) + "\n").encode()
    usual = seq2seq("translate", trained, *options, stdin=text)
    given = seq2seq("translate", trained, *options, *idle, stdin=text)
    assert (usual.code, given.code, given.stdout) == (0, 0, usual.stdout)
    assert "has no effect" not in usual.stderr
    assert given.stderr.count(f"seq2seq: warning: {idle[0]} has no effect: ") == 1
