"""Seeing where a model looks while it runs, without a word about it in the model."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from torch import Tensor

from seq2seq_cli.models.base import TranslationModel
from seq2seq_cli.models.layers import SourceAttention


def source_attentions(model: TranslationModel) -> list[SourceAttention]:
    """All that looks at the source in a model, the first layer's first; none in some models."""
    return [module for module in model.modules() if isinstance(module, SourceAttention)]


@contextmanager
def watched_attention(model: TranslationModel) -> Iterator[list[list[Tensor]]]:
    """Collect the weights (B, H, Q, S) of every layer, and there of every call, in order.

    With input feeding a layer is called once a token. Only calls of this thread are collected.
    """
    modules = source_attentions(model)
    seen: list[list[Tensor]] = [[] for _ in modules]
    layers = {id(module): layer for module, layer in zip(modules, seen, strict=True)}
    thread = threading.get_ident()

    def look(module: Any, inputs: tuple[Tensor, ...]) -> None:
        if threading.get_ident() == thread:
            layers[id(module)].append(cast(SourceAttention, module).weights(*inputs))

    hooks = [module.register_forward_pre_hook(look) for module in modules]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
