"""Attention by the tokens of sentences, whatever else stands in the rows that models read."""

from collections.abc import Sequence

from seq2seq_cli.kernels.arrays import Floats
from seq2seq_cli.search.predictor import Predictor
from seq2seq_cli.symbols import BOS
from seq2seq_cli.tokenization.sentence_form import SentenceForm


def attention_of(
    predictor: Predictor,
    form: SentenceForm,
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    forced: Sequence[Sequence[int]] = (),
) -> list[Floats]:
    """Compute where models look in a source when they predict each token of a target, and EOS.

    `forced` are tags that stand in front of the targets. Returns (target tokens and EOS, source
    tokens and EOS) for each pair. Raises InputError as `Predictor.attention` does.
    """
    tags = forced or [()] * len(targets)
    rows = [form.row(source) for source in sources]
    begun = [[BOS, *tag, *target] for tag, target in zip(tags, targets, strict=True)]
    found = predictor.attention(rows, begun)
    return [
        form.in_order(source, weights[len(tag) :])
        for source, tag, weights in zip(sources, tags, found, strict=True)
    ]
