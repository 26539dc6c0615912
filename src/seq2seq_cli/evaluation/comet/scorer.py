"""Reads checkpoints of COMET and COMET-Kiwi, and scores lines with them (Rei et al. 2020, 2022).

A checkpoint is an XLM-R encoder with a regression head, in the format of the package unbabel-comet,
which is not needed: the encoder comes from transformers, and the head is a few products. COMET
compares with a reference; Kiwi reads the source and the translation alone.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml  # type: ignore[import-untyped]

from seq2seq_cli.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

CHECKPOINT, SETTINGS, ENCODER = "checkpoints/model.ckpt", "hparams.yaml", "encoder"
BATCH_TOKENS = 4096
HASHED = 12  # characters of a checkpoint's SHA-256 in a signature
ENCODERS = {"XLM-RoBERTa": "XLMRobertaModel", "XLM-RoBERTa-XL": "XLMRobertaXLModel"}
ACTIVATIONS = ("tanh", "sigmoid", "relu")
NORM_EPSILON = 1e-12
ALREADY_IN_MODEL = ("position_ids", "token_type_ids")  # numbers that need not be stored
FETCH = (
    "fetch it once with a connection: `hf download NAME --local-dir FOLDER`, where NAME is "
    "Unbabel/wmt22-comet-da for comet and Unbabel/wmt22-cometkiwi-da for comet-kiwi, and into "
    "FOLDER/encoder the files config.json and tokenizer.json of its encoder: of "
    "xlm-roberta-large for the former, microsoft/infoxlm-large for the latter"
)

Ids = list[int]


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint says of itself: settings, weights by name, and a hash of its file."""

    name: str
    settings: Mapping[str, Any]
    weights: "Mapping[str, Tensor]"
    sha256: str


@dataclass
class Comet:
    """A model that scores translations, with what it scored so far."""

    name: str
    sha256: str
    needs_reference: bool
    embed: Callable[[Sequence[Ids]], "Tensor"]  # sentences (N) to vectors (N, D)
    estimate: "Callable[[Tensor], Tensor]"  # features (N, F) to scores (N,)
    tokenize: Callable[[str], Ids]  # with the symbols at both ends
    join: Callable[[Ids, Ids], Ids]  # two sentences to one
    scored: dict[tuple[str, str, str], float] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> "Comet":
        """Load a checkpoint, or the folder that unbabel-comet keeps it in.

        Raises InputError for what is missing or of another kind, and where transformers is not
        installed.
        """
        checkpoint = read_checkpoint(path)
        kind = checkpoint.settings.get("class_identifier")
        segments = checkpoint.settings.get("input_segments", ["mt", "src", "ref"])
        if kind not in ("regression_metric", "unified_metric"):
            raise InputError(
                f"{path}: a model of the kind {kind}; regression_metric (COMET) and unified_metric "
                "(COMET-Kiwi) are allowed"
            )
        if kind == "unified_metric" and segments != ["mt", "src"]:
            raise InputError(
                f"{path}: it reads {', '.join(map(str, segments))}; of the unified models those "
                "that read mt and src are allowed, as COMET-Kiwi"
            )
        return _build(checkpoint, path, needs_reference=kind == "regression_metric")

    def score_lines(
        self, hypotheses: Sequence[str], source: Sequence[str], reference: Sequence[str]
    ) -> list[float]:
        """The score of each line times 100; lines that were scored before are not computed again.

        The reference is not read unless the model needs one.
        """
        if not self.needs_reference:
            reference = [""] * len(hypotheses)
        lines = list(zip(hypotheses, source, reference, strict=True))
        new = [line for line in dict.fromkeys(lines) if line not in self.scored]
        if new:
            self.scored |= dict(zip(new, self._score(new), strict=True))
        return [self.scored[line] for line in lines]

    def _score(self, lines: Sequence[tuple[str, str, str]]) -> list[float]:
        import torch

        with torch.inference_mode():
            if self.needs_reference:
                translation, source, reference = (
                    self._embed_all(texts) for texts in zip(*lines, strict=True)
                )
                features = torch.cat(
                    (
                        translation,
                        reference,
                        translation * reference,
                        (translation - reference).abs(),
                        translation * source,
                        (translation - source).abs(),
                    ),
                    dim=1,
                )
            else:
                features = self._vectors(
                    [self.join(self.tokenize(mt), self.tokenize(src)) for mt, src, _ in lines]
                )
            return [100 * score for score in self.estimate(features).tolist()]

    def _embed_all(self, texts: Sequence[str]) -> "Tensor":
        """The vectors of texts; the same text, such as a source of many systems, once."""
        import torch

        different = list(dict.fromkeys(texts))
        vectors = self._vectors([self.tokenize(text) for text in different])
        rows = {text: row for row, text in enumerate(different)}
        return vectors[torch.tensor([rows[text] for text in texts])]

    def _vectors(self, sentences: Sequence[Ids]) -> "Tensor":
        """Vectors of sentences, computed in batches of similar length."""
        import torch

        order = sorted(range(len(sentences)), key=lambda row: len(sentences[row]))
        batches = _batches(order, sentences)
        parts = [self.embed([sentences[row] for row in rows]) for rows in batches]
        back = torch.empty(len(order), dtype=torch.long)
        back[torch.tensor(order)] = torch.arange(len(order))
        return torch.cat(parts)[back]


