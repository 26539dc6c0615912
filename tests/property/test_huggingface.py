"""A model of Hugging Face is the same function here: tokens, logits, translations.

The models are small and random, and saved by `save_pretrained`; tokenizers are trained here.
"""

import json
import re
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.config.relative_positions import source_buckets, target_buckets
from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.formats import export_run
from seq2seq_cli.interop.huggingface import reader as huggingface
from seq2seq_cli.interop.huggingface.files import read_tensors
from seq2seq_cli.interop.run_writer import write_run
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.search import ForcedPrefix, predictor_for
from seq2seq_cli.symbols import BOS, EOS, PAD
from seq2seq_cli.tokenization.learning import train_tokenizer
from seq2seq_cli.tokenization.sentence_form import SentenceForm
from seq2seq_cli.translation import TranslationSettings, Translator
from seq2seq_cli.translation.importing import ImportRequest, import_model
from tests.property.huggingface_models import (
    EXPORTED_T5,
    KINDS,
    MARKS,
    SOURCE_WORDS,
    Folder,
    exported_t5,
    hostile_lines,
    lines_of,
    made_up,
    of_t5,
    t5,
)


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
