"""A training with `training.tensorboard` writes its figures as events too."""

import json
import struct

from seq2seq_cli.runs.events import figures
from seq2seq_cli.tokenization.protobuf import message_fields


def events(path):
    """Update, name and value of each figure."""
    data, found = path.read_bytes(), []
    while data:
        length = int.from_bytes(data[:8], "little")
        event = dict(message_fields(data[12 : 12 + length]))
        data = data[16 + length :]
        for _, value in message_fields(event.get(5, b"")):
            fields = dict(message_fields(value))
            found.append((event[2], fields[1].decode(), *struct.unpack("<f", fields[2])))
    return found


def test_a_resumed_training_has_each_figure_once(train):
    command = train("rnn", max_updates=60)
    tracked = ("--set", "training.tensorboard=true")
    assert command(*tracked).code == 0
    done = command(*tracked, "--max-updates", 110)
    assert done.code == 0, done.stderr
    assert "continuing from update 60" in done.stderr
    lines = (command.run / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert records[-1]["update"] == 110
    expected = [
        (record["update"], name, struct.unpack("<f", struct.pack("<f", value))[0])
        for record in records
        for name, value in figures(record).items()
    ]
    assert events(command.run / "tensorboard" / "events.out.tfevents.seq2seq") == expected
    assert len(expected) > 10
