"""The layout of a run folder.

RUN/
  config.toml             effective settings, vocabulary sizes, hashes of the tokenizers, [corpus]
  tokenizer.model         or source.model and target.model
  model.safetensors       the weights to translate with
  metrics.jsonl           one line for each report of training
  shortlist.safetensors   the most likely translations of each source token
  tensorboard/            the same for TensorBoard, and wandb/ for Weights & Biases, if asked for
  packed/                 packed weights, which the next start of a translation maps
  run.lock                who is training here; only while somebody is
  training/
    update-00001000/      the last checkpoint: weights, optimizer and loop state
      shards/             in a sharded training: tensors, each process' part of them
    weights/              weights that may yet be averaged
    finished.json         why and when training ended
"""

import re
from pathlib import Path

from seq2seq_cli.errors import InputError, nearby

RUN_CONFIG = "config.toml"
WEIGHTS = "model.safetensors"
METRICS = "metrics.jsonl"
TENSORBOARD, WANDB = "tensorboard", "wandb"
EVENTS = f"{TENSORBOARD}/events.out.tfevents.seq2seq"
REPORT_EVERY = 50  # updates between its lines
SHORTLIST = "shortlist.safetensors"
LOCK = "run.lock"
JOINT_TOKENIZER = "tokenizer.model"
SOURCE_TOKENIZER = "source.model"
TARGET_TOKENIZER = "target.model"
TOKENIZERS = (JOINT_TOKENIZER, SOURCE_TOKENIZER, TARGET_TOKENIZER)
PACKED = "packed"
TRAINING = "training"
SAVED_WEIGHTS = "weights"  # in TRAINING
FINISHED = "finished.json"  # in TRAINING


# What folders of other engines' models hold, which are imported before they translate.
MODELS_OF_OTHERS = ("config.json", "model.bin", "*.npz", "*.intgemm*.bin*", "metadata.json")
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def check_run_folder(path: Path) -> None:
    """Raise InputError if there is no run folder here, as far as names of files tell."""
    if (path / RUN_CONFIG).is_file():
        return
    if path.is_dir():
        hint = ""
        if any(next(path.glob(pattern), None) for pattern in MODELS_OF_OTHERS):
            hint = f"; seq2seq import {path} RUN makes a run of a model of another engine"
        raise InputError(f"{path} is not a run folder: it has no {RUN_CONFIG}{hint}")
    if path.is_file():
        within = next((above for above in path.parents if (above / RUN_CONFIG).is_file()), None)
        hint = f"; name its run folder, {within}" if within else ""
        raise InputError(f"{path} is a file, not a run folder{hint}")
    hint = nearby(path, folders=True)
    if HUB_NAME.fullmatch(str(path)) and not path.parent.is_dir():
        hint += f"; seq2seq import {path} RUN makes one of a model on the Hugging Face hub"
    raise InputError(f"{path}: no such run folder{hint}")
