"""An exported Transformer is the same function in the other engine, whatever its variant."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.errors import InputError
from seq2seq_cli.inference.plain_model import PlainModel
from seq2seq_cli.interop.ctranslate2.readme import readme
from seq2seq_cli.interop.ctranslate2.writer import check_ctranslate2, write_model
from seq2seq_cli.models import build, capture_attention, model_config
from seq2seq_cli.models.transformer import Transformer
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.symbols import BOS, EOS, PAD, PIECES, UNK
from seq2seq_cli.tokenization.learning import train_tokenizer
from seq2seq_cli.tokenization.tokenizer import Tokenizer

ctranslate2 = pytest.importorskip("ctranslate2", reason="the extra bench is not installed")

SIZES = {"architecture": "transformer", "width": 32, "heads": 4, "feed_forward": 48}
SIZES |= {"encoder_layers": 2, "decoder_layers": 2}
LINES = ["ab abc bca", "cab dabc ddd", "a b c d", "e f g"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(LINES * 5, TokenizerSettings(vocabulary_size=30)).tokenizer


def _model(tokenizer: Tokenizer, options: Mapping[str, object]) -> Transformer:
    """A made-up model whose weights are far from zero."""
    torch.manual_seed(7)
    model = build(model_config(SIZES | options), Tokenizers(tokenizer, tokenizer).vocabulary).eval()
    assert isinstance(model, Transformer)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


def _export(
    model: Transformer, tokenizer: Tokenizer, folder: Path, quantization: str | None = None
) -> Any:
    """The model in the other engine, in float32 unless it is quantized."""
    plain, tokenizers = PlainModel.of(model), Tokenizers(tokenizer, tokenizer)
    write_model(plain, tokenizers, DataConfig(), folder, quantization or "")
    kind = "default" if quantization else "float32"
    return ctranslate2.Translator(str(folder), compute_type=kind, intra_threads=1)


def _log_probabilities(model: Transformer, source: list[int], target: list[int]) -> Tensor:
    """Those of a target's tokens and its EOS, among the tokens that search may write."""
    with torch.inference_mode():
        hidden = model.hidden(torch.tensor([[*source, EOS]]), torch.tensor([[BOS, *target]]))
        logits = model.output(hidden)
        logits[:, PAD : BOS + 1] = -torch.inf
    return logits.log_softmax(dim=1)[torch.arange(len(logits)), [*target, EOS]]


