"""The encoder of a checkpoint, XLM-R from transformers, whose layers become one vector a token.

Dimensions: N sentences, T tokens, D width, K layers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.comet.checkpoint import FETCH, Checkpoint

if TYPE_CHECKING:
    from torch import Tensor

ENCODER = "encoder"
PREFIX = "encoder.model."  # of the names of its weights
ENCODERS = {"XLM-RoBERTa": "XLMRobertaModel", "XLM-RoBERTa-XL": "XLMRobertaXLModel"}
BATCH_TOKENS = 4096
NORM_EPSILON = 1e-12
ALREADY_IN_MODEL = ("position_ids", "token_type_ids")  # numbers that need not be stored

Ids = list[int]
Mix = Callable[[Sequence["Tensor"], "Tensor"], "Tensor"]  # layers and mask to one (N, T, D)


@dataclass(frozen=True)
class Encoder:
    """Turns sentences into vectors."""

    model: Any
    tokenizer: Any
    mix: Mix
    pool: str  # "avg" over tokens, or "cls", the first one
    most: int  # tokens that it reads

    @classmethod
    def of(cls, checkpoint: Checkpoint, *, needs_reference: bool) -> "Encoder":
        """Build it with the checkpoint's weights.

        Raises InputError for what is missing or does not fit, and where transformers is not
        installed.
        """
        path, settings = checkpoint.path, checkpoint.settings
        config, tokenizer = _pretrained(checkpoint)
        own = {
            name.removeprefix(PREFIX): weight
            for name, weight in checkpoint.weights.items()
            if name.startswith(PREFIX) and not name.endswith(ALREADY_IN_MODEL)
        }
        _check_sizes(config, own, path)
        _check_tokenizer(tokenizer, config.vocab_size, path)
        pool = settings.get("pool", "avg") if needs_reference else "cls"
        if pool not in ("avg", "cls"):
            raise InputError(f"{path}: pool = {pool}; avg and cls are allowed")
        model = _with_weights(ENCODERS[settings["encoder_model"]], config, own, path)
        return cls(
            model,
            tokenizer,
            _layer_mix(
                checkpoint.head(PREFIX, model.device), settings, config.num_hidden_layers, path
            ),
            pool,
            config.max_position_embeddings - 2,
        )

    def tokenize(self, text: str) -> Ids:
        """The ids of a text, with the symbols at both ends."""
        read = self.tokenizer(text, truncation=True, max_length=self.most - 2)
        return list(read["input_ids"])

    def join(self, one: Ids, other: Ids) -> Ids:
        """Two sentences as one."""
        joined = [*one[:-1], one[-1], one[-1], *other[1:-1], other[-1]]
        return joined[: self.most]

    def vectors(self, sentences: Sequence[Ids]) -> "Tensor":
        """The vectors (N, D) of sentences, computed in batches of similar length."""
        import torch

        order = sorted(range(len(sentences)), key=lambda row: len(sentences[row]))
        batches = _batches(order, sentences)
        parts = [self._embed([sentences[row] for row in rows]) for rows in batches]
        back = torch.empty(len(order), dtype=torch.long)
        back[torch.tensor(order)] = torch.arange(len(order))
        return torch.cat(parts)[back]

    def _embed(self, sentences: Sequence[Ids]) -> "Tensor":
        import torch

        longest = max(map(len, sentences))
        padding = self.tokenizer.pad_token_id
        ids = torch.tensor(
            [[*ids, *[padding] * (longest - len(ids))] for ids in sentences],
            device=self.model.device,
        )
        mask = ids != padding
        layers = self.model(
            input_ids=ids, attention_mask=mask.long(), output_hidden_states=True
        ).hidden_states
        mixed = self.mix(layers, mask)
        if self.pool == "cls":
            return mixed[:, 0].cpu()
        mean: Tensor = (mixed * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return mean.cpu()


def _batches(order: Sequence[int], sentences: Sequence[Ids]) -> Iterator[list[int]]:
    batch: list[int] = []
    for row in order:
        if batch and (len(batch) + 1) * len(sentences[row]) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(row)
    yield batch


def _pretrained(checkpoint: Checkpoint) -> tuple[Any, Any]:
    """The settings and the tokenizer of the encoder that the checkpoint names."""
    try:
        import transformers
    except ImportError:
        raise InputError(
            "COMET needs the package transformers: pip install 'seq2seq-cli[comet]'"
        ) from None
    path, settings = checkpoint.path, checkpoint.settings
    encoder = settings.get("encoder_model")
    if not isinstance(encoder, str) or encoder not in ENCODERS:
        raise InputError(f"{path}: the encoder {encoder}; {', '.join(ENCODERS)} are allowed")
    home = checkpoint.folder / ENCODER
    pretrained = settings.get("pretrained_model")
    files = str(home) if home.is_dir() else str(pretrained)
    try:
        return (
            transformers.AutoConfig.from_pretrained(files, local_files_only=True),
            transformers.AutoTokenizer.from_pretrained(files, local_files_only=True),
        )
    except Exception as error:  # transformers raises many kinds
        raise InputError(
            f"{path}: the settings and the tokenizer of its encoder {pretrained} "
            f"are neither in {home} nor in the cache of Hugging Face "
            f"({str(error).partition(chr(10))[0]}); {FETCH}"
        ) from None


def _with_weights(kind: str, config: Any, weights: "Mapping[str, Tensor]", path: Path) -> Any:
    """The encoder with its weights in float32, on a GPU if there is one."""
    import torch
    import transformers

    model = getattr(transformers, kind)(config, add_pooling_layer=False)
    try:
        missing, _ = model.load_state_dict(weights, strict=False)
        missing = [name for name in missing if not name.endswith(ALREADY_IN_MODEL)]
    except RuntimeError as error:
        reason = str(error).splitlines()[:2][-1].strip()  # the first only names the class
        raise InputError(f"{path}: {reason.rstrip('.')}; {FETCH}") from None
    if missing:
        raise InputError(f"{path}: the weights {', '.join(missing[:3])} of its encoder are missing")
    return model.to("cuda" if torch.cuda.is_available() else "cpu").float().eval()


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

    def said(name: str) -> Any:
        return getattr(config, name, None)  # a model of another kind has others

    width, count = said("hidden_size"), said("num_hidden_layers")
    expected = tuple(
        (said(name), width)
        for name in ("vocab_size", "max_position_embeddings", "intermediate_size")
    )
    found = tuple(None if each is None else tuple(each.shape) for each in (words, positions, inner))
    if found != expected or len(layers) != count:
        raise InputError(
            f"{path}: its encoder has {len(layers)} layers and the sizes {found}, its settings say "
            f"{count} layers and {expected}; give the encoder that belongs to it"
        )


def _check_tokenizer(tokenizer: Any, rows: int, path: Path) -> None:
    """Raise InputError for a tokenizer with more pieces than the encoder has rows."""
    if tokenizer.pad_token_id is None or len(tokenizer) > rows:
        raise InputError(
            f"{path}: the tokenizer of its encoder has {len(tokenizer):,} pieces and the padding "
            f"{tokenizer.pad_token}, and the encoder has {rows:,} rows; give the tokenizer that "
            "belongs to it"
        )


def _layer_mix(
    head: "Mapping[str, Tensor]", settings: Mapping[str, Any], count: int, path: Path
) -> Mix:
    """How the embedding and `count` layers of the encoder become one: a mixture, or one of them."""
    import torch

    unified = settings["class_identifier"] == "unified_metric"
    chosen = settings.get("sent_layer" if unified else "layer", "mix")
    if chosen != "mix":
        if not str(chosen).isdecimal() or int(chosen) > count:
            raise InputError(f"{path}: layer = {chosen!r}; mix and 0 to {count} are allowed")
        return lambda layers, mask: layers[int(chosen)]
    prefix = "layerwise_attention.scalar_parameters."
    names = [f"{prefix}{number}" for number in range(count + 1)]
    parts = [head.get(name) for name in (*names, "layerwise_attention.gamma")]
    others = sum(name.startswith(prefix) for name in head) - len(names)
    if others or any(each is None or each.shape != (1,) for each in parts):
        raise InputError(
            f"{path}: the weights of layerwise_attention are missing, or not one for each of the "
            f"encoder's {count} layers and its embedding; {FETCH}"
        )
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
