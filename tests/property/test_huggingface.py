"""A model of Hugging Face is the same function here: tokens, logits, translations; and back again.

The models are small and random, and saved by `save_pretrained`; tokenizers are trained here.
"""

import io
import json
import random
import re
import shutil
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.config.relative_positions import source_buckets, target_buckets
from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.config.shapes import weight_shapes
from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.foreign_model import ForeignModel, StoredWeight, widened
from seq2seq_cli.interop.formats import export_run
from seq2seq_cli.interop.huggingface import reader as huggingface
from seq2seq_cli.interop.huggingface.card import model_card
from seq2seq_cli.interop.huggingface.files import read_tensors
from seq2seq_cli.interop.run_writer import write_run
from seq2seq_cli.models import model_of_arrays
from seq2seq_cli.runs.origin import Origin
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.search import ForcedPrefix, predictor_for
from seq2seq_cli.symbols import BOS, EOS, NEVER, PAD
from seq2seq_cli.tokenization.foreign_vocabulary import piece_names
from seq2seq_cli.tokenization.learning import train_tokenizer
from seq2seq_cli.tokenization.protobuf import NORMALIZER_FIELD, message_fields
from seq2seq_cli.tokenization.sentence_form import SentenceForm
from seq2seq_cli.translation import TranslationSettings, Translator
from seq2seq_cli.translation.importing import ImportRequest, import_model

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


@pytest.fixture(scope="module", params=[*KINDS, *EXPORTED_T5])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    path = tmp_path_factory.mktemp("model")
    torch.manual_seed(5)
    if request.param in EXPORTED_T5:
        return exported_t5(path, request.param)
    model, tokenizer, target = KINDS[request.param](path)
    model.eval().save_pretrained(path)
    tokenizer.save_pretrained(path)
    model.generation_config.forced_eos_token_id = None
    assert huggingface.recognises(path)
    read = huggingface.read(path)
    is_forced = model.config.model_type not in ("marian", "t5")
    forced = read.tokenizers.target.tags[target] if is_forced else 0
    return Folder(path, model, tokenizer, read, target, forced)


class Ids:
    """Between the ids of a side there and here: pieces have one name, apart from symbols."""

    def __init__(self, folder: Folder, side: str) -> None:
        tokenizer = folder.tokenizer
        if hasattr(tokenizer, "separate_vocabs"):
            separate = side == "target" and tokenizer.separate_vocabs
            theirs = dict(tokenizer.target_encoder if separate else tokenizer.encoder)
        else:
            theirs = tokenizer.get_vocab() | getattr(tokenizer, "lang_token_to_id", {})
        ours = getattr(folder.read.tokenizers, side).vocabulary
        number = {name: index for index, name in enumerate(ours)}
        symbols = {"<pad>": PAD, "</s>": EOS}
        self.to_ours = {}
        for name, id_ in theirs.items():
            language = re.fullmatch(r">>(.+)<<|__(.+)__|([a-z]{2,3}_[A-Z]\w+)", name)
            tag = f"<2{next(filter(None, language.groups()))}>" if language else ""
            spellings = (tag, f"<{id_}:{name.strip('<>')}>", name)
            found = next((number[each] for each in spellings if each in number), None)
            self.to_ours[id_] = symbols.get(name, found)
        assert None not in self.to_ours.values()
        self.to_theirs = {ours: theirs for theirs, ours in self.to_ours.items()}


@pytest.fixture(scope="module")
def source_ids(folder: Folder) -> Ids:
    return Ids(folder, "source")


@pytest.fixture(scope="module")
def target_ids(folder: Folder) -> Ids:
    return Ids(folder, "target")


def sources_of(folder: Folder, ids: Ids, count: int) -> tuple[list[list[int]], list[list[int]]]:
    """Ids of sources there and here, with tags and EOS."""
    lines = lines_of(SOURCE_WORDS, count, 4)
    if folder.target and not folder.forced:
        form = "<2{}>" if folder.model.config.model_type == "t5" else ">>{}<<"
        lines = [f"{form.format(folder.target)} {line}" for line in lines]
    theirs = [folder.tokenizer(line).input_ids for line in lines]
    return theirs, [[ids.to_ours[each] for each in row] for row in theirs]


def padded(rows: Sequence[Sequence[int]], pad: int) -> torch.Tensor:
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows])


