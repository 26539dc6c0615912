"""How a CTranslate2 model encodes positions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from seq2seq_cli.errors import InputError
from seq2seq_cli.inference.positions import sinusoids
from seq2seq_cli.interop.ctranslate2 import settings as settings_of
from seq2seq_cli.interop.ctranslate2.model_file import ModelFile
from seq2seq_cli.interop.ctranslate2.settings import SIDES
from seq2seq_cli.interop.foreign_model import StoredWeight
from seq2seq_cli.interop.position_tables import Sinusoids, learned_tables, recognised_sinusoids
from seq2seq_cli.kernels.arrays import Floats

ROOM = 512  # the longest source of a model that could read longer ones
COMPUTED_POSITIONS = 1024  # of a side without a table, if the other one's is learned


@dataclass(frozen=True)
class Positions:
    """How positions are encoded: settings, weights, and how long sources may be."""

    settings: Mapping[str, Any]
    weights: Mapping[str, StoredWeight]
    longest_source: int


def read_positions(file: ModelFile, facts: Mapping[str, Any]) -> Positions:
    """Find out how positions are encoded: by a table, or as the engine computes it without one."""
    layers = {side: facts[f"{side}_layers"] for side in SIDES}
    head_width = facts["width"] // facts["heads"]
    if settings_of.rotary(settings_of.Attributes(file), layers, head_width) is not None:
        return Positions({"positions": "rotary"}, {}, ROOM)
    tables: dict[str, Callable[[], Floats]] = {}
    found: set[Sinusoids | None] = set()
    computed = Sinusoids("tensor2tensor", 1)
    for side in SIDES:
        name = f"{side}/position_encodings/encodings"
        variable = file.variables.get(name)
        if variable is None:
            found.add(computed)
            continue
        if len(variable.shape) != 2 or variable.shape[1] != facts["width"] or not variable.shape[0]:
            raise InputError(f"{file.path} is damaged: {name} is {list(variable.shape)}")
        tables[side] = variable.floats
        found.add(recognised_sinusoids(variable.floats()))
    lengths = [len(table()) for side, table in tables.items() if side == "encoder"]
    longest = min(lengths, default=ROOM + 1) - 1  # with EOS
    if len(found) == 1 and (only := found.pop()) is not None:
        settings = {"sinusoids": only.form, "first_position": only.first_position}
        return Positions(settings, {}, max(1, longest))
    tables = {side: tables.get(side, lambda: _computed(computed, facts["width"])) for side in SIDES}
    made = learned_tables(table() for table in tables.values())
    weights = {
        f"{SIDES[side]}_positions.embedding.weight": StoredWeight.of(table)
        for side, table in zip(SIDES, made, strict=True)
    }
    settings = {"positions": "learned", "max_positions": len(made[0])}
    return Positions(settings, weights, max(1, longest))


def _computed(kind: Sinusoids, width: int) -> Floats:
    """The table (COMPUTED_POSITIONS, width) of a side that has none."""
    last = kind.first_position + COMPUTED_POSITIONS
    return sinusoids(last, width, kind.form)[kind.first_position :]
