"""Shared by several tests: one thread for torch, tiny models of every kind, builds of kernels."""

from collections.abc import Iterator

import pytest
import torch

from seq2seq_cli.kernels import library as kernels
from seq2seq_cli.models import ModelConfig, TranslationModel, Vocabulary, build, model_config

SEPARATE = Vocabulary(source=9, target=7, joint=False)
JOINT = Vocabulary(source=7, target=7, joint=True)

RNN = {"architecture": "rnn", "width": 6, "units": 8}
ATTENTION_RNN = {"architecture": "attention-rnn", "width": 6, "units": 8}
TRANSFORMER = {"architecture": "transformer", "width": 8, "heads": 2, "feed_forward": 12}
TRANSFORMER |= {"encoder_layers": 2, "decoder_layers": 2}
CONV = {"architecture": "conv", "width": 6, "channels": 8, "encoder_layers": 2}
ONE_WAY = {"bidirectional": False, "encoder_layers": 2, "decoder_layers": 2}


Variant = tuple[ModelConfig, Vocabulary]  # what a model is built from


def _variant(vocabulary: Vocabulary, *tables: dict[str, object]) -> Variant:
    table: dict[str, object] = {"dropout": 0.3}
    for options in tables:
        table |= options
    return model_config(table), vocabulary


