"""From a preset, a settings file and single settings to the settings of a run."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from seq2seq_cli.config import auto, presets
from seq2seq_cli.config.effects.train import TRAIN
from seq2seq_cli.config.settings import Table, merged, parse_toml, require
from seq2seq_cli.inputs import STDIN
from seq2seq_cli.messages import Warn
from seq2seq_cli.runs.run_config import RECORDED, RunConfig
from seq2seq_cli.text import read_lines


def merge_settings(
    given: Mapping[str, Table],
    *,
    preset: str | None = None,
    file: Path | None = None,
    output: Path | None = None,
    restart: bool = False,
    processes: int = 1,
    warn: Warn,
) -> RunConfig:
    """Merge a preset, a settings file and the settings given, section by section; later ones win.

    Without a preset, the default one is taken, which leaves settings open until the text is read
    (`auto`); but a file that names an architecture needs none, and a run that begins with the
    weights of another one (`training.init_from`) takes that one's model settings, or its own if it
    continues in the folder `output`. Warns of given settings that have no effect. Raises InputError
    for what is unknown or does not fit.
    """
    from_file = read_settings(file, warn) if file else {}
    layers = merged(from_file, given)
    pretrained = layers.get("training", {}).get("init_from")
    is_complete = "architecture" in from_file.get("model", {})
    base: dict[str, Table] = {}
    open_settings = frozenset[str]()
    if preset or not (is_complete or pretrained):
        name = preset or presets.DEFAULT
        base = parse_toml(presets.read(name), f"preset {name}")
        if name == auto.NAME:
            require(
                not pretrained,
                "the preset auto chooses the size of a new model; leave --preset out to take that "
                "of training.init_from",
            )
            base, open_settings = _left_open(base, layers)
    elif not is_complete:
        base = _model_of(str(pretrained), output, restart=restart)
    config = RunConfig.from_tables(merged(base, layers), open_settings)
    for warning in settings_without_effect(config, layers, processes):
        warn(warning)
    return config


def _left_open(
    base: dict[str, Table], layers: Mapping[str, Table]
) -> tuple[dict[str, Table], frozenset[str]]:
    """The preset auto, and the settings that it leaves open beside those in `layers`.

    An architecture other than its own has the sizes and the learning rate of the preset of its
    name.
    """
    left_open = auto.MODEL | auto.TRAINING | {auto.SCHEDULE}
    architecture = layers.get("model", {}).get("architecture")
    if architecture in presets.names():
        base = merged(parse_toml(presets.read(str(architecture)), f"preset {architecture}"), base)
        del base["model"]["architecture"]
        left_open -= auto.MODEL - {"model.dropout"} | {"training.learning_rate"}
    given = {f"{section}.{key}" for section, table in layers.items() for key in table}
    return base, left_open - given


def _model_of(pretrained: str, output: Path | None, *, restart: bool) -> dict[str, Table]:
    """The section [model] of the run that continues, or else of the pretrained one."""
    # These import PyTorch, and a wrong setting is to be answered at once.
    from seq2seq_cli.runs.run_folder import RunFolder
    from seq2seq_cli.training.planning.resuming import continues

    own = RunFolder(output) if output else None
    run = own if own and continues(own, restart=restart) else RunFolder(Path(pretrained))
    return {"model": run.load_config().tables()["model"]}


def read_settings(path: Path, warn: Warn) -> dict[str, Table]:
    """The sections of a settings file, which may be the config.toml of a run.

    Raises InputError if it cannot be read or is not TOML.
    """
    text = "\n".join(read_lines(path, warn))
    tables = parse_toml(text, "standard input" if path == STDIN else str(path))
    return {name: table for name, table in tables.items() if name not in RECORDED}


def settings_without_effect(
    config: RunConfig, given: Mapping[str, Table], processes: int
) -> Iterator[str]:
    """Say which of the settings given have no effect beside all the others."""
    values = config.values() | {"--processes": processes}
    architecture = {"architecture": config.model.architecture}
    defaults = RunConfig.from_tables({"model": architecture}).values()
    names = {f"{section}.{key}" for section, table in given.items() for key in table}
    changed = {name for name in names if values.get(name) != defaults.get(name)}
    return TRAIN.sentences(changed, values)
