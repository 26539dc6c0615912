"""Compiled functions for CPUs, where they were built and the processor can run them.

Here are those of search (search.cpp); `native.training` has those of training (training.cpp). They
are optional: installing builds them where there is a compiler, and without them torch does the same
work, more slowly. SEQ2SEQ_NATIVE in the environment chooses amx, avx512, avx2 or off; without it
the best is taken. All tensors here are float32, contiguous and on the CPU.

Dimensions: N rows of hypotheses, D width, H heads, S source tokens, T target tokens, V columns.
"""

import ctypes
import os
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seq2seq_cli.errors import InputError

ACTIVATIONS = ("relu", "gelu", "swish", "swiglu")  # as search.cpp counts them

_Pointer = ctypes.c_void_p
_Int = ctypes.c_int32


class _Settings(ctypes.Structure):
    _fields_ = (
        ("width", _Int),
        ("heads", _Int),
        ("feed_forward", _Int),
        ("activation", _Int),
        ("pre_norm", _Int),
        ("halves", _Int),
        ("residual", ctypes.c_float),
        ("embedding_scale", ctypes.c_float),
    )


class _LayerParts(ctypes.Structure):
    _fields_ = tuple(
        (name, _Pointer)
        for name in (
            *("query_key_value", "self_output", "cross_query", "cross_output", "inner", "outer"),
            *("self_weight", "self_bias", "cross_weight", "cross_bias"),
            *("feed_forward_weight", "feed_forward_bias"),
        )
    )


class _SourceTokens(ctypes.Structure):
    _fields_ = (
        ("sentences", _Int),
        ("tokens", _Pointer),
        ("lengths", _Pointer),
        ("embedding", _Pointer),
        ("positions", _Pointer),
        ("rotations", _Pointer),
        ("keys_values", ctypes.POINTER(_Pointer)),
    )


class _Surroundings(ctypes.Structure):
    _fields_ = (
        ("rows", _Int),
        ("rows_each", _Int),
        ("read", _Int),
        ("tokens", _Pointer),
        ("embedding", _Pointer),
        ("position", _Pointer),
        ("paths", _Pointer),
        ("paths_after", _Pointer),
        ("past", ctypes.POINTER(_Pointer)),
        ("past_rows", ctypes.POINTER(_Int)),
        ("sources", ctypes.POINTER(_Pointer)),
        ("starts", _Pointer),
        ("lengths", _Pointer),
        ("sentences", _Pointer),
        ("rotations", _Pointer),
    )


SIGNATURES = {
    "use_tiles": (_Int, (_Int,)),
    "linear_new": (_Pointer, (_Pointer, _Pointer, _Int, _Int, _Int)),
    "linear_narrowed": (_Pointer, (_Pointer, _Pointer, _Int)),
    "linear_free": (None, (_Pointer,)),
    "linear_apply": (None, (_Pointer, _Pointer, _Int, _Pointer)),
    "cell_step": (None, (_Pointer, _Pointer, _Pointer, _Int, _Pointer, _Pointer)),
    "encoder_new": (_Pointer, (_Pointer, _Pointer, _Int, _Pointer, _Pointer, _Pointer, _Int)),
    "encoder_free": (None, (_Pointer,)),
    "encoder_read": (None, (_Pointer, _Pointer)),
    "decoder_new": (_Pointer, (_Pointer, _Pointer, _Int, _Pointer, _Pointer)),
    "decoder_free": (None, (_Pointer,)),
    "decoder_step": (None, (_Pointer, _Pointer, _Pointer)),
    "log_sum_exp": (None, (_Pointer, _Int, _Int, _Pointer)),
    "best_extensions": (
        None,
        (_Pointer, _Pointer, _Int, _Int, _Int, _Int, _Pointer, _Pointer, _Pointer),
    ),
}


def usable_builds() -> list[str]:
    """The builds that were made and that this processor can run, the fastest first."""
    capability = torch.backends.cpu.get_cpu_capability()
    vnni = getattr(torch.cpu, "_is_vnni_supported", bool)()  # 8-bit dot products
    tiles = getattr(torch.cpu, "_is_amx_tile_supported", bool)()
    runs = {
        "amx": capability == "AVX512" and vnni and tiles,
        "avx512": capability == "AVX512" and vnni,
        "avx2": capability in ("AVX2", "AVX512"),
    }
    return [name for name, does in runs.items() if does and _file(name)]


