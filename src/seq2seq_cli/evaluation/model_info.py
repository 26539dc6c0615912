"""How large a model is and what a token costs: parameters and floating-point operations."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import wrap

from seq2seq_cli.config.operations import Cost, cost
from seq2seq_cli.config.shapes import Shape, weight_shapes
from seq2seq_cli.inference.plain_model import PlainModel
from seq2seq_cli.kernels.library import build_in_use
from seq2seq_cli.messages import counted
from seq2seq_cli.runs.origin import Origin
from seq2seq_cli.runs.run_folder import RunFolder

COLUMNS = 63  # of a list of languages
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class ModelInfo:
    """The size and cost of a run's model, as `seq2seq info` shows them."""

    architecture: str
    shapes: Mapping[str, Shape]  # of the weights, by name
    types: Mapping[str, str]  # that they are stored as, by name: float32, float16 or bfloat16
    source_pieces: int  # size of the vocabulary
    target_pieces: int
    cost: Cost
    kernels: str | None  # the build of the kernels that translates with it on this machine
    origin: Origin | None  # of an imported run
    search: Mapping[str, object]  # how its author translates, by names of `SearchOptions`
    translates_from: tuple[str, ...]  # languages, if sources have tags of their own
    translates_into: tuple[str, ...]  # languages that tags choose; none if there is just one

    @classmethod
    def of_run(cls, run: Path, length: int = 20) -> "ModelInfo":
        """Read a run folder and count; costs are for sentences of `length` tokens on each side.

        Raises InputError for a folder that is not a run or is damaged.
        """
        folder = RunFolder(run)
        model, facts = folder.load_plain_model(), folder.config.facts()
        vocabulary = model.vocabulary
        return cls(
            model.config.architecture,
            weight_shapes(model.config, vocabulary),
            _stored_types(model),
            vocabulary.source,
            vocabulary.target,
            cost(model.config, vocabulary, length),
            build_in_use(),
            facts.origin,
            facts.search,
            *_languages(folder),
        )

    @property
    def counts(self) -> dict[str, int]:
        """How many parameters each weight has."""
        return {name: math.prod(shape) for name, shape in self.shapes.items()}

    @property
    def count(self) -> int:
        """The number of all parameters."""
        return sum(self.counts.values())

    @property
    def stored_bytes(self) -> dict[str, int]:
        """How many bytes of the weights are stored as each type, the most first."""
        found: Counter[str] = Counter()
        for name, count in self.counts.items():
            found[self.types[name]] += count * BYTES[self.types[name]]
        return dict(found.most_common())

    def as_json(self) -> str:
        """A JSON object: architecture, parameters, each tensor, operations, kernels, origin."""
        record = {
            "architecture": self.architecture,
            "parameters": self.count,
            "bytes": self.stored_bytes,
            "tensors": [
                {
                    "name": name,
                    "shape": self.shapes[name],
                    "count": count,
                    "type": self.types[name],
                }
                for name, count in self.counts.items()
            ],
            "flops": {
                "length": self.cost.length,
                "source_token": self.cost.source_token,
                "target_token": self.cost.target_token,
                "training": self.cost.training,
            },
            "kernels": self.kernels,
            "origin": self.origin and asdict(self.origin),
            "search": self.search,
            "languages": {"from": self.translates_from, "into": self.translates_into},
        }
        return json.dumps(record, indent=1)

    def as_text(self) -> str:
        """Origin and search, languages, architecture, size, cost; then a table of the tensors."""
        width = max(map(len, self.shapes))
        lines = []
        for name, count in self.counts.items():
            shape = " x ".join(map(str, self.shapes[name]))
            share = count / self.count
            lines.append(f"{name:<{width}}  {shape:>14}  {count:>12,}  {share:>6.1%}")
        return "\n".join(
            [
                *self._origin_lines(),
                *self._language_lines(),
                f"architecture     {self.architecture}",
                f"vocabulary       {self.source_pieces:,} source, {self.target_pieces:,} target "
                "pieces",
                f"parameters       {self.count:,}",
                f"stored as        {self._stored()}",
                f"a source token   {self.cost.source_token / 1e6:,.2f} MFLOP, read once",
                f"a target token   {self.cost.target_token / 1e6:,.2f} MFLOP a hypothesis in the "
                "beam",
                f"in training      {self.cost.training / 1e6:,.2f} MFLOP for one of each",
                "                 (matrix products, sentences of "
                f"{counted(self.cost.length, 'token')} a side)",
                f"kernels          {self.kernels or 'none'}, on this machine",
                "",
                *lines,
                f"{'total':<{width}}  {'':>14}  {self.count:>12,}",
            ]
        )

    def _stored(self) -> str:
        """The types of the weights, and how many bytes they take."""
        sizes = self.stored_bytes
        return ", ".join(f"{kind}: {size / 1e6:,.1f} MB" for kind, size in sizes.items())

    def _language_lines(self) -> Iterator[str]:
        """The languages that tags choose."""
        if self.translates_from == self.translates_into:
            named = [("from and into", self.translates_into)]
        else:
            named = [("from", self.translates_from), ("into", self.translates_into)]
        for direction, languages in named:
            if languages:
                lines = wrap(f"{direction} {', '.join(languages)}", COLUMNS)
                yield f"languages        {lines[0]}"
                yield from (f"{'':<17}{line}" for line in lines[1:])

    def _origin_lines(self) -> Iterator[str]:
        """Where an imported run came from, and how its author translates."""
        if self.origin is not None:
            yield f"began as         {self.origin.in_words()}"
            yield f"licence          {self.origin.licence or 'not named in its files'}"
            if self.origin.verified:
                yield f"verified         {self.origin.verified}"
        if self.search:
            shown = ", ".join(f"{name} {value}" for name, value in self.search.items())
            yield f"search           {shown}, unless options say otherwise"


def _stored_types(model: PlainModel) -> dict[str, str]:
    """The types of weights as they are stored; the bits of bfloat16 are uint16 in numpy."""
    arrays = model.arrays if model.stored is None else model.stored
    names = {name: array.dtype.name for name, array in arrays.items()}
    return {name: "bfloat16" if each == "uint16" else each for name, each in names.items()}


def _languages(run: RunFolder) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The languages that a run's tags name, of sources and of targets."""
    tokenizers = run.load_tokenizers()
    if run.load_config().data.language_tags == "source":
        return (), tuple(tokenizers.source.tags)
    return tuple(tokenizers.source.tags), tuple(tokenizers.target.tags)
