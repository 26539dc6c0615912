"""Models of Hugging Face with random weights, saved as transformers does, and their tokenizers."""

import io
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.config.shapes import weight_shapes
from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.interop.foreign_model import ForeignModel, StoredWeight, widened
from seq2seq_cli.interop.formats import export_run
from seq2seq_cli.interop.huggingface import reader as huggingface
from seq2seq_cli.interop.run_writer import write_run
from seq2seq_cli.models import model_of_arrays
from seq2seq_cli.runs.origin import Origin
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.symbols import BOS, NEVER, PAD
from seq2seq_cli.tokenization.foreign_vocabulary import piece_names
from seq2seq_cli.tokenization.learning import train_tokenizer
from seq2seq_cli.tokenization.protobuf import NORMALIZER_FIELD, message_fields

transformers = pytest.importorskip("transformers")
transformers.logging.set_verbosity_error()

SIZES = {
    **{"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "max_position_embeddings": 128},
    **{"encoder_attention_heads": 4, "decoder_attention_heads": 4},
    **{"encoder_ffn_dim": 48, "decoder_ffn_dim": 48},
}
HOSTILE = [
    *"\x00\t\x0b\x1f\x7f\x85\xa0\xad\u200b\u200d\u2028\u2029\u3000\ufeff\ufdd0",
    *"▁▅⇧éßİﬁ①½ªＡ",
    *"e\u0301\u0308العربית中文汉😀👍🏽'\"<>/\\&",
    "  ",
    "<0x41>",
    "<2xx>",
    "<s",
]
MARKS = "[\u0301\u0308\u200d🏽]"


def words(letters: str, count: int = 200) -> list[str]:
    draw = random.Random(1)
    return ["".join(draw.choices(letters, k=draw.randint(2, 6))) for _ in range(count)]


SOURCE_WORDS, TARGET_WORDS = words("abcdefghiklm"), words("abcdefgäöüß")


def lines_of(known: Sequence[str], count: int, seed: int, longest: int = 8) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(known, k=draw.randint(1, longest))) for _ in range(count)]


def hostile_lines(count: int = 2000) -> list[str]:
    draw = random.Random(3)
    parts = [*HOSTILE, *SOURCE_WORDS[:40], *TARGET_WORDS[:20], " ", " ", " "]
    return ["".join(draw.choices(parts, k=draw.choice((1, 2, 5, 12)))) for _ in range(count)]


@cache
def learned(kind: str, side: str, size: int = 120) -> bytes:
    """A SentencePiece model, with the ids of other tools: <unk>, <s>, </s>."""
    known = {"source": SOURCE_WORDS, "target": TARGET_WORDS, "both": SOURCE_WORDS + TARGET_WORDS}
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(lines_of(known[side], 1000, 2)),
        model_writer=model,
        model_type=kind,
        vocab_size=size,
        minloglevel=4,
        num_threads=1,
    )
    return model.getvalue()


@dataclass
class Folder:
    """A model of Hugging Face, saved, and what reads it there and here."""

    path: Path
    model: Any
    tokenizer: Any
    read: ForeignModel
    target: str = ""  # the language to translate into
    forced: int = 0  # the id here of the tag that translations begin with, or 0

    @property
    def ours(self) -> Any:
        arrays = {n: np.array(widened(w.read())) for n, w in self.read.weights.items()}
        return model_of_arrays(self.read.config, self.read.tokenizers.vocabulary, arrays).eval()