def _batches(order: Sequence[int], sentences: Sequence[Ids]) -> Iterator[list[int]]:
    batch: list[int] = []
    for row in order:
        if batch and (len(batch) + 1) * len(sentences[row]) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(row)
    yield batch


# Files


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint without running anything in it. Raises InputError if it cannot be read."""
    import torch

    file = path / CHECKPOINT if path.is_dir() else path
    folder = file.parent.parent
    if not file.is_file():
        raise InputError(f"{file}: no such checkpoint of COMET; {FETCH}")
    if not (folder / SETTINGS).is_file():
        raise InputError(f"{folder / SETTINGS} is missing; it belongs to the checkpoint {file}")
    try:
        beside = yaml.safe_load((folder / SETTINGS).read_text(encoding="utf-8"))
        if not isinstance(beside, dict):
            raise ValueError
    except (OSError, ValueError, yaml.YAMLError):
        raise InputError(
            f"{folder / SETTINGS}: not the settings of a checkpoint, in YAML"
        ) from None
    try:
        stored = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        weights = stored["state_dict"]
        own = stored.get("hyper_parameters", {})
        settings = {**beside, **own, "class_identifier": beside["class_identifier"]}
        if beside.get("layer_transformation") == "sparsemax_patch":  # means softmax
            settings["layer_transformation"] = "softmax"
    except Exception:  # of the archive and of the unpickler: many kinds, in words of PyTorch's own
        raise InputError(
            f"{file}: not a checkpoint of COMET that can be read: it is incomplete, or holds "
            f"other things than tensors and plain values, which are not loaded; {FETCH}"
        ) from None
    return Checkpoint(path.name or "comet", settings, weights, _hash(file))


def _hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _build(checkpoint: Checkpoint, path: Path, *, needs_reference: bool) -> Comet:
    """The model, with its encoder from transformers."""
    try:
        import torch
        import transformers
    except ImportError:
        raise InputError(
            "COMET needs the package transformers: pip install 'seq2seq-cli[comet]'"
        ) from None
    settings = checkpoint.settings
    encoder = settings.get("encoder_model")
    if encoder not in ENCODERS:
        raise InputError(f"{path}: the encoder {encoder}; {', '.join(ENCODERS)} are allowed")
    home = (path if path.is_dir() else path.parent.parent) / ENCODER
    encoder_files = str(home) if home.is_dir() else str(settings["pretrained_model"])
    try:
        config = transformers.AutoConfig.from_pretrained(encoder_files, local_files_only=True)
        tokenizer = transformers.AutoTokenizer.from_pretrained(encoder_files, local_files_only=True)
    except Exception as error:  # transformers raises many kinds
        raise InputError(
            f"{path}: the settings and the tokenizer of its encoder {settings['pretrained_model']} "
            f"are neither in {home} nor in the cache of Hugging Face "
            f"({str(error).partition(chr(10))[0]}); {FETCH}"
        ) from None
    prefix = "encoder.model."
    own = {
        name.removeprefix(prefix): weight
        for name, weight in checkpoint.weights.items()
        if name.startswith(prefix) and not name.endswith(ALREADY_IN_MODEL)
    }
    _check_sizes(config, own, path)
    model = getattr(transformers, ENCODERS[encoder])(config, add_pooling_layer=False)
    try:
        missing, _ = model.load_state_dict(own, strict=False)
        missing = [name for name in missing if not name.endswith(ALREADY_IN_MODEL)]
    except RuntimeError as error:
        raise InputError(f"{path}: {str(error).partition(chr(10))[0]}") from None
    if missing:
        raise InputError(f"{path}: the weights {', '.join(missing[:3])} of its encoder are missing")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = model.to(device).float().eval()
    head = {
        name: weight.to(device, torch.float32)
        for name, weight in checkpoint.weights.items()
        if not name.startswith(prefix)
    }
    most = config.max_position_embeddings - 2  # tokens that the encoder reads

    def tokenize(text: str) -> Ids:
        return list(tokenizer(text, truncation=True, max_length=most - 2)["input_ids"])

    def join(one: Ids, other: Ids) -> Ids:
        joined = [*one[:-1], one[-1], one[-1], *other[1:-1], other[-1]]
        return joined[:most]

    mix = _layer_mix(head, settings, path)
    pool = "cls" if not needs_reference else settings.get("pool", "avg")
    if pool not in ("avg", "cls"):
        raise InputError(f"{path}: pool = {pool}; avg and cls are allowed")

    def embed(sentences: Sequence[Ids]) -> "Tensor":
        longest = max(map(len, sentences))
        padding = tokenizer.pad_token_id
        ids = torch.tensor(
            [[*ids, *[padding] * (longest - len(ids))] for ids in sentences], device=device
        )
        mask = ids != padding
        layers = model(
            input_ids=ids, attention_mask=mask.long(), output_hidden_states=True
        ).hidden_states
        mixed: Tensor = mix(layers, mask)
        if pool == "cls":
            return mixed[:, 0].cpu()
        mean: Tensor = (mixed * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return mean.cpu()

    estimate = _estimator(head, settings, path)
    return Comet(
        checkpoint.name,
        checkpoint.sha256,
        needs_reference,
        embed,
        lambda features: estimate(features.to(device)).cpu(),
        tokenize,
        join,
    )


def _check_sizes(config: Any, weights: "Mapping[str, Tensor]", path: Path) -> None:
    """Raise InputError, before anything is allocated, unless weights have the encoder's sizes."""
    words, positions, inner = (
        weights.get(name)
        for name in (
            "embeddings.word_embeddings.weight",
            "embeddings.position_embeddings.weight",
            "encoder.layer.0.intermediate.dense.weight",
        )
    )
    layers = {name.split(".")[2] for name in weights if name.startswith("encoder.layer.")}
    width = config.hidden_size
    expected = (
        (config.vocab_size, width),
        (config.max_position_embeddings, width),
        (config.intermediate_size, width),
    )
    found = tuple(None if each is None else tuple(each.shape) for each in (words, positions, inner))
    if found != expected or len(layers) != config.num_hidden_layers:
        raise InputError(
            f"{path}: its encoder has {len(layers)} layers and the sizes {found}, its settings say "
            f"{config.num_hidden_layers} layers and {expected}; give the encoder that belongs to it"
        )


