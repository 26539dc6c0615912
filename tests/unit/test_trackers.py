"""Event files of TensorBoard and runs of Weights & Biases have the figures of metrics.jsonl."""

import math
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.errors import InputError
from seq2seq_cli.runs.events import crc32c, figures
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.tokenization.protobuf import message_fields
from seq2seq_cli.training.trackers import check_trackers, trackers

RECORDS = [
    {"kind": "training", "update": 50, "loss": 2.5, "best_bleu": None, "seconds": 1.5},
    {"kind": "validation", "update": 60, "loss": 2.0, "bleu": 10.5, "is_best": True,
     "signatures": ["x"], "seconds": 2.0},
    {"kind": "training", "update": 100, "loss": 1.25, "best_bleu": 10.5, "seconds": 3.5},
    {"kind": "final", "update": 100, "weights": "average", "chrf": 40.0},
]  # fmt: skip


def crc_by_definition(data: bytes) -> int:
    """CRC-32C by polynomial division, bit by bit from the highest one."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= int(f"{byte:08b}"[::-1], 2) << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x1EDC6F41 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2) ^ 0xFFFFFFFF


def read_events(path: Path) -> Iterator[dict[int, Any]]:
    """The messages of an event file, whose lengths and checksums must be right to the last byte."""
    data = path.read_bytes()
    while data:
        length = int.from_bytes(data[:8], "little")
        message = data[12 : 12 + length]
        assert len(message) == length
        for part, stored in ((data[:8], data[8:12]), (message, data[12 + length : 16 + length])):
            crc = crc_by_definition(part)
            turned = (crc >> 15 | crc << 17) + 0xA282EAD8 & 0xFFFFFFFF
            assert stored == struct.pack("<I", turned)
        yield dict(message_fields(message))
        data = data[16 + length :]


def scalars(path: Path) -> list[tuple[int, str, float]]:
    """Update, name and value of every figure of an event file."""
    first, *events = read_events(path)
    assert first[3] == b"brain.Event:2"
    found = []
    for event in events:
        for number, value in message_fields(event[5]):
            assert number == 1
            fields = dict(message_fields(value))
            found.append((event[2], fields[1].decode(), struct.unpack("<f", fields[2])[0]))
    return found


def expected(records: list[dict[str, Any]]) -> list[tuple[int, str, float]]:
    return [(r["update"], name, value) for r in records for name, value in figures(r).items()]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def follow(run: RunFolder) -> Path:
    run.metrics.follow(trackers(TrainingConfig(tensorboard=True), run))
    return run.path / "tensorboard" / "events.out.tfevents.seq2seq"


def test_the_checksum_is_crc_32c() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(range(256))) == crc_by_definition(bytes(range(256)))


def test_numbers_are_figures_and_names_and_axes_are_not() -> None:
    assert figures(RECORDS[1]) == {"validation/loss": 2.0, "validation/bleu": 10.5}
    assert figures(RECORDS[0]) == {"training/loss": 2.5}


def test_an_event_file_has_the_figures_of_metrics_jsonl(run: RunFolder) -> None:
    path = follow(run)
    for record in RECORDS:
        run.metrics.append(record)
    run.metrics.close()
    assert scalars(path) == expected(RECORDS)
    times = [struct.unpack("<d", event[1])[0] for event in read_events(path)]
    assert [time - times[0] for time in times[1:]] == pytest.approx([1.5, 2.0, 3.5, 3.5])


def test_what_is_done_again_after_a_kill_is_not_there_twice(run: RunFolder) -> None:
    path = follow(run)
    for record in RECORDS[:3]:
        run.metrics.append(record)
    path.write_bytes(path.read_bytes()[:-7])  # a write that was cut
    run.metrics.close()
    run.metrics.truncate(60, 60)
    follow(run)
    assert scalars(path) == expected(RECORDS[:2])
    run.metrics.append(RECORDS[2])
    assert scalars(path) == expected(RECORDS[:3])


def test_a_setting_that_comes_later_gets_all_figures(run: RunFolder) -> None:
    for record in RECORDS[:2]:
        run.metrics.append(record)
    path = follow(run)
    run.metrics.append(RECORDS[2])
    assert scalars(path) == expected(RECORDS[:3])


def test_figures_beyond_32_bits_are_infinite(run: RunFolder) -> None:
    path = follow(run)
    run.metrics.append({"kind": "training", "update": 1, "a": 1e300, "b": -1e300, "c": math.nan})
    assert [value for _, _, value in scalars(path)][:2] == [math.inf, -math.inf]
    assert math.isnan(scalars(path)[2][2])


def test_a_run_that_begins_again_leaves_no_figures(run: RunFolder) -> None:
    path = follow(run)
    run.clear()
    assert not path.parent.exists()


def test_tensorboard_reads_the_file(run: RunFolder) -> None:
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    path = follow(run)
    for record in RECORDS:
        run.metrics.append(record)
    found = loader.EventAccumulator(str(path.parent)).Reload()
    read = [
        (event.step, tag, event.value)
        for tag in found.Tags()["scalars"]
        for event in found.Scalars(tag)
    ]
    assert sorted(read) == sorted(expected(RECORDS))


# Weights & Biases


class FakeWandb:
    """Keeps what it is given, as far as the tracker calls it."""

    def __init__(self) -> None:
        self.inits: list[dict[str, Any]] = []
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.finished = 0

    def init(self, **options: Any) -> Any:
        self.inits.append(options)
        return SimpleNamespace(
            log=lambda values, step: self.logged.append((step, values)), finish=self.finish
        )

    def finish(self) -> None:
        self.finished += 1

    def Settings(self, **options: Any) -> dict[str, Any]:  # noqa: N802
        return options


def test_weights_and_biases_stays_offline_and_continues_its_run(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    for records in (RECORDS[:2], RECORDS[2:]):
        run.metrics.follow(trackers(TrainingConfig(wandb=True), run))
        for record in records:
            run.metrics.append(record)
        run.metrics.close()
    assert [options["mode"] for options in fake.inits] == ["offline", "offline"]
    assert len({options["id"] for options in fake.inits}) == 1
    assert fake.logged == [(each["update"], figures(each)) for each in RECORDS]
    assert fake.finished == 2
    monkeypatch.setenv("WANDB_MODE", "online")
    run.metrics.clear()
    run.metrics.follow(trackers(TrainingConfig(wandb=True), run))
    assert fake.inits[2]["mode"] == "online"
    assert fake.inits[2]["id"] != fake.inits[0]["id"]


def test_an_offline_run_of_the_package_is_written(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    run.metrics.follow(trackers(TrainingConfig(wandb=True), run))
    for record in RECORDS:
        run.metrics.append(record)
    run.metrics.close()
    wandb.teardown()  # waits until the process that writes has ended
    [folder] = (run.path / "wandb").glob("offline-run-*")
    [file] = folder.glob("*.wandb")
    assert b"validation/bleu" in file.read_bytes()


def test_a_package_that_is_missing_is_an_error_before_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    check_trackers(TrainingConfig(tensorboard=True))
    with pytest.raises(InputError, match=r"pip install 'seq2seq-cli\[wandb\]'"):
        check_trackers(TrainingConfig(wandb=True))