def marian(path: Path, kind: str) -> tuple[Any, Any, str]:
    """A MarianMTModel and its tokenizer: joint, separate, multilingual or untied."""
    source, target = learned("unigram", "source"), learned("unigram", "target")
    (path / "source.spm").write_bytes(source)
    (path / "target.spm").write_bytes(target)
    names = [piece_names(each)[3:] for each in (source, target)]
    draw = random.Random(7)
    if kind == "separate":
        lists = [["</s>", "<unk>", "<pad>", *draw.sample(each, len(each))] for each in names]
    else:
        pieces = sorted({*names[0], *names[1]})
        draw.shuffle(pieces)
        tags = [">>fra<<", ">>cmn_Hans<<"] if kind == "multilingual" else []
        lists = [["</s>", "<unk>", *tags, *pieces[:-5], "<pad>"]]
    files = ["vocab.json", "target_vocab.json"]
    for name, pieces in zip(files, lists, strict=False):
        (path / name).write_text(json.dumps({p: i for i, p in enumerate(pieces)}))
    tokenizer = transformers.MarianTokenizer(
        str(path / "source.spm"),
        str(path / "target.spm"),
        str(path / files[0]),
        target_vocab_file=str(path / files[1]) if kind == "separate" else None,
        separate_vocabs=kind == "separate",
    )
    pad = lists[0].index("<pad>")
    config = transformers.MarianConfig(
        **SIZES,
        vocab_size=len(lists[0]),
        decoder_vocab_size=len(lists[-1]),
        share_encoder_decoder_embeddings=kind != "separate",
        tie_word_embeddings=kind != "untied",
        activation_function="relu" if kind == "separate" else "swish",
        scale_embedding=True,
        pad_token_id=pad,
        decoder_start_token_id=pad,
        eos_token_id=0,
        forced_eos_token_id=0,
    )
    model = transformers.MarianMTModel(config)
    randomise(model)
    return model, tokenizer, "fra" if kind == "multilingual" else ""


