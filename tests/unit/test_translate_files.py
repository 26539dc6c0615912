"""Processes that translate a file go on with blocks of theirs, and know the number of each line."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from seq2seq_cli.cli import translate_files
from seq2seq_cli.cli.translate_files import TranslatedFiles, translate_in_blocks
from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.data.sources import parse_text
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.translation import TranslationSettings, blocks
from seq2seq_cli.translation.results import Candidate, Format, Translation

DEFAULT_SETTINGS = TranslationSettings()


@dataclass(frozen=True)
class Work:
    """A translation that is continued in blocks."""

    source: str = "one\ttwo\n"
    column: int = 1
    prefix: str = ""
    runs: tuple[str, ...] = ("a",)
    format: Format = "text"
    settings: TranslationSettings = DEFAULT_SETTINGS

    def do(self, folder: Path) -> None:
        """Translate as the first of two processes, whose one block is all there is."""
        (folder / "in.tsv").write_text(self.source)
        (folder / "prefix").write_text(self.prefix)
        files = TranslatedFiles(
            parse_text(f"{folder / 'in.tsv'}:{self.column}"),
            folder / "out",
            self.format,
            prefix=parse_text(str(folder / "prefix")) if self.prefix else None,
        )
        translator: Any = SimpleNamespace(
            settings=self.settings, copies="no", translate=self.translated
        )
        prefixes = translate_files.read_prefixes(files)
        translate_in_blocks(translator, files, prefixes, list(map(Path, self.runs)))

    @staticmethod
    def translated(
        lines: list[str], begun: Sequence[str] | None, *, first_number: int, **_: object
    ) -> list[Translation]:
        """Translate each line as "eins", with its number and its prefix."""
        numbers = range(first_number, first_number + len(lines))
        begun = begun or [""] * len(lines)
        return [
            Translation(line, [Candidate(f"{prefix} eins {number} {line}".strip())])
            for line, prefix, number in zip(lines, begun, numbers, strict=True)
        ]


CHANGES: list[dict[str, Any]] = [
    {"source": "three\ttwo\n"},
    {"column": 2},
    {"prefix": "ei\n"},
    {"runs": ("b",)},
    {"runs": ("a", "b")},
    {"format": "tsv"},
    {"settings": TranslationSettings(search=SearchOptions(beam=4))},
    {"settings": TranslationSettings(unknown="keep")},
]


def test_blocks_are_continued_only_by_the_same_translation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever changes what is written makes another translation; workers do not."""
    monkeypatch.setattr(RunFolder, "weights_hash", lambda run: f"hash of {run.path}")
    monkeypatch.setattr(translate_files, "rank_and_count", lambda: (0, 1))
    warnings: list[str] = []
    monkeypatch.setattr(translate_files.console, "warn", warnings.append)

    def is_continued(before: Work, now: Work) -> bool:
        def broken_off(*_: object, **__: object) -> int:
            (tmp_path / "out.blocks/00000000.block").write_text("of before\n")
            return 1

        with monkeypatch.context() as patch:
            patch.setattr(blocks, "convert_in_blocks", broken_off)
            before.do(tmp_path)
        warnings.clear()
        now.do(tmp_path)
        text = (tmp_path / "out").read_text()
        assert ("of before" in text) != ("eins" in text)
        assert ("continuing" in warnings[0]) == ("of before" in text)
        assert not (tmp_path / "out.blocks").exists()
        return "of before" in text

    assert is_continued(Work(), Work())
    assert is_continued(Work(), Work(settings=TranslationSettings(workers=3)))
    for change in CHANGES:
        assert not is_continued(Work(), replace(Work(), **change)), change
    assert not is_continued(Work(prefix="ei\n"), Work(prefix="zw\n"))


def test_each_line_of_any_block_has_its_number_and_its_prefix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunFolder, "weights_hash", lambda run: "hash")
    monkeypatch.setattr(translate_files, "rank_and_count", lambda: (0, 1))
    monkeypatch.setattr(translate_files, "WINDOW_LINES", 3)
    monkeypatch.setattr(blocks, "BLOCK_LINES", 4)
    numbers = range(1, 12)
    work = Work("".join(f"{n}\t\n" for n in numbers), prefix="".join(f"p{n}\n" for n in numbers))
    work.do(tmp_path)
    expected = [f"p{number} eins {number} {number}" for number in numbers]
    assert (tmp_path / "out").read_text().splitlines() == expected