def test_logits(folder: Folder, source_ids: Ids, target_ids: Ids) -> None:
    theirs, ours = sources_of(folder, source_ids, 20)
    generator = np.random.default_rng(1)
    text = [number for number in target_ids.to_ours.values() if number > EOS]
    target = [[BOS, *generator.choice(text, 9).tolist()] for _ in theirs]
    start, pad = folder.model.config.decoder_start_token_id, folder.model.config.pad_token_id
    source = padded(theirs, pad)
    with torch.inference_mode():
        expected = folder.model(
            input_ids=source,
            attention_mask=source != pad,
            decoder_input_ids=torch.tensor(
                [[start, *[target_ids.to_theirs[each] for each in row[1:]]] for row in target]
            ),
        ).logits
        model = folder.ours
        found = model.output(model(padded(ours, PAD), torch.tensor(target)))
    columns = sorted(target_ids.to_theirs.items())
    numbers, foreign = zip(*columns, strict=True)
    torch.testing.assert_close(
        found[..., list(numbers)], expected[..., list(foreign)], rtol=0, atol=1e-4
    )
    assert (found[..., BOS] < -1e8).all() or BOS in numbers


def test_greedy_translations(folder: Folder, source_ids: Ids, target_ids: Ids) -> None:
    theirs, ours = sources_of(folder, source_ids, 200)
    expected = generated(folder, theirs, num_beams=1, max_new_tokens=24)
    options = SearchOptions(beam=1, max_ratio=0, max_extra=24)
    assert found(folder, ours, options) == in_our_ids(target_ids, expected)


def test_beam_translations(folder: Folder, source_ids: Ids, target_ids: Ids) -> None:
    """All of one length: transformers keeps four hypotheses open when others have ended.

    Here, as in Marian, the beam gets narrower then, so that other hypotheses are found.
    """
    pairs = list(zip(*sources_of(folder, source_ids, 200), strict=True))
    options = SearchOptions(beam=4, length_penalty="power", min_ratio=1, max_ratio=1, max_extra=0)
    for length in {len(ours) for _, ours in pairs}:
        theirs, ours = zip(*(pair for pair in pairs if len(pair[1]) == length), strict=True)
        expected = generated(
            folder,
            theirs,
            num_beams=4,
            early_stopping="never",
            min_new_tokens=length - 1,
            max_new_tokens=length,
        )
        assert found(folder, ours, options) == in_our_ids(target_ids, expected)


def generated(folder: Folder, sources: Sequence[Sequence[int]], **options: Any) -> list[list[int]]:
    """What transformers finds, by the rules of search here: UNK and PAD are never written."""
    config = folder.model.config
    source = padded(sources, config.pad_token_id)
    forced = Ids(folder, "target").to_theirs[folder.forced] if folder.forced else None
    never = {folder.tokenizer.unk_token_id, config.pad_token_id, config.decoder_start_token_id}
    never -= {config.eos_token_id}
    rows = folder.model.generate(
        input_ids=source,
        attention_mask=source != config.pad_token_id,
        forced_bos_token_id=forced,
        logits_processor=[partial(only_the_end, options["max_new_tokens"], config.eos_token_id)],
        bad_words_ids=[[each] for each in never],
        **options,
    ).tolist()
    return [row[1 : row.index(config.eos_token_id, 1)] for row in rows]