def randomise(model: Any) -> None:
    """Weights far from zero, by which a token is much likelier than others and sentences end."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "embed_positions" in name and "Sinus" in type(_module(model, name)).__name__:
                continue
            is_embedding = any(each in name for each in ("embed_tokens", "shared", "lm_head"))
            parameter.add_(torch.randn_like(parameter), alpha=0.8 if is_embedding else 0.12)
            if is_embedding and model.config.model_type == "marian":
                parameter[model.config.pad_token_id] = 0
        end = model.config.eos_token_id
        if model.config.model_type == "t5":
            make_ends_likely(model, end)
        elif hasattr(model, "final_logits_bias"):
            model.final_logits_bias.normal_()
            model.final_logits_bias[0, end] += 8
        else:
            norm = model.model.decoder.layer_norm
            norm.bias.add_(model.model.shared.weight[end], alpha=0.4)


def make_ends_likely(model: Any, end: int) -> None:
    """Let </s> have the mean of all rows, by which no token is as unlikely, and peaks elsewhere."""
    model.lm_head.weight[end] = model.lm_head.weight.mean(0) + 0.3
    if model.config.scale_decoder_outputs:
        model.decoder.final_layer_norm.weight.mul_(4)


def _module(model: Any, name: str) -> Any:
    return model.get_submodule(name.rpartition(".")[0])


def m2m(path: Path) -> tuple[Any, Any, str]:
    spm = learned("bpe", "both", 160)
    pieces = [*piece_names(spm)[3:]]
    random.Random(7).shuffle(pieces)
    listed = {name: i for i, name in enumerate(["<s>", "<pad>", "</s>", "<unk>", *pieces[:-5]])}
    (path / "vocab.json").write_text(json.dumps(listed))
    (path / "sentencepiece.bpe.model").write_bytes(spm)
    tokenizer = transformers.M2M100Tokenizer(
        str(path / "vocab.json"),
        str(path / "sentencepiece.bpe.model"),
        src_lang="de",
        tgt_lang="fr",
    )
    model = transformers.M2M100ForConditionalGeneration(
        transformers.M2M100Config(**SIZES, vocab_size=len(listed) + 100)
    )
    randomise(model)
    return model, tokenizer, "fr"


def nllb(path: Path, *, legacy: bool) -> tuple[Any, Any, str]:
    """With a SentencePiece model, or legacy and with tokenizer.json alone."""
    spm = learned("bpe", "both", 160)
    names = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    for piece in piece_names(spm)[3:]:
        names[piece] = len(names)
    from transformers.tokenization_utils_base import generate_merges

    tokenizer = transformers.NllbTokenizer(
        vocab=names,
        merges=generate_merges(names),
        _spm_precompiled_charsmap=characters(spm),
        extra_special_tokens=["eng_Latn", "fra_Latn", "zho_Hans"],
        src_lang="eng_Latn",
        legacy_behaviour=legacy,
    )
    if not legacy:
        (path / "sentencepiece.bpe.model").write_bytes(spm)
    model = transformers.M2M100ForConditionalGeneration(
        transformers.M2M100Config(**SIZES, vocab_size=len(tokenizer))
    )
    randomise(model)
    return model, tokenizer, "fra_Latn"


def mbart(path: Path) -> tuple[Any, Any, str]:
    spm = learned("unigram", "both")
    processor = SentencePieceProcessor()
    processor.LoadFromSerializedProto(spm)
    tokenizer = transformers.MBart50Tokenizer(
        vocab=[(name, processor.GetScore(i)) for i, name in enumerate(piece_names(spm))],
        _spm_precompiled_charsmap=characters(spm),
        src_lang="en_XX",
    )
    model = transformers.MBartForConditionalGeneration(
        transformers.MBartConfig(
            **SIZES, vocab_size=len(tokenizer), decoder_start_token_id=2, scale_embedding=True
        )
    )
    randomise(model)
    return model, tokenizer, "fr_XX"


def t5(path: Path, kind: str) -> tuple[Any, Any, str]:
    """T5, T5 1.1 or MADLAD-400: with the model of its tokenizer, or with tokenizer.json alone."""
    from transformers import T5Config, T5ForConditionalGeneration, T5Tokenizer

    tags = ["<2de>", "<2pt_BR>"] if kind == "madlad" else []
    spm = with_ids_of_t5(
        tags, first=("<unk>", "<s>", "</s>") if tags else ("<pad>", "</s>", "<unk>")
    )
    processor = SentencePieceProcessor()
    processor.LoadFromSerializedProto(spm)
    pieces = piece_names(spm)
    extra = 0 if tags else 7
    sentinels = [f"<extra_id_{number}>" for number in reversed(range(extra))]
    tokenizer = T5Tokenizer(
        vocab=[
            *((name, processor.GetScore(number)) for number, name in enumerate(pieces)),
            *((name, 0.0) for name in sentinels),
        ],
        _spm_precompiled_charsmap=characters(spm),
        extra_ids=extra,
        pad_token="<s>" if tags else "<pad>",
    )
    if tags:  # that tokenizer reads unknown characters as the id 2, which is </s> here
        backend = tokenizer.backend_tokenizer
        backend.model = type(backend.model)(tokenizer._vocab_scores, unk_id=0)
    if kind != "t5 1.1":
        (path / "spiece.model").write_bytes(spm)
    model = T5ForConditionalGeneration(
        T5Config(
            **{"d_model": 32, "d_ff": 48, "num_layers": 2, "num_decoder_layers": 1, "num_heads": 4},
            d_kv=8 if kind == "t5" else 12,
            relative_attention_num_buckets=8,
            relative_attention_max_distance=7,
            vocab_size=len(pieces) + extra + 3,  # some rows have no piece
            feed_forward_proj="relu" if kind == "t5" else "gated-gelu",
            tie_word_embeddings=kind == "t5",
            pad_token_id=pieces.index("<s>" if tags else "<pad>"),
            eos_token_id=pieces.index("</s>"),
            decoder_start_token_id=0,
        )
    )
    if kind != "t5":
        untie(model)
    randomise(model)
    unused = torch.arange(len(pieces) + extra, model.config.vocab_size)  # has no probability here
    with torch.no_grad():
        model.lm_head.weight[unused] = 0
    model.lm_head.register_forward_hook(
        lambda _, inputs, logits: logits.index_fill(-1, unused, NEVER)
    )
    return model, tokenizer, "de" if tags else ""


def untie(model: Any) -> None:
    """Give the output a matrix of its own, which transformers 5 keeps if it is in the folder."""
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    model.config.tie_word_embeddings = False


def with_ids_of_t5(tags: Sequence[str], first: tuple[str, str, str]) -> bytes:
    """A SentencePiece model with the symbols of T5 in front, and tags that text is cut into."""
    model = io.BytesIO()
    names = {"<pad>": "pad_id", "<unk>": "unk_id", "<s>": "bos_id", "</s>": "eos_id"}
    ids = {**dict.fromkeys(names.values(), -1), **{names[each]: i for i, each in enumerate(first)}}
    SentencePieceTrainer.train(
        sentence_iterator=iter(lines_of(SOURCE_WORDS + TARGET_WORDS, 1000, 2)),
        model_writer=model,
        vocab_size=120,
        user_defined_symbols=list(tags),
        **ids,
        minloglevel=4,
        num_threads=1,
    )
    return model.getvalue()


def characters(spm: bytes) -> bytes:
    """The table of characters of a SentencePiece model."""
    (rules,) = [value for field, value in message_fields(spm) if field == NORMALIZER_FIELD]
    return dict(message_fields(rules))[2]


KINDS: dict[str, Callable[[Path], tuple[Any, Any, str]]] = {
    **{
        f"marian {kind}": lambda path, kind=kind: marian(path, kind)
        for kind in ("joint", "separate", "multilingual", "untied")
    },
    "m2m": m2m,
    "nllb": lambda path: nllb(path, legacy=False),
    "nllb legacy": lambda path: nllb(path, legacy=True),
    "mbart-50": mbart,
    **{kind: lambda path, kind=kind: t5(path, kind) for kind in ("t5", "t5 1.1", "madlad")},
}
# Runs trained here, with relative positions, and imported ones; exported and loaded there.
OF_T5: dict[str, Any] = {
    **{"positions": "relative", "position_buckets": 8, "position_distance": 7},
    **{"norm": "pre", "normalisation": "rms", "linear_bias": False, "scale_embeddings": False},
}
EXPORTED_T5: dict[str, dict[str, Any]] = {
    "as T5": {**OF_T5, "activation": "gelu-tanh"},
    "as T5 1.1": {**OF_T5, "activation": "geglu", "head_width": 12, "tie_output": False},
    "imported t5": {},
    "imported madlad": {},
}


def exported_t5(path: Path, kind: str) -> Folder:
    """A run that was exported, as it is here and as transformers loads it."""
    read = of_t5(path, kind)
    write_run(read, path / "run")
    export_run(path / "run", path / "written", "huggingface")
    model = transformers.T5ForConditionalGeneration.from_pretrained(path / "written").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(path / "written")
    assert type(tokenizer).__name__ == "T5Tokenizer"
    search = model.generation_config
    assert [model.config.decoder_start_token_id] in search.bad_words_ids
    assert search.num_beams == read.search.get("beam", SearchOptions().beam)
    # Searches are compared by options of their own.
    model.generation_config = transformers.GenerationConfig.from_model_config(model.config)
    return Folder(path / "written", model, tokenizer, read, "de" if read.data.source_prefix else "")


def of_t5(path: Path, kind: str) -> ForeignModel:
    if kind.startswith("imported"):
        first = path / "first"
        first.mkdir()
        model, tokenizer, _ = t5(first, kind.removeprefix("imported "))
        model.save_pretrained(first)
        tokenizer.save_pretrained(first)
        return huggingface.read(first)
    is_tagged = kind == "as T5"
    settings = TokenizerSettings(
        vocabulary_size=90,
        source_normalization="identity",
        languages=("de", "pt_BR") if is_tagged else (),
    )
    tokenizer = train_tokenizer(lines_of(SOURCE_WORDS, 300, 5), settings).tokenizer
    config = TransformerConfig(
        **{"width": 32, "heads": 4, "feed_forward": 48, "encoder_layers": 2, "decoder_layers": 1},
        **EXPORTED_T5[kind],
    )
    return made_up(
        config,
        Tokenizers(tokenizer, tokenizer),
        DataConfig(source_prefix="▁" if is_tagged else "", max_length=77),
    )


def made_up(config: TransformerConfig, tokenizers: Tokenizers, data: DataConfig) -> ForeignModel:
    """A model with random weights."""
    draw = np.random.default_rng(3)
    weights = {}
    for name, shape in weight_shapes(config, tokenizers.vocabulary).items():
        scale = 0.8 if "embedding" in name or name == "output.weight" else 0.2
        array = draw.normal(1 if name.endswith("norm.weight") else 0, scale, shape)
        if name == "target_embedding.weight" and config.zero_start:
            array[BOS] = 0
        if name == "output.bias":
            array[PAD] = NEVER  # MarianMT has no row for it
        weights[name] = StoredWeight.of(array.astype(np.float32))
    origin = Origin(format="made-up", source="some/model", licence="cc-by-4.0")
    return ForeignModel(config, tokenizers, weights, data, origin)
