"""`seq2seq push`: uploads a run folder to the hub."""

from pathlib import Path
from typing import Annotated

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.errors import InputError
from seq2seq_cli.runs.layout import check_run_folder


def push(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder to upload.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name on the hub, OWNER/NAME.")],
    private: Annotated[
        bool, typer.Option("--private", help="Make a repository that only its owner sees.")
    ] = False,
) -> None:
    """Upload a run to the Hugging Face hub, from where `import` fetches it.

    Uploads what translating needs, the record of training, and README.md, which is written if the
    run has none; not the checkpoints. Everybody who sees it can read in its config.toml the names
    and folders of the files that it was trained on. `hf auth login` logs in.

    \b
    seq2seq push runs/en-de me/demo-en-de
    seq2seq import me/demo-en-de runs/copy
    """
    check_run_folder(run)
    from seq2seq_cli.interop.hub import hub_name, is_hub_name, run_card, upload
    from seq2seq_cli.runs.run_folder import RunFolder

    name, _ = hub_name(name)
    if not is_hub_name(name):
        raise InputError(f"{name}: models on the hub are named OWNER/NAME")
    folder = RunFolder(run)
    folder.load_tokenizers()
    folder.load_plain_model()  # raises InputError for what nobody could load
    card = run_card(name, folder.config.facts().origin)
    address = upload(run, name, card=card, private=private)
    console.note(f"{address}: `seq2seq import {name} RUN` fetches it")
