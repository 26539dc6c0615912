"""Validation of a model between updates: its loss, and scores of its translations."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from seq2seq_cli.data.parallel import ParallelText
from seq2seq_cli.data.sentence_arrays import Sentences
from seq2seq_cli.data.token_pairs import TokenPairs
from seq2seq_cli.evaluation.metrics import BLEU_ORDER, WORD_TOKENIZERS, ScoreOptions
from seq2seq_cli.evaluation.scoring import Score, score
from seq2seq_cli.evaluation.writing import share_of_short_lines
from seq2seq_cli.models import TranslationModel, Vocabulary
from seq2seq_cli.padding import Indices, split_by_tokens
from seq2seq_cli.search import Predictor, predictor_for
from seq2seq_cli.symbols import UNK
from seq2seq_cli.training.diagnosis import RARE, DataStatistics, SideStatistics
from seq2seq_cli.training.distributed import ALONE, ProcessGroup
from seq2seq_cli.training.objective import plain_loss
from seq2seq_cli.training.progress import Validation
from seq2seq_cli.translation import Translator
from seq2seq_cli.translation.faults import translation_statistics


@dataclass(frozen=True)
class Validator:
    """Validates a model on held-out pairs; called with the model at each validation."""

    text: ParallelText
    pairs: TokenPairs
    make_translator: Callable[[Predictor], Translator]
    batch_tokens: int
    samples: int  # number of translations to show
    scoring: ScoreOptions
    processes: ProcessGroup = ALONE

    def __call__(self, model: TranslationModel) -> Validation:
        """Translate and score; several processes translate a share each, and all get the result."""
        translator = self.make_translator(predictor_for(model))
        rank, count = self.processes.rank, self.processes.world_size
        own = translator.translate(self.text.source[rank::count])
        hypotheses = [""] * len(self.text.source)
        for index, texts in enumerate(self.processes.gather([each.text for each in own])):
            hypotheses[index::count] = texts
        bleu, chrf = score(hypotheses, [self.text.target], ("bleu", "chrf"), self.scoring)
        shown = np.linspace(0, len(hypotheses) - 1, min(self.samples, len(hypotheses))).astype(int)
        return Validation(
            loss=mean_loss(model, self.pairs, self.batch_tokens, self.processes),
            bleu=bleu.value,
            chrf=chrf.value,
            signatures=_signatures((bleu, chrf)),
            translations=translation_statistics(self.text.source, hypotheses),
            samples=tuple((self.text.source[i], self.text.target[i], hypotheses[i]) for i in shown),
        )


def _signatures(scores: Sequence[Score]) -> tuple[str, ...]:
    return tuple(f"{each.metric}|{each.signature}" for each in scores)


def data_statistics(
    pairs: TokenPairs,
    valid_pairs: TokenPairs,
    valid: ParallelText,
    vocabulary: Vocabulary,
    bleu_tokenize: str,
) -> DataStatistics:
    """Statistics of training pairs, validation pairs and validation text, for the diagnosis."""
    by_words = bleu_tokenize in WORD_TOKENIZERS
    return DataStatistics(
        source=_side(pairs.source, valid_pairs.source, vocabulary.source),
        target=_side(pairs.target, valid_pairs.target, vocabulary.target),
        references=translation_statistics(valid.source, valid.target),
        short_references=share_of_short_lines(valid.target, BLEU_ORDER) if by_words else 0.0,
    )


def _side(sentences: Sentences, valid: Sentences, size: int) -> SideStatistics:
    counts, valid_counts = sentences.token_counts(size), valid.token_counts(size)
    tokens, valid_tokens = max(1, counts.sum()), max(1, valid_counts.sum())
    known = np.arange(size) != UNK
    return SideStatistics(
        unknown=float(counts[UNK] / tokens),
        valid_unknown=float(valid_counts[UNK] / valid_tokens),
        rare=float(
            counts[known & (counts <= RARE)].sum() / tokens
        ),  # the token itself is not counted
        valid_rare=float(valid_counts[known & (counts < RARE)].sum() / valid_tokens),
        length=float(tokens / len(sentences)),
        valid_length=float(valid_tokens / len(valid)),
        valid_tokens=int(valid_counts.sum()),
        word_loss=_word_loss(counts, valid_counts),
    )


def _word_loss(counts: Indices, valid_counts: Indices) -> float:
    """The validation loss, in nats per token, of a model that knows only token frequencies."""
    probabilities = (counts + 1) / (counts + 1).sum()  # add-one smoothing
    return float(-(valid_counts * np.log(probabilities)).sum() / max(1, valid_counts.sum()))


@torch.inference_mode()
def mean_loss(
    model: TranslationModel,
    pairs: TokenPairs,
    batch_tokens: int,
    processes: ProcessGroup = ALONE,
) -> float:
    """Negative log-likelihood of all target tokens, EOS included, in nats per token.

    Several processes compute a share of the batches each.
    """
    device = next(model.parameters()).device
    lengths: Indices = np.maximum(pairs.source.lengths, pairs.target.lengths) + 1
    order = np.argsort(lengths, kind="stable")
    total = 0.0
    tokens = 0
    batches = list(split_by_tokens(lengths[order], batch_tokens))
    for rows in batches[processes.rank :: processes.world_size]:
        batch = pairs.batch(order[rows]).to(device)
        tokens += batch.target_tokens()
        total += float(plain_loss(model, batch))
    total, all_tokens = processes.sums([total, tokens])
    return total / all_tokens if all_tokens else math.nan