def _layer_mix(
    head: "Mapping[str, Tensor]", settings: Mapping[str, Any], path: Path
) -> "Callable[[Sequence[Tensor], Tensor], Tensor]":
    """How the layers of the encoder become one: a learned mixture, or one of them."""
    import torch

    unified = settings["class_identifier"] == "unified_metric"
    chosen = settings.get("sent_layer" if unified else "layer", "mix")
    if chosen != "mix":
        return lambda layers, mask: layers[int(chosen)]
    prefix = "layerwise_attention.scalar_parameters."
    names = sorted(
        (name for name in head if name.startswith(prefix)),
        key=lambda name: int(name.removeprefix(prefix)),
    )
    if not names or "layerwise_attention.gamma" not in head:
        raise InputError(f"{path}: the weights of layerwise_attention are missing")
    scalars = torch.cat([head[name] for name in names])
    is_sparse = settings.get("layer_transformation") == "sparsemax"
    shares = (sparsemax(scalars) if is_sparse else scalars.softmax(0)) * head[
        "layerwise_attention.gamma"
    ]

    def mix(layers: "Sequence[Tensor]", mask: "Tensor") -> "Tensor":
        if settings.get("layer_norm"):
            layers = [_normalised(each, mask) for each in layers]
        mixed = torch.zeros_like(layers[0])
        for share, layer in zip(shares, layers, strict=True):
            mixed += share * layer
        return mixed

    return mix


