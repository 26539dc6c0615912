"""A vocabulary with new pieces and tags cuts all other text as before, with the same ids."""

import io

import pytest
import torch
from sentencepiece import SentencePieceTrainer

from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.errors import InputError
from seq2seq_cli.models import build, model_config
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.symbols import NEVER
from seq2seq_cli.tokenization.extension import cut, read_pieces, with_pieces
from seq2seq_cli.tokenization.foreign_vocabulary import ForeignVocabulary, import_vocabularies
from seq2seq_cli.tokenization.learning import train_tokenizer
from seq2seq_cli.tokenization.tokenizer import Tokenizer
from seq2seq_cli.training.fine_tuning import _carry_over_pieces, extended

NOUNS = ["woman", "man", "dog", "reader", "Straße", "Übung", "kubus", "berlin", "netz", "rest"]
VERBS = ["sees", "reads", "likes", "finds"]
CORPUS = [f"the {a} {verb} the old {b} ." for a in NOUNS for verb in VERBS for b in NOUNS]
NEW = ["▁kubernetes", "kuber", "▁Übersee"]


def train(**settings: object) -> Tokenizer:
    chosen = TokenizerSettings(90, **settings)  # type: ignore[arg-type]
    return train_tokenizer(CORPUS, chosen).tokenizer


@pytest.fixture(scope="module", params=["unigram", "bpe", "char"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return train(model_type=request.param)


def test_new_pieces_follow_the_old_ones_and_are_cut_from_text(tokenizer: Tokenizer) -> None:
    now = with_pieces(tokenizer, NEW, ["de", "pt-BR"])
    assert now.vocabulary == [*tokenizer.vocabulary, *NEW, "<2de>", "<2pt-BR>"]
    assert "▁kubernetes" in now.encode_as_pieces("the kubernetes reads")
    assert now.decode(now.encode(["the kubernetes reads", "Übersee"])) == [
        "the kubernetes reads",
        "Übersee",
    ]
    assert now.encode(["<2de> the dog"])[0][0] == now.vocabulary.index("<2de>")
    assert now.encode(CORPUS) == tokenizer.encode(CORPUS)


def test_what_is_there_already_is_not_added(tokenizer: Tokenizer) -> None:
    assert with_pieces(tokenizer, tokenizer.vocabulary[10:12], []) is tokenizer
    once = with_pieces(tokenizer, NEW, ["de"])
    assert with_pieces(once, NEW, ["de"]) is once


def imported() -> Tokenizers:
    """Tokenizers of a joint list of pieces and two segmentations that have more pieces."""
    models = []
    for lines in (CORPUS, [*CORPUS, "netztest netzrest"] * 2):
        model = io.BytesIO()
        SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=model, vocab_size=80, minloglevel=4,
            hard_vocab_limit=False, eos_id=0, unk_id=1, bos_id=-1,
        )  # fmt: skip
        models.append(model.getvalue())
    pieces = [*dict.fromkeys(p for m in models for p in Tokenizer(m).vocabulary[4:])][:-6]
    sides = [ForeignVocabulary(["</s>", "<unk>", *pieces], model, 0, 1) for model in models]
    made = import_vocabularies(*sides, start=None, joint=True)
    return Tokenizers(made.source, made.target, joint=True)


def test_both_segmentations_of_an_imported_vocabulary_get_the_same_ids() -> None:
    before = imported()
    now = extended(before, NEW, ["xx"])
    assert now.is_joint
    assert not now.is_one
    assert now.source.vocabulary == [*before.source.vocabulary, *NEW, "<2xx>"]
    for old, new in ((before.source, now.source), (before.target, now.target)):
        assert new.encode(CORPUS) == old.encode(CORPUS)
        assert "▁kubernetes" in new.encode_as_pieces("kubernetes")


def test_a_piece_read_as_unknown_so_far_gets_an_id() -> None:
    before = imported().target
    processor = before._processor  # pieces behind the vocabulary
    behind = [processor.IdToPiece(i) for i in range(len(before), len(processor))]
    now = with_pieces(before, behind[:1], [])
    assert now.vocabulary[-1] == behind[0]
    assert now.encode(CORPUS) == [
        [len(before) if n >= len(before) else n for n in ids] for ids in now.encode(CORPUS)
    ]


def test_rows_of_new_pieces_are_the_mean_of_the_old_pieces_of_their_text() -> None:
    one = with_pieces(train(), [], ["aa", "bb"])
    before = Tokenizers(one, one)
    now = extended(before, NEW, ["cc"])
    table = {"architecture": "transformer", "width": 8, "heads": 2, "feed_forward": 12}
    config = model_config({**table, "tie_output": False, "output_bias": True})
    old, model = build(config, before.vocabulary), build(config, now.vocabulary)
    with torch.no_grad():
        old.output.bias.normal_()
        old.output.bias[cut(one, "kuber")[0]] = NEVER
    said = list(_carry_over_pieces(old, model, before, now))
    size = len(one)
    assert said[0].startswith(f"embeddings: {size} of {size + 4} pieces carried over, 4 new")
    for fresh, rows in ((model.target_embedding.weight, old.target_embedding.weight),
                        (model.output.weight, old.output.weight)):  # fmt: skip
        assert torch.equal(fresh[:size], rows)
        for piece in [*NEW, "<2cc>"]:
            expected = rows[cut(one, piece)].mean(dim=0)
            torch.testing.assert_close(fresh[now.target.vocabulary.index(piece)], expected)
    assert cut(one, "<2cc>") == list(one.tags.values())
    assert len(cut(one, "▁kubernetes")) > 1
    assert model.output.bias[size:].min() > NEVER / 2  # a rare piece does not rule out a new one


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["", "  "], "new.txt has no pieces"),
        (["ok", "</s>"], '"</s>" cannot be a piece'),
        (["<2de>"], "languages are added with --add-language"),
        ([">>deu<<"], "cannot be a piece"),
        (["a\u0001b"], "cannot be a piece"),
        (["▁"], "cannot be a piece"),
    ],
)
def test_what_is_not_a_piece_is_refused(lines: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_pieces(lines, "new.txt")


def test_pieces_that_normalisation_changes_are_refused() -> None:
    one = train(lowercase=True)
    with pytest.raises(InputError, match='reads its text as "kubernetes"; write it so'):
        extended(Tokenizers(one, one), ["▁Kubernetes"], [])
    assert read_pieces(["▁New York", "x"], "f") == ["▁New▁York", "x"]
