"""Models from and to the Hugging Face hub, through its own library and cache."""

import os
import re
from pathlib import Path

from seq2seq_cli.errors import InputError
from seq2seq_cli.runs.layout import HUB_NAME, METRICS, RUN_CONFIG, SHORTLIST, TOKENIZERS, WEIGHTS
from seq2seq_cli.runs.origin import Origin

# All that any format needs. Pickled weights are fetched only where there are no others.
NEEDED = (
    *(RUN_CONFIG, WEIGHTS, SHORTLIST, METRICS, *TOKENIZERS),
    *("config.json", "generation_config.json", "*.safetensors.index.json", "model*.safetensors"),
    *("tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "target_vocab.json"),
    *("*.spm", "*.bpe", "*.model", "vocab*", "*vocabulary*", "metadata.json"),
    *("model.bin", "*.npz", "*.yml", "*.bin.gz", "*.bin.zst", "*intgemm*.bin", "lex*.bin"),
    *("README.md", "LICENSE*"),
)
PICKLED = ("pytorch_model*.bin", "pytorch_model.bin.index.json")
PUSHED = (RUN_CONFIG, WEIGHTS, SHORTLIST, METRICS, *TOKENIZERS, "README.md")
ADDRESS = re.compile(
    r"(?:https?://)?(?:huggingface\.co|hf\.co)/(?P<name>[^/?#]+/[^/?#]+)"
    r"(?:/tree/(?P<revision>[^?#]+?))?/?(?:[?#].*)?"
)
NO_LOGIN = (401, 403)
# Of httpx, requests and huggingface_hub, which differ between versions.
NO_NETWORK = ("ConnectError", "ConnectTimeout", "ReadTimeout", "ProxyError", "OfflineModeIsEnabled")
NOT_CACHED = ("LocalEntryNotFoundError", "IncompleteSnapshotError")
BROKEN_OFF = ("RemoteProtocolError", "ReadError", "ReadTimeout", "ChunkedEncodingError")
INSTALL = "the package huggingface_hub is not installed; pip install 'seq2seq-cli[hub]' installs it"


def hub_name(source: str) -> tuple[str, str]:
    """A source without the hub's address before it, as in https://huggingface.co/OWNER/NAME.

    Beside it the revision that an address may end with (/tree/REVISION), or "".
    """
    if (found := ADDRESS.fullmatch(source)) is None:
        return source, ""
    return found["name"], found["revision"] or ""


def is_hub_name(source: str) -> bool:
    """Whether a source that is no file or folder can be a name on the hub: OWNER/NAME."""
    return HUB_NAME.fullmatch(source) is not None and ".." not in source


def download(name: str, revision: str = "") -> tuple[Path, str]:
    """Download the files of a model that are needed; returns their folder and the commit.

    What is in the cache is not downloaded again, and without a network, while the hub has a fault,
    or with HF_HUB_OFFLINE=1, it is used as it is. Raises InputError, with
    the reason, if the model cannot be had.
    """
    folder = _snapshot(name, revision, NEEDED)
    has_weights = any(folder.glob("*.safetensors"))
    if (folder / "config.json").is_file() and not has_weights and not _has_other_weights(folder):
        folder = _snapshot(name, revision, (*NEEDED, *PICKLED))
    return folder, folder.name


def _has_other_weights(folder: Path) -> bool:
    """Whether the weights of another engine are here."""
    return any(next(folder.glob(pattern), None) for pattern in ("model.bin", "*.npz", "*.bin.*"))


def _snapshot(name: str, revision: str, patterns: tuple[str, ...]) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise InputError(INSTALL) from None
    try:
        found = snapshot_download(name, revision=revision or None, allow_patterns=list(patterns))
    except Exception as error:  # of several libraries, which differ between versions
        raise InputError(_reason(name, revision, error)) from None
    return Path(str(found))


def _reason(name: str, revision: str, error: Exception) -> str:
    """The message for what kept the hub from answering."""
    kind, said = type(error).__name__, _first_line(error)
    at = f"{name}, revision {revision}" if revision else name
    if kind == "RevisionNotFoundError":
        return f"{name} has no revision {revision}; give a branch, a tag or a commit"
    if kind == "GatedRepoError":
        return (
            f"{name} is only for those who have accepted its terms: accept them on its page, then "
            "log in with `hf auth login`"
        )
    if kind == "RepositoryNotFoundError":
        return (
            f"{name}: no such file or folder, and the hub has no such model, or a private one; log "
            "in with `hf auth login` for that"
        )
    # What the library raises for want of a model in its cache has the hub's answer as its cause.
    cause = error if kind not in NOT_CACHED else error.__cause__ or error
    if kind == "IncompleteSnapshotError":
        missing = "the model is not complete in the cache"
    else:
        missing = "the model is not in the cache"
    if (status := _status(cause)) is not None:
        return f"{at}: {_answer(status)}" + (f"; {missing}" if kind in NOT_CACHED else "")
    if kind in NOT_CACHED:
        offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
        why = "HF_HUB_OFFLINE is set" if offline else "the hub cannot be reached"
        return f"{at}: no such file or folder; {why}, and {missing}"
    if isinstance(error, ValueError) and "JSON" in kind:
        return (
            f"{at}: what answers is not the hub ({kind}: {said}); a proxy, a page to log in to the "
            "network, or HF_ENDPOINT may be why"
        )
    if kind in BROKEN_OFF:
        return f"{at}: the download broke off ({said}); the same command continues where it stopped"
    return f"{at} cannot be downloaded: {kind}: {said}"


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def _status(error: BaseException) -> int | None:
    """The status of the hub's answer that an error is about; None if it has not answered."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) and status >= 400 else None


def _answer(status: int) -> str:
    """The meaning of an HTTP status of the hub, and what helps."""
    if status == 401:
        return (
            "the hub does not take the login (HTTP 401); it may have expired: `hf auth login` "
            "renews it, unless HF_TOKEN is set"
        )
    if status == 403:
        return (
            "the hub refuses access (HTTP 403); log in with `hf auth login` as somebody who may "
            "read the model"
        )
    if status == 429:
        return (
            "the hub answers that there were too many requests (HTTP 429); wait some minutes, or "
            "log in with `hf auth login`, which allows more"
        )
    if status >= 500:
        return f"the hub has a fault of its own (HTTP {status}); try again later"
    return f"the hub refuses the request (HTTP {status})"


README = """---
library_name: seq2seq-cli
pipeline_tag: translation
{licence}---

# {name}

A translation model, as a run folder of seq2seq-cli:

    seq2seq import {name} runs/model
    echo "A line to translate." | seq2seq translate runs/model

{origin}"""


def run_card(name: str, origin: Origin | None) -> str:
    """The README of a run on the hub: how to use it, where it began, its licence."""
    licence = f"license: {origin.licence}\n" if origin and origin.licence else ""
    began = f"It began as {origin.in_words()}.\n" if origin else ""
    return README.format(name=name, licence=licence, origin=began)


def upload(run: Path, name: str, *, card: str, private: bool = False) -> str:
    """Upload the files of a run that translating needs; returns the address.

    `card` becomes its README, unless the run has one.

    Raises InputError, with the reason, if the hub refuses.
    """
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise InputError(INSTALL) from None
    try:
        hub = HfApi()
        address = hub.create_repo(name, private=private, exist_ok=True)
        hub.upload_folder(
            repo_id=name,
            folder_path=run,
            allow_patterns=list(PUSHED),
            commit_message="A run of seq2seq-cli",
        )
        if not (run / "README.md").is_file():
            hub.upload_file(repo_id=name, path_in_repo="README.md", path_or_fileobj=card.encode())
    except Exception as error:  # of several libraries, which differ between versions
        raise InputError(f"{name}: {_refusal(error)}") from None
    return str(address)


def _refusal(error: Exception) -> str:
    """Why the hub did not take a run. Logging in is named only where it helps."""
    kind, said, status = type(error).__name__, _first_line(error), _status(error)
    if status in NO_LOGIN or kind == "LocalTokenNotFoundError":
        return f"the hub did not take the run: {said}; `hf auth login` logs in"
    if status is None and (kind in NO_NETWORK or isinstance(error, OSError)):
        return f"the hub cannot be reached, so that nothing was uploaded: {kind}: {said}"
    return f"the hub did not take the run: {kind}: {said}"
