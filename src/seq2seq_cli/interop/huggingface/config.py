"""config.json and generation_config.json of Hugging Face as our settings: model and search."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seq2seq_cli.config.models import TransformerConfig, model_config
from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.config.settings import require, settings_from
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.huggingface.files import (
    CONFIG,
    GENERATION_CONFIG,
    read_json,
    read_json_if_there,
)
from seq2seq_cli.interop.huggingface.weights import SOURCE_EMBEDDING, TARGET_EMBEDDING
from seq2seq_cli.runs.stored_weights import StoredWeight

ACTIVATIONS = {  # by their names there
    "relu": "relu",
    "gelu": "gelu",
    "gelu_new": "gelu-tanh",
    "gelu_pytorch_tanh": "gelu-tanh",
    "gelu_fast": "gelu-tanh",
    "quick_gelu": "gelu-sigmoid",
    "swish": "swish",
    "silu": "swish",
}
COMMON = {
    "architecture": "transformer",
    "norm_epsilon": 1e-5,
    "normalisation": "layer",
    "output_bias": True,  # without one, it keeps rows from being written that are not there
}
FAMILIES: dict[str, dict[str, object]] = {  # model_type -> what all models of it have
    "marian": {
        **COMMON,
        "norm": "post",
        "positions": "sinusoidal",
        "sinusoids": "halves",
        "first_position": 0,
    },
    "m2m_100": {
        **COMMON,
        "norm": "pre",
        "positions": "sinusoidal",
        "sinusoids": "tensor2tensor",
        "first_position": 2,
    },
    "mbart": {
        **COMMON,
        "norm": "pre",
        "positions": "learned",
        "embedding_norm": True,
    },
}
T5 = ("t5", "mt5")
VOCABULARY_SIZES = ("vocab_size", "decoder_vocab_size")
LAYERS = ("encoder_layers", "decoder_layers", "num_layers", "num_decoder_layers")
REFUSED = {
    "umt5": "each of its layers has relative positions of its own; those of T5, mT5 and MADLAD-400 "
    "are shared by all layers of a side, and can be held",
    "nllb-moe": "it is a mixture of experts, of which each token takes a few; the distilled NLLB "
    "models are dense and can be imported",
    "switch_transformers": "it is a mixture of experts, of which each token takes a few",
    "fsmt": "its tokenizer is not SentencePiece (Moses and BPE by a program of its own)",
}
NOT_HELD = ("normalize_embedding", "add_final_layer_norm", "normalize_before")  # of Marian
ALIGNED = "transformer-align"  # READMEs of OPUS-MT: the first head of the last layer is aligned


@dataclass(frozen=True)
class HuggingFaceConfig:
    """What config.json says: the family of the model, and all else as it is."""

    path: Path
    family: str
    values: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "HuggingFaceConfig":
        """Read it. Raises InputError for a model that cannot be held, with the reason."""
        path = folder / CONFIG
        values = read_json(path)
        family = values.get("model_type")
        if isinstance(family, str) and family in REFUSED:
            raise InputError(f'{path}: model_type "{family}" cannot be held: {REFUSED[family]}')
        known = (*FAMILIES, *T5)
        if not isinstance(family, str) or family not in known:
            raise InputError(
                f"{path}: model_type {family!r} is not a translation model that can be read; "
                f"{', '.join(known)} can"
            )
        return cls(path, family, values)

    def number(self, name: str, otherwise: int | None = None) -> int:
        """A whole number. Raises InputError if it is missing, or not one from 0."""
        value = self.values.get(name)
        if value is None and otherwise is not None:
            return otherwise
        require(
            isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31,
            f"{self.path}: {name} = {value!r} is not a whole number from 0; copy the file again",
        )
        assert isinstance(value, int)
        return value

    def one_of(self, name: str, allowed: Mapping[str, str], otherwise: str) -> str:
        """What stands for one of these words. Raises InputError for any other value."""
        value = self.values.get(name)
        value = otherwise if value is None else value
        require(
            isinstance(value, str) and value in allowed,
            f"{self.path}: {name} = {value!r}: {', '.join(allowed)} can be held",
        )
        return allowed[value]

    def flag(self, name: str, otherwise: bool) -> bool:
        """A truth value."""
        value = self.values.get(name)
        return otherwise if value is None else bool(value)

    @property
    def is_t5(self) -> bool:
        """Whether the model is a T5, whose settings have other names."""
        return self.family in T5

    @property
    def is_tied(self) -> bool:
        """Whether the target's embedding is the output's matrix too."""
        return self.flag("tie_word_embeddings", True)

    @property
    def has_one_list(self) -> bool:
        """Whether both sides have the same pieces."""
        return self.family != "marian" or self.flag("share_encoder_decoder_embeddings", True)

    def shares_embeddings(self, tensors: Container[str]) -> bool:
        """Whether both sides have one embedding, by the names of the tensors.

        In transformers 5 all embeddings are untied if the output is, and before only the output.
        """
        sides = SOURCE_EMBEDDING in tensors and TARGET_EMBEDDING in tensors
        return self.has_one_list and (self.is_tied or not sides)

    @property
    def vocabulary_sizes(self) -> tuple[int, int]:
        """The rows of the embeddings of source and target."""
        source = self.number("vocab_size")
        if not self.has_one_list:
            return source, self.number("decoder_vocab_size", source)
        return source, source

    def model(self, readme: str, tensors: Container[str]) -> TransformerConfig:
        """The settings of the model.

        Raises InputError for what cannot be held. `tensors` has the names of those in the folder;
        `readme` is the text of the README, which tells of OPUS-MT what is aligned.
        """
        for name in NOT_HELD:
            require(
                self.family != "marian" or not self.flag(name, False),
                f"{self.path}: {name} = true cannot be held: MarianMTModel itself ignores it",
            )
        self._check_sides_alike()
        table = {
            **FAMILIES[self.family],
            "width": self.number("d_model"),
            "heads": self.number("encoder_attention_heads"),
            "encoder_layers": self.number("encoder_layers"),
            "decoder_layers": self.number("decoder_layers"),
            "feed_forward": self.number("encoder_ffn_dim"),
            "activation": self.one_of("activation_function", ACTIVATIONS, "gelu"),
            "scale_embeddings": self.flag("scale_embedding", self.family == "m2m_100"),
            "tie_output": self.is_tied,
            "tie_source": self.shares_embeddings(tensors),
            "dropout": self.probability("dropout"),
            "attention_dropout": self.probability("attention_dropout"),
            "activation_dropout": self.probability("activation_dropout"),
        }
        if self.family == "mbart":
            table["max_positions"] = self.number("max_position_embeddings")
        if self.family == "marian" and ALIGNED in readme:
            table |= {"alignment_layer": self.number("decoder_layers") - 1, "alignment_head": 0}
        config = model_config(table)
        assert isinstance(config, TransformerConfig)
        return config

    def probability(self, name: str) -> float:
        """A probability of dropout; 0 for what is not one."""
        value = self.values.get(name)
        return float(value) if isinstance(value, int | float) and 0 <= value < 1 else 0.0

    def _check_sides_alike(self) -> None:
        for name in ("attention_heads", "ffn_dim"):
            encoder, decoder = (self.number(f"{side}_{name}") for side in ("encoder", "decoder"))
            require(
                encoder == decoder,
                f"{self.path}: encoder_{name} = {encoder} and decoder_{name} = {decoder} cannot "
                "be held: both sides have the same here",
            )

    def check_sizes(self, tensors: Mapping[str, StoredWeight]) -> None:
        """Raise InputError for sizes that no tensor has, before anything has them."""
        rows = max((each.shape[0] for each in tensors.values() if each.shape), default=0)
        for names, most in ((VOCABULARY_SIZES, rows), (LAYERS, len(tensors))):
            for name in names:
                value = self.values.get(name)
                require(
                    not isinstance(value, int) or value <= most,
                    f"{self.path}: {name} = {value!r} is more than the weights have; the files are "
                    "not of one model: copy the whole folder",
                )

    @property
    def max_length(self) -> int:
        """The longest source that the model has positions for, without EOS and a tag, in tokens."""
        name = "n_positions" if self.is_t5 else "max_position_embeddings"
        return max(1, self.number(name, 512) - 2)


def search_defaults(folder: Path) -> tuple[dict[str, int | float | str], tuple[str, ...]]:
    """The author's options of search by our names, and notes on those that there are not here.

    They are in generation_config.json, and in config.json of older models. Values that are not
    numbers in our ranges are left out.
    """
    values = {**read_json_if_there(folder / CONFIG)}
    values |= read_json_if_there(folder / GENERATION_CONFIG)
    found: dict[str, int | float | str] = {"length_penalty": "power"}
    for theirs, ours in (
        ("num_beams", "beam"),
        ("length_penalty", "alpha"),
        ("no_repeat_ngram_size", "no_repeat_ngram"),
        ("repetition_penalty", "repetition_penalty"),
    ):
        value = values.get(theirs)
        if isinstance(value, int | float) and not isinstance(value, bool) and _fits(ours, value):
            found[ours] = value
    found.setdefault("beam", 1)  # greedy, where nothing else is said
    notes = [
        f"{name} = {values[name]!r} in its settings of search has no counterpart and is left out"
        for name in ("min_length", "min_new_tokens", "suppress_tokens", "diversity_penalty")
        if values.get(name)
    ]
    return found, tuple(notes)


def _fits(name: str, value: float) -> bool:
    """Whether an option takes a value."""
    try:
        settings_from(SearchOptions, "search", {name: value})
    except InputError:
        return False
    return True