def _attention_that_aligns(model: Transformer, source: list[int], target: list[int]) -> Tensor:
    """That of the layer that the settings name, or the last (T, S), without EOS."""
    with torch.inference_mode(), capture_attention(model, aligning=True) as captured:
        model(torch.tensor([[*source, EOS]]), torch.tensor([[BOS, *target]]))
    return torch.cat(captured[-1], dim=2).mean(dim=1)[0, : len(target), : len(source)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"norm": "post"},
        {"normalisation": "rms"},
        {"normalisation": "rms", "norm": "post"},
        {"positions": "learned"},
        {"positions": "learned", "max_positions": 4},  # the last one is that of all beyond
        {"positions": "rotary"},
        {"activation": "gelu"},
        {"activation": "swish"},
        {"activation": "swiglu"},
        {"activation": "swiglu", "normalisation": "rms", "positions": "rotary"},
        {"tie_source": False, "encoder_layers": 3, "decoder_layers": 1},
        {"output_bias": True, "tie_output": False, "activation": "gelu-tanh", "norm_epsilon": 0.01},
        {"sinusoids": "tensor2tensor", "first_position": 2, "activation": "gelu-sigmoid"},
        {"sinusoids": "interleaved", "embedding_norm": True, "scale_embeddings": False},
        {"alignment_layer": 0, "alignment_head": 0},
    ],
    ids=str,
)
def test_both_engines_give_the_same_probabilities_and_attention(
    options: dict[str, object], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = _model(tokenizer, options)
    engine = _export(model, tokenizer, tmp_path)
    for source, target in zip(LINES, reversed(LINES), strict=True):
        ids, wanted = tokenizer.encode([source, target])
        pieces = tokenizer.ids_to_pieces(ids), tokenizer.ids_to_pieces(wanted)
        [scored] = engine.score_batch([pieces[0]], [pieces[1]])
        expected = _log_probabilities(model, ids, wanted)
        assert scored.log_probs == pytest.approx(expected.tolist(), abs=2e-4)
        [read] = engine.translate_batch(
            [pieces[0]],
            target_prefix=[pieces[1]],
            max_decoding_length=len(wanted),
            return_attention=True,
        )
        assert read.hypotheses == [pieces[1]]
        attention = _attention_that_aligns(model, ids, wanted)
        torch.testing.assert_close(torch.tensor(read.attention[0]), attention, atol=1e-4, rtol=0)


@pytest.mark.parametrize("normalisation", ["layer", "rms"])
def test_norms_of_small_numbers_are_the_same(
    normalisation: str, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """Near zero the epsilon of a norm decides what comes out of it."""
    model = _model(tokenizer, {"normalisation": normalisation, "positions": "rotary"})
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                parameter.mul_(0.02)
        for norm in (model.encoder_norm, model.decoder_norm):
            norm.weight.mul_(50)
    engine = _export(model, tokenizer, tmp_path)
    for source, target in zip(LINES, reversed(LINES), strict=True):
        ids, wanted = tokenizer.encode([source, target])
        [scored] = engine.score_batch(
            [tokenizer.ids_to_pieces(ids)], [tokenizer.ids_to_pieces(wanted)]
        )
        expected = _log_probabilities(model, ids, wanted)
        assert scored.log_probs == pytest.approx(expected.tolist(), abs=2e-4)


@pytest.mark.parametrize(
    ("quantization", "symbol"),
    [(None, PAD), (None, BOS)]
    + [(each, UNK) for each in (None, "int8", "int16", "float16", "bfloat16")],
)
def test_control_symbols_are_never_written(
    quantization: str | None, symbol: int, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """Not by any search, even if the model finds one by far the likeliest."""
    model = _model(tokenizer, {})
    with torch.no_grad():
        model.decoder_norm.bias.copy_(20 * model.output.weight[symbol])
    engine = _export(model, tokenizer, tmp_path, quantization)
    [ids] = tokenizer.encode(LINES[:1])
    logits = model.output(model.hidden(torch.tensor([[*ids, EOS]]), torch.tensor([[BOS]])))
    assert logits.argmax(dim=1).tolist() == [symbol]
    for search in (
        {"beam_size": 1},
        {"beam_size": len(tokenizer), "num_hypotheses": len(tokenizer)},
        {"beam_size": 1, "sampling_topk": 0, "num_hypotheses": 20},
    ):
        [result] = engine.translate_batch(
            [tokenizer.ids_to_pieces(ids)], max_decoding_length=6, **search
        )
        written = {piece for hypothesis in result.hypotheses for piece in hypothesis}
        assert written
        assert not written & {PIECES[PAD], PIECES[UNK], PIECES[BOS]}


def test_the_folder_says_what_the_format_cannot_hold() -> None:
    """Where several languages or layers make a difference it is named, and else it is not."""
    lines = [f"<2{language}> {line}" for line in LINES for language in ("de", "fr")]
    settings = TokenizerSettings(vocabulary_size=40, languages=("de", "fr"))
    one, other = (train_tokenizer(lines, settings).tokenizer for _ in range(2))
    config = model_config(SIZES)
    assert isinstance(config, TransformerConfig)
    text = readme(config, Tokenizers(one, other), DataConfig())
    assert '["<2de>", *pieces]' in text
    assert "target_prefix=[[" not in text
    assert "blank lines out before adding the tag" in text
    both = readme(config, Tokenizers(one, other), DataConfig(language_tags="both"))
    assert 'target_prefix=[["<2fr>"]],' in both
    assert "target.decode(result.hypotheses[0][1:])" in both
    last = readme(config, Tokenizers(one, other), DataConfig(language_tags="both-source-last"))
    assert '[*pieces, "</s>", "<2de>"],' in last
    for program in (both, last):
        compile(program.partition("```python\n")[2].partition("```")[0], "README.md", "exec")
    assert "the mean of all heads of the last layer" in text
    assert "the mean of all heads of all 2 layers" in text
    assert 'folder / "source.model"' in text
    assert 'folder / "target.model"' in text
    assert "$" not in text
    assert max(map(len, text.splitlines())) <= 100
    plain = train_tokenizer(LINES * 5, TokenizerSettings(vocabulary_size=30)).tokenizer
    text = readme(replace(config, decoder_layers=1), Tokenizers(plain, plain), DataConfig())
    assert "[pieces]" in text
    assert 'line = unicodedata.normalize("NFKC", line)' in text
    program = text.partition("```python\n")[2].partition("```")[0]
    assert "import unicodedata\n" in program
    compile(program, "README.md", "exec")
    assert "tag" not in text
    assert "the mean of all heads.\n" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"norm": "deep"},
            'model.norm = "deep" cannot be exported: CTranslate2 supports pre and post',
        ),
        ({"decoder_attention": "ssru"}, 'model.decoder_attention = "ssru" cannot be exported'),
        ({"decoder_attention": "average"}, 'model.decoder_attention = "average" cannot be'),
        ({"positions": "relative"}, 'model.positions = "relative" cannot be exported'),
        ({"activation": "geglu"}, 'model.activation = "geglu" cannot be exported'),
        ({"head_width": 6}, "model.head_width = 6 cannot be exported"),
        ({"linear_bias": False}, "model.linear_bias = false cannot be exported"),
    ],
    ids=str,
)
def test_what_the_engine_cannot_hold_is_refused_by_name(
    options: dict[str, object], message: str, tokenizer: Tokenizer
) -> None:
    model = build(model_config(SIZES | options), Tokenizers(tokenizer, tokenizer).vocabulary)
    with pytest.raises(InputError, match=message):
        check_ctranslate2(model.config)
