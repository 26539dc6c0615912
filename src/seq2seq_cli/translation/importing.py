"""Imports a model of another engine as a run folder, and checks that it translates."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from pathlib import Path

from seq2seq_cli.config.settings import require
from seq2seq_cli.errors import InputError, nearby
from seq2seq_cli.interop.archives import is_archive, unpack
from seq2seq_cli.interop.formats import Format, format_named, recognised_format
from seq2seq_cli.interop.hub import download, is_hub_name
from seq2seq_cli.interop.run_writer import copy_run, is_run, record_origin, write_run
from seq2seq_cli.runs.origin import Origin
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.text import Warn, ignore_warning
from seq2seq_cli.translation.self_check import check_translations, compare

AUTO = "auto"
UNPACKED = "source"  # where archives are unpacked, within the folder that becomes the run


@dataclass(frozen=True)
class ImportRequest:
    """What to import, and how."""

    source: str  # a file, a folder, a zip archive, or a name on the hub
    format: str = AUTO
    revision: str = ""  # on the hub: a branch, a tag or a commit
    verify: Sequence[str] = ()  # lines to compare with the original engine; none: no comparison


def import_model(
    request: ImportRequest, run: Path, *, note: Warn = ignore_warning, warn: Warn = ignore_warning
) -> Origin:
    """Make a run folder of a model; returns where it came from.

    The folder appears when it is complete and has translated two sentences. `note` is told what the
    model is and how it translates them, `warn` what is wrong with that. Raises InputError, with the
    file and the reason, for what is no model, damaged or cannot be held; nothing is then left.
    """
    require(
        not run.exists() or (run.is_dir() and not any(run.iterdir())),
        f"{run} exists already; name a new folder",
    )
    temporary = run.absolute().with_name(f".{run.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with _fetched(request, temporary / UNPACKED) as (path, revision):
            origin = _write(request, path, revision, temporary, note)
            _check(temporary, warn=warn, note=note)
            if request.verify:
                origin = _verify(request, path, temporary, origin, warn)
        shutil.rmtree(temporary / UNPACKED, ignore_errors=True)
        temporary.rename(run)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, InputError) and str(temporary) in str(error):
            raise InputError(str(error).replace(str(temporary), str(run))) from None
        raise
    return origin


@contextmanager
def _fetched(request: ImportRequest, folder: Path) -> Iterator[tuple[Path, str]]:
    """The file or folder of the model, and its revision on the hub."""
    path = Path(request.source)
    revision = ""
    if not path.exists():
        if not is_hub_name(request.source):
            raise InputError(
                f"{request.source}: no such file or folder{nearby(path)}; a model on the hub is "
                "named OWNER/NAME"
            )
        path, revision = download(request.source, request.revision)
    else:
        require(
            not request.revision,
            f"--revision {request.revision} is for models on the hub; {path} is a file or folder "
            "here",
        )
    if path.is_file() and is_archive(path):
        path = unpack(path, folder)
    yield path, revision


def _write(request: ImportRequest, path: Path, revision: str, folder: Path, note: Warn) -> Origin:
    """Write the run folder; returns its origin, which is recorded in it."""
    came_from = {"source": request.source, "revision": revision}
    if path.is_dir() and is_run(path) and request.format == AUTO:
        copy_run(path, folder)
        facts = RunFolder(folder).config.facts()
        origin = facts.origin or Origin(format="seq2seq", **came_from)
        record_origin(folder, origin)
        return origin
    kind = _format(request, path)
    try:
        model = kind.load().read(path)
        origin = replace(model.origin, **came_from)
        write_run(replace(model, origin=origin), folder)
    except InputError as error:
        said = str(error)
        # what a reader says names the file; what the writer finds out later does not
        raise InputError(said if str(path) in said else f"{path}: {said}") from None
    for sentence in model.notes:
        note(sentence)
    return origin


def _format(request: ImportRequest, path: Path) -> Format:
    return recognised_format(path) if request.format == AUTO else format_named(request.format)


def _check(run: Path, *, warn: Warn, note: Warn) -> None:
    """Let the run translate two sentences, and say how it does."""
    language = RunFolder(run).load_config().data.source_language
    for line in check_translations(run, language):
        note(f"check: {line.source} → {line.translation}")
        if fault := line.fault():
            warn(
                f"the translation of “{line.source}” {fault}: if the model reads this language, "
                "its conversion is broken; --verify compares it with the original engine"
            )


def _verify(request: ImportRequest, path: Path, run: Path, origin: Origin, warn: Warn) -> Origin:
    """Compare the run with the original engine, and record the result."""
    require(
        origin.format != "seq2seq",
        f"--verify compares with the engine of another format; {request.source} is a run folder",
    )
    kind = _format(request, path)
    require(
        bool(kind.engine),
        f"--verify: there is no engine to compare the format {kind.name} with; leave it out",
    )
    original = partial(kind.load().translate_with_original, path, beam=1)
    found = compare(run, request.verify, original)
    if found.different is not None:
        warn(f"{kind.engine} translates line {found.different} of the comparison otherwise")
    try:
        engine = f"{kind.engine} {metadata.version(kind.engine)}"
    except metadata.PackageNotFoundError:
        engine = kind.engine
    origin = replace(origin, verified=f"{found}, greedily, to {engine}")
    record_origin(run, origin)
    return origin
