"""Attention maps: the weights with which a model attends to the source, token by token."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from seq2seq_cli.errors import InputError
from seq2seq_cli.kernels.arrays import Floats
from seq2seq_cli.search.prefix import ForcedPrefix
from seq2seq_cli.symbols import BOS, EOS
from seq2seq_cli.text import check_is_list, check_line_counts
from seq2seq_cli.translation import Translator


@dataclass(frozen=True)
class AttentionMap:
    """How much each target token attends to each source token, in each layer and head.

    The weights of one layer, head and target token sum to one; with a Gaussian window, or with
    data.source_prefix, which is not shown, to less.
    """

    source: tuple[str, ...]  # pieces, EOS is the last
    target: tuple[str, ...]
    weights: Floats  # (L, H, T, S)
    # The layer and the head that align words by the settings of the model, from 0; None: all
    aligning: tuple[int | None, int | None] = None, None

    def mean(self, layer: int | None, head: int | None) -> Floats:
        """Weights (T, S) of one layer and head, both counted from 1; None averages over all.

        If both are None, those are averaged that align words. Raises InputError for one that the
        model does not have.
        """
        result = self.weights
        if layer is None and head is None:
            layer, head = (None if number is None else number + 1 for number in self.aligning)
        for name, axis, number in (("layer", 0, layer), ("head", 1, head)):
            size = result.shape[axis]
            if number is not None and not 1 <= number <= size:
                raise InputError(f"--{name} {number}: 1 to {size} is allowed for this model")
            if number is not None:
                result = result.take([number - 1], axis)
        mean: Floats = result.mean(axis=(0, 1))
        return mean


def attention_maps(
    translator: Translator, lines: Sequence[str], targets: Sequence[str] | None = None
) -> Iterator[AttentionMap]:
    """Yield a map for each line and its best translation, or the target given for it.

    Raises InputError for a string instead of a list of lines, for a line longer than the model
    reads, for a model without attention to the source, and unless there are as many targets as
    lines.
    """
    check_is_list(lines, "lines")
    if targets is not None:
        check_is_list(targets, "targets")
        check_line_counts("the source", len(lines), "the target", len(targets))
    tokenizers, predictor = translator.tokenizers, translator.predictor
    predictor.check_attends("inspect attention")
    for number, line in enumerate(lines, start=1):
        tagged = translator.languages.read(line)
        ids = tokenizers.source.encode([tagged.text])[0]
        if len(ids) > translator.max_length:
            raise InputError(
                f"line {number} has {len(ids):,} tokens, the model reads {translator.max_length:,}"
            )
        source = translator.form.row(ids)
        forced = tagged.forced
        if targets is None:
            written = _best_translation(translator, source, forced) if ids else []
        else:
            written = tokenizers.target.encode([targets[number - 1]])[0]
        yield AttentionMap(
            tuple(tokenizers.source.ids_to_pieces([*ids, EOS])),
            tuple(tokenizers.target.ids_to_pieces([*written, EOS])),
            translator.form.in_order(
                ids,
                predictor.attention_by_head(source, [BOS, *forced, *written])[:, :, len(forced) :],
            ),
            predictor.configs[0].alignment,
        )


def _best_translation(
    translator: Translator, source: Sequence[int], forced: Sequence[int]
) -> list[int]:
    """The token ids of the best hypothesis for a row of the source, without EOS and forced tags."""
    prefixes = [ForcedPrefix().behind(*forced)] if forced else ()
    [hypotheses] = translator.predictor.search([source], translator.settings.search, prefixes)
    return list(hypotheses[0].without_first(len(forced)).tokens)