def sparsemax(scalars: "Tensor") -> "Tensor":
    """The nearest shares (K,) that sum to 1; small ones are 0 (Martins and Astudillo 2016)."""
    import torch

    ordered = scalars.sort(descending=True).values
    sums = ordered.cumsum(0) - 1
    counts = torch.arange(1, len(scalars) + 1, device=scalars.device)
    support = int((counts * ordered > sums).sum())
    return (scalars - sums[support - 1] / support).clamp(min=0)


def _normalised(layer: "Tensor", mask: "Tensor") -> "Tensor":
    """A layer (N, T, D) with mean 0 and variance 1 over all of a sentence."""
    weights = mask[..., None].float()
    count = (mask.sum(1) * layer.shape[2])[:, None, None]
    mean = (layer * weights).sum((1, 2), keepdim=True) / count
    variance = (((layer - mean) * weights) ** 2).sum((1, 2), keepdim=True) / count
    return (layer - mean) / (variance + NORM_EPSILON).sqrt()


def _estimator(
    head: "Mapping[str, Tensor]", settings: Mapping[str, Any], path: Path
) -> "Callable[[Tensor], Tensor]":
    """The regression head: products with an activation after each but the last."""
    import torch

    prefix = "estimator.ff."
    numbers = sorted(
        int(name.removeprefix(prefix).removesuffix(".weight"))
        for name in head
        if name.startswith(prefix) and name.endswith(".weight")
    )
    if not numbers:
        raise InputError(f"{path}: the weights of the estimator are missing")
    between = _activation(settings.get("activations", "Tanh"), path)
    last = settings.get("final_activation")
    final = None if last is None else _activation(last, path)

    def estimate(features: "Tensor") -> "Tensor":
        for number in numbers:
            if number != numbers[0]:
                features = between(features)
            weight, bias = head[f"{prefix}{number}.weight"], head[f"{prefix}{number}.bias"]
            features = torch.nn.functional.linear(features, weight, bias)
        return (features if final is None else final(features))[:, 0]

    return estimate


def _activation(name: str, path: Path) -> "Callable[[Tensor], Tensor]":
    import torch

    if name.lower() not in ACTIVATIONS:
        raise InputError(f"{path}: the activation {name}; {', '.join(ACTIVATIONS)} are allowed")
    found: Callable[[Tensor], Tensor] = getattr(torch, name.lower())
    return found