def _file(build: str) -> Path | None:
    name = "avx512" if build == "amx" else build  # the same, with matrix tiles in use
    return next(Path(__file__).parent.glob(f"{name}*.so"), None)


@lru_cache
def library() -> ctypes.CDLL | None:
    """The compiled functions, or None without any.

    Raises InputError where the environment wants what is not there.
    """
    wanted, usable = os.environ.get("SEQ2SEQ_NATIVE", ""), usable_builds()
    if wanted not in ("", "off", *usable):
        raise InputError(
            f"SEQ2SEQ_NATIVE={wanted}: {', '.join([*usable, 'off'])} are allowed on this machine; "
            "without it the fastest is taken"
        )
    builds = [name for name in usable if wanted in ("", name)]
    if not builds:
        return None
    loaded = ctypes.CDLL(str(_file(builds[0])))
    for name, (result, arguments) in SIGNATURES.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    loaded.use_tiles(builds[0] == "amx")
    return loaded


def _loaded() -> ctypes.CDLL:
    found = library()
    assert found is not None, "whoever calls this has asked library() before"
    return found


def serves(*tensors: Tensor) -> bool:
    """Whether compiled functions can work on these tensors."""
    return library() is not None and all(
        tensor.dtype == torch.float32 and tensor.device.type == "cpu" and not tensor.requires_grad
        for tensor in tensors
    )


