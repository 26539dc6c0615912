"""Attention can be taught by word alignments; files with wrong links are refused by line."""

from pathlib import Path

import pytest

SETTINGS = {"max_updates": 250, "validate_every": 250}


def diagonal(lines: list[str]) -> list[str]:
    """Word k belongs to word k, as in all of the toy corpus."""
    return [" ".join(f"{k}-{k}" for k in range(len(line.split()))) for line in lines]


@pytest.fixture
def guide(train):
    """Train with alignments of the corpus, given line by line; returns the command and its end."""

    def run(*more: object, weight: float = 1.0, change=lambda links: links, **settings: object):
        command = train(**SETTINGS | settings)
        lines = (command.folder / "train.en").read_text().splitlines()
        links = change(diagonal(lines))
        (command.folder / "train.align").write_text("".join(f"{line}\n" for line in links))
        given = ["data.alignments=train.align", f"training.guided_alignment={weight}"]
        return command, command(*(part for one in given for part in ("--set", one)), *more)

    return run


def share_on_the_diagonal(seq2seq, folder: Path, run: str) -> float:
    """Of the links that a model shows for the validation text."""
    translate = ["translate", run, "-i", "valid.en", "--alignment", "found.align", "--beam", 1]
    done = seq2seq(*translate, folder=folder)
    assert done.code == 0, done.stderr
    links = (folder / "found.align").read_text().split()
    return sum(len({*link.split("-")}) == 1 for link in links) / len(links)


def test_guided_attention_shows_the_alignment_it_was_taught(seq2seq, guide):
    command, done = guide("--output", "guided")
    assert done.code == 0, done.stderr
    assert "alignments: " in done.stderr
    assert "not guided" not in done.stderr
    assert command("--output", "free").code == 0
    guided = share_on_the_diagonal(seq2seq, command.folder, "guided")
    free = share_on_the_diagonal(seq2seq, command.folder, "free")
    assert guided > 0.9 > free + 0.1


def test_lines_of_pairs_that_are_left_out_are_left_out_too(seq2seq, guide, corpus):
    """An alignment a line off would teach nothing; a second corpus goes on where the first ends."""
    for language, word in (("en", "one"), ("de", "eins")):
        left_out = f"\n{f'{word} ' * 13}\n"
        (corpus / f"more.{language}").write_text(
            left_out + (corpus / f"train.{language}").read_text()
        )
        (corpus / f"train.{language}").write_text(f"{left_out}{word}\n{left_out}")
    second = diagonal((corpus / "more.en").read_text().splitlines())
    more = ["--source", "more.en", "--target", "more.de"]
    command, done = guide(*more, change=lambda links: [*links, *second])
    assert done.code == 0, done.stderr
    assert "training pairs: 307 read, 301 used" in done.stderr
    assert "dropped 3 with a blank side" in done.stderr
    assert "dropped 3 longer than data.max_length" in done.stderr
    assert share_on_the_diagonal(seq2seq, command.folder, "run") > 0.9


def test_lines_that_get_a_tag_are_not_aligned_by_positions_without_it(train):
    command = train(max_updates=1)
    more = ["--set", "data.alignments=train.align", "--set", "training.guided_alignment=0.1"]
    files = {"--target": "de=train.de", "--valid-target": "de=valid.de"}
    done = command(*more, "--set", 'tokenizer.languages=["de"]', files=files)
    assert done.code == 2
    assert "data.alignments cannot be used with targets that are marked" in done.stderr


def test_text_that_comes_through_a_pipe_is_aligned_too(train):
    command = train(max_updates=1)
    text = (command.folder / "train.en").read_text()
    links = diagonal(text.splitlines())
    (command.folder / "train.align").write_text("".join(f"{line}\n" for line in links))
    more = ["--set", "data.alignments=train.align", "--set", "training.guided_alignment=0.1"]
    done = command.start(*more, files={"--source": "-"}).finish(text.encode())
    assert done.code == 0, done.stderr
    assert f"alignments: {text.count(' ') + 300:,} links\n" in done.stderr


@pytest.mark.parametrize(
    ("more", "options", "message"),
    [
        (
            [],
            {"change": lambda links: [*links[:6], "0-99", *links[7:]]},
            "train.align, line 7: 0-99 links word 99 of the target, whose last word is ",
        ),
        (
            [],
            {"change": lambda links: links[:-1]},
            "train.align: there are 299 lines but more pairs",
        ),
        ([], {"weight": 0}, "training.guided_alignment, a weight above 0, and data.alignments"),
        (["--set", "data.alignments=tran.align"], {}, "tran.align: no such file; did you mean"),
        (
            ["--preset", "rnn", "--config", "/dev/null"],
            {},
            "the architecture rnn does not have; ",
        ),
    ],
)
def test_what_cannot_guide_is_refused(more, options, message, guide):
    command, done = guide(*more, **options)
    assert done.code == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not command.run.exists()


def test_alignments_without_a_link_are_refused(guide):
    _, done = guide(change=lambda links: [""] * len(links))
    assert done.code == 2
    assert "no line of the pairs that are used has a link" in done.stderr


def test_a_run_continues_with_the_alignments_it_began_with_and_no_others(guide):
    _, done = guide(max_updates=20, checkpoint_every=10)
    assert done.code == 0, done.stderr
    more = ["--max-updates", 30]
    _, done = guide(
        *more, change=lambda links: ["", *links[1:]], max_updates=20, checkpoint_every=10
    )
    assert done.code == 2
    assert "data is not what this run began with" in done.stderr
    _, done = guide(*more, max_updates=20, checkpoint_every=10)
    assert done.code == 0, done.stderr
