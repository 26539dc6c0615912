"""Imports a model of another engine as a run folder, and checks that it translates."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path

from seq2seq_cli.config.settings import require
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.errors import InputError, nearby
from seq2seq_cli.interop.archives import check_kind, is_archive, unpack
from seq2seq_cli.interop.formats import (
    Format,
    check_any_engine,
    check_other_format,
    format_named,
    recognised_format,
)
from seq2seq_cli.interop.hub import download, hub_name, is_hub_name
from seq2seq_cli.interop.run_writer import copy_run, is_run, record_origin, write_run
from seq2seq_cli.messages import Warn, ignore_warning
from seq2seq_cli.runs.new_folder import new_folder
from seq2seq_cli.runs.origin import RUN_FOLDER, Origin
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.translation.self_check import check_translations, compare

AUTO = "auto"
BROKEN = "its conversion is broken; --verify compares it with the original engine"
UNPACKED = "source"  # where archives are unpacked, within the folder that becomes the run


@dataclass(frozen=True)
class ImportRequest:
    """A model to import, and how."""

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
    request = _without_address(request)
    if request.verify and request.format != AUTO:
        format_named(request.format).check_engine()
    elif request.verify:
        check_any_engine()
    with new_folder(run) as temporary:
        unpacked = str(temporary / UNPACKED)

        def named(text: str) -> str:
            """A message, with the names of files that are there afterwards."""
            return text.replace(unpacked, request.source).replace(str(temporary), str(run))

        try:
            origin = _import_into(
                request, temporary, lambda text: note(named(text)), lambda text: warn(named(text))
            )
        except InputError as error:
            if unpacked in str(error):
                raise InputError(named(str(error))) from None
            raise
    return origin


def _import_into(request: ImportRequest, folder: Path, note: Warn, warn: Warn) -> Origin:
    """Write and check the run folder; returns its origin."""
    with _fetched(request, folder / UNPACKED) as (path, revision):
        kind = _format(request, path)
        if request.verify:
            _check_verify(request, kind)
        origin = _write(request, kind, path, revision, folder, note)
        _check(folder, is_copy=kind is None, warn=warn, note=note)
        if request.verify and kind is not None:
            origin = _verify(request, kind, path, folder, origin, warn)
    shutil.rmtree(folder / UNPACKED, ignore_errors=True)
    return origin


def _without_address(request: ImportRequest) -> ImportRequest:
    """The request with OWNER/NAME for an address of the hub."""
    if Path(request.source).exists():
        return request
    name, revision = hub_name(request.source)
    return replace(request, source=name, revision=request.revision or revision)


@contextmanager
def _fetched(request: ImportRequest, folder: Path) -> Iterator[tuple[Path, str]]:
    """The file or folder of the model, and its revision on the hub."""
    path = Path(request.source)
    revision = ""
    if not path.exists():
        require(
            "://" not in request.source,
            f"{request.source}: of addresses, only https://huggingface.co/OWNER/NAME is fetched; "
            "download what is there, and give the file or folder",
        )
        if not is_hub_name(request.source):
            hint = nearby(path)
            if not hint.endswith("?"):
                hint += "; a model on the hub is named OWNER/NAME"
            raise InputError(f"{request.source}: no such file or folder{hint}")
        path, revision = download(request.source, request.revision)
    else:
        require(
            not request.revision,
            f"--revision {request.revision} is for models on the hub; {path} is a file or folder "
            "here",
        )
    check_kind(path)
    if path.is_file() and is_archive(path):
        path = unpack(path, folder)
    yield path, revision


def _write(
    request: ImportRequest,
    kind: Format | None,
    path: Path,
    revision: str,
    folder: Path,
    note: Warn,
) -> Origin:
    """Write the run folder; returns its origin, which is recorded in it."""
    came_from = {"source": request.source, "revision": revision}
    if kind is None:
        copy_run(path, folder)
        facts = RunFolder(folder).config.facts()
        origin = facts.origin or Origin(format=RUN_FOLDER, **came_from)
        record_origin(folder, origin)
        return origin
    try:
        model = kind.load().read(path)
        origin = replace(model.origin, **came_from)
        write_run(replace(model, origin=origin), folder)
    except InputError as error:
        check_other_format(path, kind)
        said = str(error)
        # what a reader says names the file; what the writer finds out later does not
        raise InputError(said if str(path) in said else f"{path}: {said}") from None
    for sentence in model.notes:
        note(sentence)
    return origin


def _format(request: ImportRequest, path: Path) -> Format | None:
    """The format of a model; None for a run folder."""
    if request.format != AUTO:
        return format_named(request.format)
    return None if path.is_dir() and is_run(path) else recognised_format(path)


def _check_verify(request: ImportRequest, kind: Format | None) -> None:
    """Raise InputError if a model cannot be compared, before it is converted."""
    if kind is None:
        raise InputError(
            f"--verify compares with the engine of another format; {request.source} is a run folder"
        )
    kind.check_engine()


def _check(run: Path, *, is_copy: bool, warn: Warn, note: Warn) -> None:
    """Let the run translate two sentences, and say how it does."""
    language = RunFolder(run).load_config().data.source_language
    for line in check_translations(run, language):
        note(f"check: {line.source} → {line.translation}")
        if fault := line.fault():
            reason = "it has learned too little" if is_copy else BROKEN
            warn(
                f"the translation of “{line.source}” {fault}: if the model reads this language, "
                f"{reason}"
            )


def _verify(
    request: ImportRequest, kind: Format, path: Path, run: Path, origin: Origin, warn: Warn
) -> Origin:
    """Compare the run with the original engine, and record the result.

    An engine that fails is warned of: the run is whole without it.
    """
    translate = partial(kind.load().translate_with_original, path, beam=1)
    failed: list[BaseException] = []

    def original(lines: Sequence[str]) -> Sequence[str | None]:
        try:
            return translate(lines)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # panics of Rust derive from nothing else
            failed.append(error)
            return [None] * len(lines)

    found = compare(run, request.verify, original)
    for error in failed:
        said = str(error).strip().partition("\n")[0]
        name = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
        warn(
            f"nothing was compared, and the run is kept: {kind.engine} failed on this model: "
            f"{name}{said}"
        )
        return origin
    if not found.lines:
        warn(
            f"nothing was compared: all {found.left_out:,} lines are too long for {kind.engine} "
            "with this model; --text FILE gives shorter ones"
        )
        return origin
    if (different := found.different) is not None:
        warn(
            f"{kind.engine} translates line {different.number} of the comparison otherwise: "
            f"“{different.line}” is “{different.theirs}” there, and “{different.ours}” here"
        )
    try:
        engine = f"{kind.engine} {metadata.version(kind.engine)}"
    except metadata.PackageNotFoundError:
        engine = kind.engine
    origin = replace(origin, verified=f"{found}, greedily, to {engine}")
    record_origin(run, origin)
    return origin