class Linear(nn.Module):
    """A linear layer for inference, its weights packed, as float32 or as 8-bit integers.

    With 8 bits each output has a scale of its own, and so has each row of inputs: what becomes of a
    row does not depend on the others.
    """

    def __init__(self, handle: int, inputs: int, outputs: int, eight_bits: bool) -> None:
        super().__init__()
        self.in_features, self.out_features = inputs, outputs
        self.eight_bits = eight_bits
        self.handle = handle
        weakref.finalize(self, _loaded().linear_free, handle)

    @classmethod
    def packing(cls, weight: Tensor, bias: Tensor | None, *, eight_bits: bool) -> "Linear":
        """Pack weights (outputs, inputs); they are not needed afterwards."""
        outputs, inputs = weight.shape
        weight = weight.detach().float().contiguous()
        kept = None if bias is None else bias.detach().float().contiguous()
        handle = _loaded().linear_new(_at(weight), _at(kept), outputs, inputs, eight_bits)
        return cls(handle, inputs, outputs, eight_bits)

    def narrowed(self, chosen: Tensor) -> "Linear":
        """With only some of the outputs, in the order of `chosen` (any,)."""
        chosen = chosen.to(torch.int64).contiguous()
        handle = _loaded().linear_narrowed(self.handle, _at(chosen), len(chosen))
        return Linear(handle, self.in_features, len(chosen), self.eight_bits)

    def __deepcopy__(self, memo: object) -> "Linear":
        return self  # nothing changes it

    def forward(self, x: Tensor) -> Tensor:
        """(…, inputs) -> (…, outputs)."""
        x = x.float().contiguous()
        y = x.new_empty(*x.shape[:-1], self.out_features)
        _loaded().linear_apply(self.handle, _at(x), x.numel() // self.in_features, _at(y))
        return y

    def extra_repr(self) -> str:
        kind = "8-bit" if self.eight_bits else "float32"
        return f"in_features={self.in_features}, out_features={self.out_features}, {kind}"


def _at(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


class Cell(nn.Module):
    """A layer of LSTM or GRU in one direction that runs token by token, called like torch's own."""

    def __init__(self, from_input: Linear, from_state: Linear) -> None:
        super().__init__()
        self.from_input, self.from_state = from_input, from_state

    def forward(
        self, x: Tensor, state: Tensor | tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor | tuple[Tensor, Tensor]]:
        """(N, T, inputs) and h, or h and c, (1, N, units) -> (N, T, units), the state after."""
        parts = state if isinstance(state, tuple) else (state,)
        own = [part[0].clone(memory_format=torch.contiguous_format) for part in parts]
        outputs = []
        for token in x.unbind(dim=1):
            token = token.contiguous()
            _loaded().cell_step(
                self.from_input.handle,
                self.from_state.handle,
                token.data_ptr(),
                token.size(0),
                own[0].data_ptr(),
                own[1].data_ptr() if len(own) > 1 else None,
            )
            outputs.append(own[0].clone())
        after = (own[0][None], own[1][None]) if len(own) > 1 else own[0][None]
        return torch.stack(outputs, dim=1), after


@dataclass(frozen=True)
class NormWeights:
    """Of LayerNorm, or without a bias of RMSNorm."""

    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True)
class TransformerLayer:
    """The parts of one layer of a Transformer; only a decoder's has cross-attention."""

    query_key_value: Linear
    self_output: Linear
    inner: Linear
    outer: Linear
    self_norm: NormWeights
    feed_forward_norm: NormWeights
    cross_query: Linear | None = None
    cross_output: Linear | None = None
    cross_norm: NormWeights | None = None


@dataclass(frozen=True)
class TransformerSettings:
    """What the layers of a Transformer's encoder or decoder have in common."""

    width: int
    heads: int
    feed_forward: int
    activation: str
    pre_norm: bool
    kept: torch.dtype  # of keys and values: float32 or float16
    residual: float  # what the residual connection is multiplied with
    embedding_scale: float

    def packed(self) -> _Settings:
        return _Settings(
            self.width,
            self.heads,
            self.feed_forward,
            ACTIVATIONS.index(self.activation),
            self.pre_norm,
            self.kept == torch.float16,
            self.residual,
            self.embedding_scale,
        )


def _parts_of(layers: Sequence[TransformerLayer]) -> Any:
    """An array of what layers are made of. It points into them."""
    array = (_LayerParts * len(layers))()
    for parts, layer in zip(array, layers, strict=True):
        for name in (
            *("query_key_value", "self_output", "cross_query", "cross_output"),
            *("inner", "outer"),
        ):
            linear: Linear | None = getattr(layer, name)
            setattr(parts, name, linear.handle if linear else None)
        for name in ("self", "cross", "feed_forward"):
            norm: NormWeights | None = getattr(layer, f"{name}_norm")
            setattr(parts, f"{name}_weight", _at(norm.weight) if norm else None)
            setattr(parts, f"{name}_bias", _at(norm.bias) if norm else None)
    return array


class Encoder:
    """A Transformer's encoder, and what its decoder's layers make of its outputs."""

    def __init__(
        self,
        settings: TransformerSettings,
        layers: Sequence[TransformerLayer],
        last: NormWeights | None,
        keys_values: Sequence[Linear],
    ) -> None:
        # Kept: the compiled side points into them.
        self.layers, self.last, self.keys_values = layers, last, keys_values
        self.settings = settings
        self.handle = _loaded().encoder_new(
            ctypes.byref(settings.packed()),
            _parts_of(layers),
            len(layers),
            _at(last.weight) if last else None,
            _at(last.bias) if last else None,
            (_Pointer * len(keys_values))(*(each.handle for each in keys_values)),
            len(keys_values),
        )
        weakref.finalize(self, _loaded().encoder_free, self.handle)

    def read(
        self,
        tokens: Tensor,
        lengths: Tensor,
        embedding: Tensor,
        positions: Tensor | None,
        rotations: Tensor | None,
    ) -> "Sources":
        """Read sentences that stand one after the other in `tokens` (any,), as long as `lengths`.

        What is read is the embedding's row, times its scale, plus that of `positions` (longest, D),
        if there are any. `rotations` (longest, 2, D / H / 2) are for rotary positions.
        """
        layers = [
            torch.empty(len(tokens), 2, self.settings.width, dtype=self.settings.kept)
            for _ in self.keys_values
        ]
        sources = Sources.of(layers, lengths)
        source = _SourceTokens(
            len(lengths),
            tokens.data_ptr(),
            lengths.data_ptr(),
            embedding.data_ptr(),
            _at(positions),
            _at(rotations),
            sources.addresses,
        )
        _loaded().encoder_read(self.handle, ctypes.byref(source))
        return sources


class Decoder:
    """A Transformer's decoder that reads one token of each row at a time."""

    def __init__(
        self,
        settings: TransformerSettings,
        layers: Sequence[TransformerLayer],
        last: NormWeights | None,
    ) -> None:
        self.layers, self.last = layers, last  # kept: the compiled side points into them
        self.settings = settings
        self.handle = _loaded().decoder_new(
            ctypes.byref(settings.packed()),
            _parts_of(layers),
            len(layers),
            _at(last.weight) if last else None,
            _at(last.bias) if last else None,
        )
        weakref.finalize(self, _loaded().decoder_free, self.handle)

    def step(
        self,
        tokens: Tensor,
        embedding: Tensor,
        position: Tensor | None,
        rotations: Tensor | None,
        past: "Past",
        sources: "Sources",
    ) -> tuple[Tensor, "Past"]:
        """Read tokens (N,); return features (N, D), and the past with these tokens.

        What is read is the embedding's row, times its scale, plus the position (1, D), if there is
        one. `rotations` (1, 2, D / H / 2) are cosines and sines of this place, with rotary
        positions. Rows of one sentence stand together.
        """
        rows, count = tokens.size(0), len(past.steps) + 1
        features = embedding.new_empty(rows, self.settings.width)
        step = torch.empty(len(self.layers), rows, 2, self.settings.width, dtype=self.settings.kept)
        paths = past.paths.new_empty(rows, count)
        addresses = (*past.addresses, step.data_ptr())
        rows_then = (*past.rows, rows)
        around = _Surroundings(
            rows,
            rows // sources.sentences.size(0),
            count - 1,
            tokens.data_ptr(),
            embedding.data_ptr(),
            _at(position),
            past.paths.data_ptr(),
            paths.data_ptr(),
            (_Pointer * count)(*addresses),
            (_Int * count)(*rows_then),
            sources.addresses,
            sources.starts.data_ptr(),
            sources.lengths.data_ptr(),
            sources.sentences.data_ptr(),
            _at(rotations),
        )
        _loaded().decoder_step(self.handle, ctypes.byref(around), features.data_ptr())
        return features, Past((*past.steps, step), paths, addresses, rows_then)


@dataclass(frozen=True)
class Past:
    """Keys and values of the target tokens read so far. They never move: rows remember their way.

    Each of `steps` is (layers, rows at that step, 2, D); `paths` (N, T) says in which row of each
    step a row's token was.
    """

    steps: tuple[Tensor, ...]
    paths: Tensor
    addresses: tuple[int, ...] = ()  # of the steps
    rows: tuple[int, ...] = ()  # at each step

    @classmethod
    def empty(cls, rows: int) -> "Past":
        """Before the first token."""
        return cls((), torch.empty(rows, 0, dtype=torch.int32))

    def select(self, rows: Tensor) -> "Past":
        """Gather rows."""
        return Past(self.steps, self.paths.index_select(0, rows), self.addresses, self.rows)


@dataclass(frozen=True)
class Sources:
    """Keys and values of source tokens: for each layer (all tokens, 2, D). They never move either.

    `starts` and `lengths` (sentences,) say which tokens a sentence has; `sentences` (B,) are those
    that are still searched.
    """

    layers: tuple[Tensor, ...]
    starts: Tensor
    lengths: Tensor
    sentences: Tensor
    addresses: Any  # of the layers

    @classmethod
    def of(cls, layers: Sequence[Tensor], lengths: Tensor) -> "Sources":
        """All sentences, one after the other."""
        addresses = (_Pointer * len(layers))(*(layer.data_ptr() for layer in layers))
        starts = lengths.cumsum(dim=0, dtype=torch.int32) - lengths
        sentences = torch.arange(len(lengths), dtype=torch.int32)
        return cls(tuple(layers), starts, lengths, sentences, addresses)

    def select(self, rows: Tensor) -> "Sources":
        """Gather sentences."""
        sentences = self.sentences.index_select(0, rows)
        return Sources(self.layers, self.starts, self.lengths, sentences, self.addresses)


def log_sum_exp(logits: Tensor) -> Tensor:
    """(N, V) -> (N, 1), of which some may be -inf."""
    logits = logits.contiguous()
    result = logits.new_empty(logits.size(0), 1)
    _loaded().log_sum_exp(_at(logits), *logits.shape, _at(result))
    return result


def best_extensions(logits: Tensor, offsets: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The `count` greatest sums of a logit (B x K, V) and its row's offset (B, K), best first.

    Returns (B, count) each: the sums, their rows 0 to K - 1, and their columns. Where there are
    fewer candidates, sums are -inf.
    """
    logits, offsets = logits.contiguous(), offsets.contiguous()
    batch, beam = offsets.shape
    best = logits.new_empty(batch, count)
    rows = torch.empty(batch, count, dtype=torch.int64)
    columns = torch.empty_like(rows)
    _loaded().best_extensions(
        *(_at(logits), _at(offsets), batch, beam, logits.size(1), count),
        *(_at(best), _at(rows), _at(columns)),
    )
    return best, rows, columns
