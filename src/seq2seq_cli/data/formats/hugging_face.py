"""A data set from a folder or the Hugging Face hub, read by the library `datasets`."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from seq2seq_cli.config.settings import require
from seq2seq_cli.data.formats.base import Container
from seq2seq_cli.data.formats.records import RowReport, names_of, record_rows
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.errors import InputError
from seq2seq_cli.messages import Warn

SAVED = ("dataset_dict.json", "dataset_info.json")  # of several splits, and of one


@dataclass(frozen=True)
class DataSet(Container):
    """A split of a data set."""

    kind = "DataSet"

    name: str  # as the user wrote it, without the field
    path: str  # a folder, or a name on the hub
    configuration: str | None
    split: str
    streamed: bool = False  # read where it is, without a copy on disk

    def rows(self, fields: Sequence[str], warn: Warn) -> Iterator[tuple[str, ...]]:
        report = RowReport(self.name, "row", warn)
        return record_rows(enumerate(self._split, start=1), fields, report)

    def field_names(self) -> list[str]:
        """List the fields of the first row."""
        return names_of(next(iter(self._split), {}))

    def digest(self) -> str:
        """The hash of the content that `datasets` keeps."""
        return str(self._split._fingerprint)

    def size(self) -> int:
        return int(self._split.data.nbytes)

    def can_be_reread(self) -> bool:
        return True

    def make_rereadable(self, folder: Path) -> Self:
        return self

    @cached_property
    def _split(self) -> Any:
        """The split as `datasets` loads it, from files of its own or a folder of the user."""
        import datasets

        datasets.disable_progress_bars()
        if any((Path(self.path) / name).is_file() for name in SAVED):
            return self._load_from_disk(datasets.load_from_disk)
        try:
            return self._load(datasets, streaming=self.streamed, **self._as_written(datasets))
        except Exception as error:  # of many libraries: files, network, formats
            where = "" if Path(self.path).is_dir() else f"no folder {self.path} is here, and "
            raise InputError(f"{self.name} cannot be loaded: {where}{_first_line(error)}") from None

    def _load(self, datasets: Any, **options: Any) -> Any:
        return datasets.load_dataset(self.path, self.configuration, split=self.split, **options)

    def _as_written(self, datasets: Any) -> dict[str, Any]:
        """Options with which the values of CSV stay as they are written.

        Otherwise pandas makes numbers of digits, and nothing of words such as null, NA and None.
        """
        builder = datasets.load_dataset_builder(self.path, self.configuration)
        if not hasattr(builder.config, "keep_default_na"):  # of CSV alone
            return {}
        options = {"keep_default_na": False, "na_filter": False}
        first: dict[str, Any] = next(iter(self._load(datasets, streaming=True, **options)), {})
        columns = {name: datasets.Value("string") for name in first}
        return {**options, "features": datasets.Features(columns)}

    def _load_from_disk(self, load: Callable[[str], Any]) -> Any:
        """Load what `save_to_disk` of `datasets` wrote: one split, or several with names."""
        try:
            found = load(self.path)
        except Exception as error:
            raise InputError(f"{self.name} cannot be loaded: {_first_line(error)}") from None
        splits = found if isinstance(found, dict) else {str(found.split or "train"): found}
        require(
            self.split in splits,
            f"{self.name}: there is no split {self.split}; {self.path} has {', '.join(splits)}",
        )
        return splits[self.split]


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