def only_the_end(longest: int, end: int, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Let hypotheses end at the longest length, with the probability that this has.

    What transformers has for it takes a probability of 1.
    """
    if ids.size(1) == longest:
        others = torch.arange(scores.size(1)) != end
        scores = scores.masked_fill(others, -torch.inf)
    return scores


def in_our_ids(ids: Ids, rows: Sequence[Sequence[int]]) -> list[list[int]]:
    return [[ids.to_ours[each] for each in row] for row in rows]


def found(
    folder: Folder, sources: Sequence[Sequence[int]], options: SearchOptions
) -> list[list[int]]:
    prefixes = [ForcedPrefix.of_tokens([folder.forced])] * len(sources) if folder.forced else ()
    searched = predictor_for(folder.ours).search(sources, options, prefixes)
    return [list(each[0].tokens) for each in searched]


def test_pieces(folder: Folder, source_ids: Ids, target_ids: Ids) -> None:
    """Of 2,000 hostile lines, on both sides."""
    if folder.read.origin.format == "made-up":
        pytest.skip("what becomes of the text of runs trained here is not all SentencePiece's")
    lines = hostile_lines()
    space = None if is_list(folder) else number_of(folder, "▁")
    if space is not None:
        # Unlike the SentencePiece model it was made of, that tokenizer makes pieces of spaces at
        # the ends, and loses combining marks (findings/tokenizers-precompiled-marks.sh).
        lines = [" ".join(re.sub(MARKS, "", line).split()) for line in lines]
    for side, ids in (("source", source_ids), ("target", target_ids)):
        given = {"text_target": lines} if side == "target" else {"text": lines}
        theirs = in_our_ids(ids, folder.tokenizer(**given, add_special_tokens=False).input_ids)
        ours = getattr(folder.read.tokenizers, side).encode(lines)
        for line, expected, cut in zip(lines, theirs, ours, strict=True):
            if expected[-1:] == [space]:
                expected.pop()
            assert cut == expected, repr(line)


def is_list(folder: Folder) -> bool:
    """Whether pieces of SentencePiece are looked up in a list of pieces."""
    return (folder.path / "vocab.json").exists()


def number_of(folder: Folder, piece: str) -> int:
    return folder.read.tokenizers.source.vocabulary.index(piece)


def test_sources_are_read_as_there(folder: Folder, source_ids: Ids) -> None:
    """With what stands in front of a tag, and EOS."""
    if folder.forced:
        pytest.skip("tags of both sides are tested with translations")
    _, expected = sources_of(folder, source_ids, 100)
    lines = lines_of(SOURCE_WORDS, 100, 4)
    if folder.target:
        lines = [f"<2{folder.target}> {line}" for line in lines]
    tokenizer = folder.read.tokenizers.source
    form = SentenceForm.of(folder.read.data, tokenizer)
    assert [form.row(ids) for ids in tokenizer.encode(lines)] == expected


@pytest.mark.parametrize("kind", ["t5", "madlad"])
def test_an_imported_t5_translates_as_there(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.mkdir()
    torch.manual_seed(5)
    model, tokenizer, _ = t5(path, kind)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    lines = lines_of(SOURCE_WORDS, 12, 4, 3)  # which get the tag of a language
    notes: list[str] = []
    request = ImportRequest(str(path), verify=lines)
    origin = import_model(request, tmp_path / "run", note=notes.append)
    assert origin.verified.startswith("12 of 12 lines equal")
    assert any("its task stands in front" in note for note in notes) == (kind == "t5")
    run = RunFolder(tmp_path / "run")
    assert run.load_config().data.source_prefix == ("" if kind == "t5" else "▁")


@pytest.mark.parametrize("kind", EXPORTED_T5)
def test_an_exported_t5_is_read_again(kind: str, tmp_path: Path) -> None:
    read = of_t5(tmp_path, kind)
    paths = [tmp_path / name for name in ("run", "again")]
    write_run(read, paths[0])
    export_run(paths[0], tmp_path / "written", "huggingface")
    again = huggingface.read(tmp_path / "written")
    write_run(again, paths[1])
    assert {name for name, *_ in read.config.differences(again.config)} <= {"output_bias"}
    assert again.data.source_prefix == read.data.source_prefix
    assert again.data.max_length == read.data.max_length
    tag = "<2de> " if read.tokenizers.source.tags else ""
    lines = [tag + line for line in hostile_lines(100)]
    for beam in (1, 4):
        search = SearchOptions(beam=beam, length_penalty="power", max_ratio=0, max_extra=24)
        settings = TranslationSettings(search=search)
        ours, theirs = (
            [each.text for each in Translator.load(path, settings).translate(lines)]
            for path in paths
        )
        assert ours == theirs
        assert len(set(ours)) > 10


def test_a_task_in_front_of_sources_is_exported(tmp_path: Path) -> None:
    read = of_t5(tmp_path, "imported t5")
    text = " ".join(SOURCE_WORDS[:3])
    prefix = " ".join(read.tokenizers.source.encode_as_pieces(text))
    data = replace(read.data, source_prefix=prefix)
    write_run(replace(read, data=data), tmp_path / "run")
    notes = export_run(tmp_path / "run", tmp_path / "written", "huggingface")
    assert any(f'begin each with "{text} "' in note for note in notes)
    assert huggingface.read(tmp_path / "written").data.source_prefix == prefix
    card = (tmp_path / "written" / "README.md").read_text()
    assert f'tokenizer(["{text} Hello!"]' in card
    assert "import T5ForConditionalGeneration, T5Tokenizer" in card


OTHERS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "norm": ({"norm": "post"}, {}, r'model\.norm = "post" cannot be exported .* has "pre"'),
    "biases": ({"linear_bias": True}, {}, r"model\.linear_bias = true cannot be exported"),
    "kind of norm": ({"normalisation": "layer"}, {}, r'model\.normalisation = "layer" cannot'),
    "scale": ({"scale_embeddings": True}, {}, r"model\.scale_embeddings = true cannot"),
    "activation": ({"activation": "gelu-sigmoid"}, {}, r'model\.activation = "gelu-sigmoid"'),
    "tag": ({}, {"source_prefix": ""}, r'source_prefix = "" cannot .*source_prefix = "▁"'),
    "end": ({}, {"source_eos": False}, r"data\.source_eos = false cannot be exported"),
    "bias": ({"output_bias": True}, {}, "the output bias of this run is not zero"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_t5_lacks_is_refused_by_its_setting(name: str, tmp_path: Path) -> None:
    options, data, reason = OTHERS[name]
    read = of_t5(tmp_path, "as T5")
    config = replace(read.config, **options)
    changed = made_up(config, read.tokenizers, replace(read.data, **data))
    write_run(changed, tmp_path / "run")
    with pytest.raises(InputError, match=reason):
        export_run(tmp_path / "run", tmp_path / "written", "huggingface")
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("kind", ["t5", "t5 1.1", "marian joint"])
def test_an_exported_run_of_16_bits_has_the_bits_that_were_imported(
    kind: str, dtype: str, tmp_path: Path
) -> None:
    """Although some weights, multiplied by a factor, are stored in 32 bits here."""
    torch.manual_seed(5)
    folders = [tmp_path / name for name in ("first", "second", "float32")]
    folders[0].mkdir()
    model, tokenizer, _ = KINDS[kind](folders[0])
    model.to(getattr(torch, dtype)).save_pretrained(folders[0])
    tokenizer.save_pretrained(folders[0])
    write_run(huggingface.read(folders[0]), tmp_path / "run")
    export_run(tmp_path / "run", folders[1], "huggingface")
    export_run(tmp_path / "run", folders[2], "huggingface", "float32")
    first, second, wide = (read_tensors(folder) for folder in folders)
    assert json.loads((folders[1] / "config.json").read_text())["dtype"] == dtype
    assert {weight.dtype for weight in wide.values()} == {"F32"}
    for name, weight in second.items():
        assert weight.dtype == ("F16" if dtype == "float16" else "BF16"), name
        if weight.shape == first.get(name, weight).shape and "embed" not in name:
            given = first.get(name, weight).read()
            np.testing.assert_array_equal(weight.read(), given, err_msg=name)


def test_an_export_holds_one_weight_at_a_time(tmp_path: Path) -> None:
    config = TransformerConfig(
        **{"width": 128, "heads": 4, "feed_forward": 1024, "norm": "post"},
        **{"encoder_layers": 12, "decoder_layers": 1},
    )
    tokenizer = train_tokenizer(lines_of(SOURCE_WORDS, 300, 5), TokenizerSettings()).tokenizer
    write_run(made_up(config, Tokenizers(tokenizer, tokenizer), DataConfig()), tmp_path / "run")
    for quantization in ("", "float16"):
        tracemalloc.start()
        export_run(tmp_path / "run", tmp_path / f"as {quantization}", "huggingface", quantization)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        size = (tmp_path / "run" / "model.safetensors").stat().st_size
        assert most < size / 4


@pytest.mark.parametrize(("buckets", "distance"), [(32, 128), (8, 7), (6, 10), (64, 256)])
def test_distances_are_grouped_as_there(buckets: int, distance: int) -> None:
    from transformers.models.t5.modeling_t5 import T5Attention

    offsets, length = torch.arange(-299, 300), 300
    source, target = (
        T5Attention._relative_position_bucket(offsets, both, buckets, distance).tolist()
        for both in (True, False)
    )
    assert list(source_buckets(length, buckets, distance)) == source
    assert list(target_buckets(length, buckets, distance)) == target[:length]


# And back

EXPORTED: dict[str, dict[str, Any]] = {
    "as in MarianMT": {"activation": "swish", "output_bias": True, "zero_start": True},
    "positions of Marian": {"sinusoids": "tensor2tensor", "activation": "gelu-sigmoid"},
    "learned positions, untied": {"positions": "learned", "max_positions": 70, "tie_output": False},
    "separate": {"activation": "gelu", "scale_embeddings": False},
    "one list, two matrices": {"activation": "gelu-tanh", "tie_source": False},
}


@pytest.fixture(scope="module", params=EXPORTED)
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[RunFolder, Path]:
    """A run with made-up weights, and the folder that it was written to."""
    folder = tmp_path_factory.mktemp("run")
    settings = TokenizerSettings(
        vocabulary_size=60, source_normalization="identity", languages=("de", "pt_BR")
    )
    sides = [
        train_tokenizer(lines_of(known, 300, 5), settings).tokenizer
        for known in (SOURCE_WORDS, TARGET_WORDS)
    ]
    sides = sides if request.param == "separate" else [sides[0], sides[0]]
    tokenizers = Tokenizers(*sides)
    options = EXPORTED[request.param]
    config = TransformerConfig(
        **{"width": 32, "heads": 4, "feed_forward": 48, "norm": "post"},
        **{"encoder_layers": 2, "decoder_layers": 1, **options},
    )
    data = DataConfig(source=("/home/me/own.en",), target=("own.de",), source_language="en")
    write_run(made_up(config, tokenizers, data), folder / "run")
    run = RunFolder(folder / "run")
    export_run(run.path, folder / "written", "huggingface")
    return run, folder / "written"


def test_an_exported_run_translates_equally_in_transformers(
    exported: tuple[RunFolder, Path],
) -> None:
    run, folder = exported
    model = transformers.MarianMTModel.from_pretrained(folder).eval()
    tokenizer = transformers.MarianTokenizer.from_pretrained(folder)
    lines = lines_of(SOURCE_WORDS, 50, 6)
    # As the run does by default, other than that each line is searched as a whole
    options = SearchOptions(beam=1, no_repeat_ngram=2, max_ratio=0, max_extra=24)
    settings = TranslationSettings(search=options, target_language="de", unknown="keep")
    ours = [each.text for each in Translator.load(run.path, settings).translate(lines)]
    batch = tokenizer([f">>de<< {line}" for line in lines], return_tensors="pt", padding=True)
    found = model.generate(
        **batch, num_beams=1, no_repeat_ngram_size=2, max_new_tokens=24, early_stopping=None
    )
    theirs = tokenizer.batch_decode(found, skip_special_tokens=True)
    # Tags in the middle of a translation are symbols here, and text there.
    written = ["".join(re.sub(">>[A-Za-z_]+<<", "", line).split()) for line in theirs]
    assert written == ["".join(line.split()) for line in ours]
    assert len(set(ours)) > 10


def test_what_was_exported_is_read_again(exported: tuple[RunFolder, Path], tmp_path: Path) -> None:
    run, folder = exported
    read = huggingface.read(folder)
    write_run(read, tmp_path / "again")
    config, again = run.load_config().model, read.config
    different = {name for name, _, _ in config.differences(again)}
    assert different <= {"output_bias", "zero_start", "tie_source"}
    lines = [f"<2pt_BR> {line}" for line in hostile_lines(200)]
    for beam in (1, 4) if config.output_bias else (1,):
        search = SearchOptions(beam=beam, length_penalty="power", max_ratio=0, max_extra=24)
        settings = TranslationSettings(search=search)
        ours, theirs = (
            [each.text for each in Translator.load(path, settings).translate(lines)]
            for path in (run.path, tmp_path / "again")
        )
        assert ours == theirs


def test_a_model_card_says_how_to_use_it_and_where_it_is_from(
    exported: tuple[RunFolder, Path],
) -> None:
    text = (exported[1] / "README.md").read_text()
    assert "license: cc-by-4.0" in text
    assert "`own.en`" in text
    assert "/home/me" not in text
    assert "MarianTokenizer.from_pretrained" in text
    assert huggingface.read(exported[1]).origin.licence == "cc-by-4.0"


def test_a_model_card_has_the_figures_of_the_weights_that_training_chose(
    exported: tuple[RunFolder, Path], tmp_path: Path
) -> None:
    run = RunFolder(shutil.copytree(exported[0].path, tmp_path / "run"))
    assert "The run recorded no figures." in model_card(run)
    for update, bleu in ((10, 20.0), (20, 30.0), (30, 25.0)):
        is_best = bleu != 25.0
        run.metrics.append(
            {"kind": "validation", "update": update, "bleu": bleu, "is_best": is_best}
        )
    assert "after update 20:\n\n| metric | value |\n|---|---|\n| BLEU | 30.00 |" in model_card(run)
    run.metrics.append(
        {"kind": "final", "update": 30, "weights": "the average of updates 10, 20", "bleu": 31.5}
    )
    assert "the average of updates 10, 20:\n\n| metric" in model_card(run)
    assert "| BLEU | 31.50 |" in model_card(run)


# Files


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    path = tmp_path_factory.mktemp("joint")
    torch.manual_seed(5)
    model, tokenizer, _ = marian(path, "joint")
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path, model


def numbers_of(read: ForeignModel) -> dict[str, np.ndarray]:
    return {name: np.array(widened(weight.read())) for name, weight in read.weights.items()}


def test_weights_are_the_same_in_any_file(joint: tuple[Path, Any], tmp_path: Path) -> None:
    whole, model = joint
    expected = numbers_of(huggingface.read(whole))
    saved = {"sharded": {"max_shard_size": "20KB"}, "pickled": None, "16 bits": {}}
    for kind, options in saved.items():
        folder = tmp_path / kind
        shutil.copytree(whole, folder)
        (folder / "model.safetensors").unlink()
        if options is None:
            torch.save(model.state_dict(), folder / "pytorch_model.bin")
        else:
            changed = model.bfloat16() if kind == "16 bits" else model
            changed.save_pretrained(folder, **options)
        assert len(list(folder.glob("model-*.safetensors"))) > 1 or kind != "sharded"
        read = huggingface.read(folder)
        assert read.weights["target_embedding.weight"].dtype == (
            "BF16" if kind == "16 bits" else "F32"
        )
        for name, array in numbers_of(read).items():
            tolerance = 2**-8 if kind == "16 bits" else 0
            np.testing.assert_allclose(array, expected[name], rtol=tolerance, err_msg=name)


class Harmful:
    def __reduce__(self) -> Any:
        return print, ("run",)


def test_a_pickle_that_would_run_something_is_refused(
    joint: tuple[Path, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(joint[0], tmp_path / "harmful")
    (folder / "model.safetensors").unlink()
    torch.save({"model.shared.weight": Harmful()}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pytorch_model\.bin cannot be read as weights alone"):
        huggingface.read(folder)
    assert "run" not in capsys.readouterr().out


def changed(**values: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


def written(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text) and None


def anothers_spm() -> bytes:
    """A SentencePiece model of text in other letters."""
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(lines_of(words("опрстуфхцчшщ"), 500, 2)),
        model_writer=model,
        vocab_size=80,
        minloglevel=4,
        num_threads=1,
    )
    return model.getvalue()


INDEX = "model.safetensors.index.json"
REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "UMT5": (changed(model_type="umt5"), 'model_type "umt5" cannot be held: each of its layers'),
    "no T5": (changed(model_type="t5"), "spiece.model is missing"),
    "experts": (changed(model_type="nllb-moe"), "mixture of experts"),
    "another model": (changed(model_type="bert"), "'bert' is not a translation model"),
    "sides differ": (changed(decoder_ffn_dim=96), "encoder_ffn_dim = 48 and decoder_ffn_dim = 96"),
    "activation": (changed(activation_function="mish"), "activation_function = 'mish'"),
    "embedding norm": (changed(normalize_embedding=True), "normalize_embedding = true"),
    "too few rows": (changed(vocab_size=100), "the model has 100 rows"),
    "BPE": (written("source.bpe", "#version"), r"source\.bpe belongs to a model of before"),
    "no text": (written("vocab.json", '{"</s>": 0}'), r"vocab\.json has no <unk>"),
    "twice": (written("vocab.json", '{"</s>": 0, "<unk>": 0}'), "gives the id 0 to"),
    "no whole number": (written("vocab.json", '{"</s>": "0"}'), "is not a whole number"),
    "no spm": (lambda folder: (folder / "target.spm").unlink(), r"target\.spm is missing"),
    "another's spm": (
        lambda folder: (folder / "target.spm").write_bytes(anothers_spm()) and None,
        r"vocab\.json has \d+ of the \d+ pieces of target\.spm: the files are not of one model",
    ),
    "padding": (changed(pad_token_id=9999), "pad_token_id = 9999, which no piece of vocab"),
    "start": (changed(decoder_start_token_id=9999), "decoder_start_token_id = 9999, which no"),
    "another end": (changed(eos_token_id=5), "eos_token_id = 5, and </s> has the id 0 in vocab"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "has no weights"),
    "layers": (changed(decoder_layers=3), r"lack the tensor model\.decoder\.layers\.2"),
    "width": (changed(d_model=64), r"is \[\d+, 32\], \[\d+, 64\] by config\.json"),
    "huge rows": (
        changed(vocab_size=2**31 - 1),
        "vocab_size = 2147483647 is more than the weights",
    ),
    "huge depth": (changed(encoder_layers=2**31 - 1), "encoder_layers = 2147483647 is more than"),
    "a list": (changed(activation_function=["relu"]), r"activation_function = \['relu'\]: relu"),
    "no text at all": (written("vocab.json", '{"\\ud800": 0}'), "pieces that are not text"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_held_is_refused_by_its_reason(
    name: str, joint: tuple[Path, Any], tmp_path: Path
) -> None:
    folder = shutil.copytree(joint[0], tmp_path / "model")
    change, reason = REFUSED[name]
    change(folder)
    with pytest.raises(InputError, match=reason) as raised:
        huggingface.read(folder)
    assert str(folder) in str(raised.value)


def rewritten(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return rewrite


def many_sentinels(folder: Path) -> None:
    """As in folders of before tokenizer.json."""
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text('{"extra_ids": 1000000000000}')


T5_REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "activation": (changed(feed_forward_proj="gated-mish"), "feed_forward_proj = 'gated-mish'"),
    "a list": (changed(feed_forward_proj=["relu"]), r"feed_forward_proj = \['relu'\]"),
    "huge rows": (
        changed(vocab_size=2**31 - 1),
        "vocab_size = 2147483647 is more than the weights",
    ),
    "huge depth": (changed(num_layers=2**31 - 1), "num_layers = 2147483647 is more than"),
    "depth": (changed(num_decoder_layers=2), r"lack the tensor decoder\.block\.1\.layer\.0"),
    "heads": (changed(num_heads=2), r"attention_bias.* is \[8, 4\], \[8, 2\] by config"),
    "groups": (
        changed(relative_attention_num_buckets=6),
        r"attention_bias.* is \[8, 4\], \[6, 4\] by config",
    ),
    "gate": (changed(feed_forward_proj="gated-gelu"), r"lack the tensor .*wi_0\.weight"),
    "too few rows": (changed(vocab_size=100), "the model has 100 rows"),
    "sentinels": (many_sentinels, "extra_ids = 1000000000000 is not a number below the"),
    "another's text": (
        rewritten("spiece.model", lambda _: b"<!DOCTYPE html>"),
        r"spiece\.model is not a SentencePiece model",
    ),
    "another's spm": (
        rewritten("spiece.model", lambda _: anothers_spm()),
        r"tokenizer\.json has \d+ of the \d+ pieces of spiece\.model: the files are not of one",
    ),
    "cut text": (
        rewritten("spiece.model", lambda data: data[:900]),
        r"spiece\.model is not a SentencePiece model",
    ),
    "cut weights": (
        rewritten("model.safetensors", lambda data: data[:-9]),
        "does not lie in the file as its header says",
    ),
}


@pytest.fixture(scope="module")
def t5_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("t5")
    torch.manual_seed(5)
    model, tokenizer, _ = t5(path, "t5")
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.mark.parametrize("name", T5_REFUSED)
def test_a_folder_of_t5_that_is_cut_or_mixed_is_refused_by_its_reason(
    name: str, t5_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(t5_folder, tmp_path / "model")
    change, reason = T5_REFUSED[name]
    change(folder)
    with pytest.raises(InputError, match=reason) as raised:
        import_model(ImportRequest(str(folder)), tmp_path / "run")
    assert str(folder) in str(raised.value)
    assert [each.name for each in tmp_path.iterdir()] == ["model"]


def test_a_damaged_model_of_text_is_named_where_tags_would_be_cut_by_it(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.mkdir()
    model, tokenizer, _ = t5(path, "madlad")
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    (path / "spiece.model").write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(InputError, match=r"spiece\.model is not a SentencePiece model"):
        huggingface.read(path)


OTHER_KINDS = (["a"], {"a": 1}, "x", -1, 2**40, 1e300, True)


@pytest.mark.parametrize("kind", ["marian", "t5", "nllb"])
def test_settings_of_another_kind_are_refused_or_do_no_harm(
    kind: str, joint: tuple[Path, Any], t5_folder: Path, tmp_path: Path
) -> None:
    """Whatever a damaged file of settings holds, nothing but InputError comes of it."""
    whole = {"marian": joint[0], "t5": t5_folder}.get(kind)
    if whole is None:
        whole = tmp_path / "nllb"
        whole.mkdir()
        for each in nllb(whole, legacy=True)[:2]:
            each.save_pretrained(whole)
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    refused = set()
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        settings = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
        for key in settings:
            for value in OTHER_KINDS:
                (folder / name).write_text(json.dumps(settings | {key: value}))
                try:
                    huggingface.read(folder)
                except InputError:
                    refused.add(key)
        (folder / name).write_text(json.dumps(settings))
    assert {"model_type", "d_model", "vocab_size"} <= refused


def test_stored_positions_of_another_model_are_refused(
    joint: tuple[Path, Any], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(joint[0], tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    sides = [f"model.{side}.embed_positions.weight" for side in ("encoder", "decoder")]
    for shapes in ([(128, 16)] * 2, [(128, 32), (64, 32)], [(128,)] * 2, [()] * 2):
        changed = {name: torch.zeros(shape) for name, shape in zip(sides, shapes, strict=True)}
        save_file(tensors | changed, folder / "model.safetensors")
        with pytest.raises(InputError, match=r"embed_positions\.weight is .* by config\.json"):
            huggingface.read(folder)


def test_lines_that_the_original_has_no_positions_for_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.mkdir()
    torch.manual_seed(5)
    _, tokenizer, _ = marian(path, "joint")
    tokenizer.save_pretrained(path)
    pad = tokenizer.pad_token_id
    sizes = {"vocab_size": pad + 1, "eos_token_id": 0, "forced_eos_token_id": 0}
    short = transformers.MarianConfig(
        **{**SIZES, **sizes, "max_position_embeddings": 32},
        pad_token_id=pad,
        decoder_start_token_id=pad,
    )
    model = transformers.MarianMTModel(short)
    randomise(model)
    model.final_logits_bias[0, 0] += 12  # most translations end
    model.save_pretrained(path)
    lines = [*lines_of(SOURCE_WORDS, 12, 4, 3), " ".join(SOURCE_WORDS[:60])]
    found = huggingface.translate_with_original(path, lines, 1)
    assert found[-1] is None
    assert any(each is not None for each in found)
    request = ImportRequest(str(path), verify=lines)
    origin = import_model(request, tmp_path / "run")
    left_out = found.count(None)
    compared = len(lines) - left_out
    assert origin.verified.startswith(
        f"{compared} of {compared} lines equal, {left_out} too long for it"
    )


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "missing.safetensors"])
def test_an_index_names_files_of_its_folder_only(
    name: str, joint: tuple[Path, Any], tmp_path: Path
) -> None:
    folder = shutil.copytree(joint[0], tmp_path / "model")
    (folder / "model.safetensors").rename(tmp_path / "model.safetensors")
    (folder / INDEX).write_text(json.dumps({"weight_map": {"model.shared.weight": name}}))
    with pytest.raises(InputError, match=r"not a file of its folder|is missing, which"):
        huggingface.read(folder)


def test_the_authors_search_licence_and_alignment_are_kept(
    joint: tuple[Path, Any], tmp_path: Path
) -> None:
    folder = shutil.copytree(joint[0], tmp_path / "model")
    search = {"num_beams": 6, "length_penalty": 0.8, "no_repeat_ngram_size": 3, "max_length": 512}
    (folder / "generation_config.json").write_text(json.dumps(search | {"min_length": 4}))
    (folder / "README.md").write_text(
        "---\nlanguage: de\nlicense: cc-by-4.0\n---\ntransformer-align"
    )
    read = huggingface.read(folder)
    assert read.search == {
        **{"beam": 6, "length_penalty": "power", "alpha": 0.8, "no_repeat_ngram": 3},
    }
    assert read.origin.licence == "cc-by-4.0"
    assert (read.config.alignment_layer, read.config.alignment_head) == (1, 0)
    assert any("min_length = 4" in note for note in read.notes)