VARIANTS = {
    "rnn": _variant(SEPARATE, RNN),
    "rnn-gru": _variant(JOINT, RNN, {"cell": "gru", "decoder_layers": 2, "output_bias": True}),
    "rnn-initial-one-way": _variant(JOINT, RNN, ONE_WAY, {"context": "initial"}),
    "rnn-reversed": _variant(SEPARATE, RNN, ONE_WAY, {"reverse_source": True}),
    "attention-rnn": _variant(JOINT, ATTENTION_RNN),
    "attention-rnn-dot-gru": _variant(
        SEPARATE,
        ATTENTION_RNN,
        {"cell": "gru", "score": "dot", "tie_output": False, "output_bias": True},
    ),
    "attention-rnn-scaled-one-way": _variant(
        JOINT, ATTENTION_RNN, ONE_WAY, {"score": "scaled-dot", "tie_source": False}
    ),
    "attention-rnn-additive": _variant(SEPARATE, ATTENTION_RNN, {"score": "additive"}),
    "attention-rnn-feeding": _variant(
        JOINT, ATTENTION_RNN, {"score": "additive", "input_feeding": True}
    ),
    "attention-rnn-feeding-gru": _variant(
        SEPARATE, ATTENTION_RNN, ONE_WAY, {"cell": "gru", "input_feeding": True}
    ),
    "attention-rnn-location": _variant(
        JOINT, ATTENTION_RNN, {"score": "location-base", "location_length": 4}
    ),
    "attention-rnn-content-local-p": _variant(
        JOINT, ATTENTION_RNN, {"score": "content-base", "scope": "local-p", "window": 2}
    ),
    "attention-rnn-multi-head-local-m-feeding": _variant(
        SEPARATE,
        ATTENTION_RNN,
        {"score": "multi-head", "scope": "local-m", "window": 1, "input_feeding": True},
    ),
    "attention-rnn-multi-head": _variant(JOINT, ATTENTION_RNN, {"score": "multi-head"}),
    "attention-rnn-local-p-copying": _variant(
        JOINT,
        ATTENTION_RNN,
        {"score": "multi-head", "scope": "local-p", "window": 2, "input_feeding": True}
        | {"copy_attention": True},
    ),
    "conv": _variant(JOINT, CONV),
    "conv-wide": _variant(
        SEPARATE,
        CONV,
        {"kernel": 5, "decoder_layers": 1, "max_positions": 4} | {"tie_output": False},
    ),
    "transformer": _variant(JOINT, TRANSFORMER),
    "transformer-post": _variant(SEPARATE, TRANSFORMER, {"norm": "post", "activation": "gelu"}),
    "transformer-modern": _variant(
        JOINT,
        TRANSFORMER,
        {"normalisation": "rms", "activation": "swiglu", "positions": "rotary"},
    ),
    "transformer-deep-average-learned": _variant(
        SEPARATE,
        TRANSFORMER,
        {"norm": "deep", "decoder_attention": "average", "positions": "learned"}
        | {"activation": "swish", "max_positions": 4},
    ),
    "transformer-ssru": _variant(
        JOINT, TRANSFORMER, {"decoder_attention": "ssru", "encoder_layers": 3, "decoder_layers": 1}
    ),
    "transformer-relative": _variant(
        JOINT,
        TRANSFORMER,
        {"positions": "relative", "position_buckets": 8, "position_distance": 6, "head_width": 6}
        | {"normalisation": "rms", "activation": "geglu", "linear_bias": False},
    ),
    "transformer-copying": _variant(JOINT, TRANSFORMER, {"copy_attention": True}),
    "transformer-imported": _variant(
        JOINT,
        TRANSFORMER,
        {"norm": "post", "norm_epsilon": 0.01, "activation": "gelu-tanh", "encoder_layers": 3}
        | {"sinusoids": "tensor2tensor", "first_position": 2, "output_bias": True}
        | {"alignment_layer": 1, "alignment_head": 0},
    ),
    "transformer-imported-untied": _variant(
        SEPARATE,
        TRANSFORMER,
        {"tie_output": False, "embedding_norm": True, "scale_embeddings": False}
        | {"activation": "gelu-sigmoid", "sinusoids": "interleaved", "alignment_head": 1},
    ),
    "transformer-odd-width": _variant(
        JOINT, TRANSFORMER, {"width": 9, "heads": 3, "encoder_layers": 1, "decoder_layers": 1}
    ),
}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """For each test, since commands run in this process set as many as the machine has."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def variants() -> list[Variant]:
    return list(VARIANTS.values())


@pytest.fixture(scope="session", params=VARIANTS.values(), ids=VARIANTS.keys())
def variant(request: pytest.FixtureRequest) -> Variant:
    return request.param


@pytest.fixture(scope="session")
def model(variant: Variant) -> TranslationModel:
    return _model(variant)


@pytest.fixture(scope="session")
def models(variants: list[Variant]) -> list[TranslationModel]:
    """A model of each variant."""
    return [_model(variant) for variant in variants]


def _model(variant: Variant) -> TranslationModel:
    """The variant's model in evaluation mode, with noise added to every weight.

    A fresh model's biases are zero and its predictions are much alike, which would hide mistakes.
    Weights in sums of many products get less noise, or rounding would grow from layer to layer.
    """
    torch.manual_seed(20)
    model = build(*variant).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            summands = parameter.size(-1) if parameter.dim() > 1 else 1
            alpha = 0.5 * min(1.0, (8 / summands) ** 0.5)
            parameter.add_(torch.randn_like(parameter), alpha=alpha)
    return model


def _chosen(build_name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SEQ2SEQ_NATIVE", build_name)
    kernels.library.cache_clear()
    yield
    monkeypatch.undo()
    kernels.library.cache_clear()


@pytest.fixture(params=kernels.usable_builds())
def _each_kernel_build(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Once with each build of the kernels that the processor can run."""
    yield from _chosen(request.param, monkeypatch)


@pytest.fixture
def _without_kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from _chosen("off", monkeypatch)


# The scalar build is what the others are compared with in tests of the kernels; tests of what uses
# kernels run it only where there is nothing else.
BUILDS = kernels.usable_builds()
FASTER_BUILDS = [name for name in BUILDS if name != "scalar"] or BUILDS


@pytest.fixture(params=[*FASTER_BUILDS, "off"])
def _with_and_without_kernels(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Once with the kernels for each processor, and once without any."""
    yield from _chosen(request.param, monkeypatch)
