"""The model that training begins with; a checkpoint's weights come later."""

from dataclasses import replace

import torch

from seq2seq_cli.errors import InputError
from seq2seq_cli.messages import counted
from seq2seq_cli.models import TranslationModel, build
from seq2seq_cli.runs.run_config import RunConfig
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.training.machine import Machine
from seq2seq_cli.training.memory import checkpoint_activations, is_out_of_memory
from seq2seq_cli.training.planning.run_plan import RunPlan, with_pretrained_hash
from seq2seq_cli.training.preparation import PreparedData
from seq2seq_cli.training.progress import Listener
from seq2seq_cli.training.torch_compile import compile_layers


def build_model(
    plan: RunPlan, *, data: PreparedData, machine: Machine, listener: Listener
) -> tuple[RunPlan, TranslationModel]:
    """Build the model that training begins with; a checkpoint's weights come later.

    The plan returned names the hash of the pretrained weights, if there are any: what the model has
    got, since that run may have saved others while the text was read.
    """
    config, training = plan.config, plan.config.training
    torch.manual_seed(training.seed)
    model = fresh_model(config, data.tokenizers)
    count = sum(p.numel() for p in model.parameters())
    listener.said(f"model: {config.model.architecture}, {count:,} parameters")
    if plan.pretrained is not None:
        sha256 = plan.pretrained.initialise(model, data.tokenizers, listener.said)
        plan.pretrained.check(training.init_sha256, sha256)
        plan = replace(plan, config=with_pretrained_hash(config, sha256))
    if training.freeze:
        frozen = model.freeze(training.freeze)
        listener.said(f"frozen: {', '.join(training.freeze)}, {frozen:,} parameters")
    listener.said(f"device: {machine}")
    if training.torch_compile:
        number = compile_layers(model.to(machine.device), machine.device)
        listener.said(f"torch.compile: {counted(number, 'layer')}, at the first update")
    if training.activation_checkpointing:
        checkpoint_activations(model)
    return plan, model


def fresh_model(config: RunConfig, tokenizers: Tokenizers) -> TranslationModel:
    """A fresh model. Raises InputError if it does not fit into memory."""
    try:
        return build(config.model, tokenizers.vocabulary)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(
            f"a model of model.width = {config.model.width} with these settings does not fit into "
            "memory; set a smaller model.width, or fewer layers"
        ) from None
