"""An exported Transformer is the same function in the other engine, whatever its variant."""

from pathlib import Path

import pytest
import torch

from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.ctranslate2 import check_ctranslate2, specification
from seq2seq_cli.models import build, model_config
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.search import Predictor
from seq2seq_cli.symbols import BOS, EOS
from seq2seq_cli.tokenization.learning import train_tokenizer
from seq2seq_cli.tokenization.tokenizer import Tokenizer

ctranslate2 = pytest.importorskip("ctranslate2", reason="the extra bench is not installed")

SIZES = {"architecture": "transformer", "width": 32, "heads": 4, "feed_forward": 48}
SIZES |= {"encoder_layers": 2, "decoder_layers": 2}
LINES = ["ab abc bca", "cab dabc ddd", "a b c d", "e f g"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(LINES * 5, TokenizerSettings(vocabulary_size=30)).tokenizer


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"norm": "post"},
        {"positions": "learned"},
        {"positions": "learned", "max_positions": 4},  # the last one is that of all beyond
        {"positions": "rotary"},
        {"activation": "gelu"},
        {"activation": "swish"},
        {"activation": "swiglu", "normalisation": "rms", "positions": "rotary"},
        {"tie_source": False, "encoder_layers": 3, "decoder_layers": 1},
    ],
    ids=str,
)
def test_both_engines_give_the_same_probabilities(
    options: dict[str, object], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    tokenizers = Tokenizers(tokenizer, tokenizer)
    torch.manual_seed(7)
    model = build(model_config(SIZES | options), tokenizers.vocabulary).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
        config = check_ctranslate2(model)
        written = specification(ctranslate2.specs, model, config, tokenizers)  # type: ignore[arg-type]
    written.validate()
    written.optimize()
    written.save(str(tmp_path))
    engine = ctranslate2.Translator(str(tmp_path), compute_type="float32", intra_threads=1)
    for source, target in zip(LINES, reversed(LINES), strict=True):
        ids, wanted = tokenizer.encode([source, target])
        ours = Predictor([model]).token_scores(
            torch.tensor([[*ids, EOS]]), torch.tensor([[BOS, *wanted, EOS]])
        )
        [theirs] = engine.score_batch(
            [tokenizer.ids_to_pieces(ids)], [tokenizer.ids_to_pieces(wanted)]
        )
        assert ours[0].tolist() == pytest.approx(theirs.log_probs, abs=2e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"norm": "deep"},
            'model.norm = "deep" cannot be exported: CTranslate2 supports pre and post',
        ),
        ({"decoder_attention": "ssru"}, 'model.decoder_attention = "ssru" cannot be exported'),
        ({"decoder_attention": "average"}, 'model.decoder_attention = "average" cannot be'),
    ],
    ids=str,
)
def test_what_the_engine_cannot_hold_is_refused_by_name(
    options: dict[str, object], message: str, tokenizer: Tokenizer
) -> None:
    model = build(model_config(SIZES | options), Tokenizers(tokenizer, tokenizer).vocabulary)
    with pytest.raises(InputError, match=message):
        check_ctranslate2(model)
