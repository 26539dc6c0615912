"""Captures attention weights while a model runs, through hooks: the models need no code for it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from torch import Tensor

from seq2seq_cli.models.base import TranslationModel
from seq2seq_cli.models.layers import SourceAttention


def source_attentions(model: TranslationModel) -> list[SourceAttention]:
    """The modules that attend to the source, first layer first; empty for a model without any."""
    return [module for module in model.modules() if isinstance(module, SourceAttention)]


@contextmanager
def capture_attention(
    model: TranslationModel, *, aligning: bool = False
) -> Iterator[list[list[Tensor]]]:
    """Capture the attention weights (B, H, Q, S) of the calls of each layer, in order.

    Yields a list that has a list for each layer, which fills while the model runs. With input
    feeding a layer is called once for each token. Calls from other threads are not captured.

    With `aligning`, only the layer and the head that align words by the settings of the model.
    """
    modules = source_attentions(model)
    layer, head = model.config.alignment if aligning else (None, None)
    modules = modules if layer is None else [modules[layer]]
    heads = slice(None) if head is None else slice(head, head + 1)
    captured: list[list[Tensor]] = [[] for _ in modules]
    by_module = {id(module): calls for module, calls in zip(modules, captured, strict=True)}
    thread = threading.get_ident()

    def hook(module: Any, inputs: tuple[Tensor, ...]) -> None:
        attention = cast(SourceAttention, module)
        if threading.get_ident() == thread and not attention.is_without_effect:
            weights = attention.weights(*inputs)
            by_module[id(module)].append(weights[:, heads])

    handles = [module.register_forward_pre_hook(hook) for module in modules]
    try:
        yield captured
    finally:
        for handle in handles:
            handle.remove()
