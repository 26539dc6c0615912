"""A model of Marian's family from its options, parameters and vocabularies, and out of a run.

The files that hold them differ: npz, or the .bin of Bergamot and Firefox.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import TransformerConfig, Vocabulary
from seq2seq_cli.config.settings import require
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.foreign_model import ForeignModel
from seq2seq_cli.interop.marian.options import EPSILON, architecture, options_of
from seq2seq_cli.interop.marian.weights import (
    JOINT_EMBEDDING,
    SOURCE_EMBEDDING,
    TARGET_EMBEDDING,
    Parameters,
    marian_parameters,
    our_weights,
)
from seq2seq_cli.kernels.arrays import Array
from seq2seq_cli.runs.origin import Origin
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.tokenization.exported_vocabulary import (
    MARIAN,
    MARIAN_SPM,
    ExportedVocabulary,
    Layout,
    export_vocabulary,
)
from seq2seq_cli.tokenization.foreign_vocabulary import ForeignVocabulary, import_vocabularies


def marian_model(
    given: Parameters,
    options: Mapping[str, Any],
    source: ForeignVocabulary,
    target: ForeignVocabulary,
    *,
    origin: Origin,
    data: DataConfig,
    search: Mapping[str, int | float | str],
    notes: tuple[str, ...] = (),
) -> ForeignModel:
    """Put a model together. Raises InputError if its parts do not fit or cannot be held.

    The format and what the options call the model are added to `origin`.
    """
    found = architecture(options, given.path)
    embeddings = {
        side: JOINT_EMBEDDING if found.is_joint else name
        for side, name in (("source", SOURCE_EMBEDDING), ("target", TARGET_EMBEDDING))
    }
    source = _with_all_rows(source, given, embeddings["source"])
    target = _with_all_rows(target, given, embeddings["target"])
    imported = import_vocabularies(source, target, start=None, joint=found.is_joint)
    tokenizers = Tokenizers(imported.source, imported.target, found.is_joint)
    weights = our_weights(
        found.config,
        tokenizers.vocabulary,
        given,
        {"source": imported.source_rows, "target": imported.target_rows},
        {"source": len(source.pieces), "target": len(target.pieces)},
    )
    return ForeignModel(
        config=found.config,
        tokenizers=tokenizers,
        weights=weights,
        data=data,
        origin=replace(origin, model=_name(found.config)),
        search=search,
        notes=notes,
    )


def _with_all_rows(
    vocabulary: ForeignVocabulary, given: Parameters, embedding: str
) -> ForeignVocabulary:
    """The vocabulary with a number for each row of its embedding, which may have more."""
    shape, count = given.shapes.get(embedding, ()), len(vocabulary.pieces)
    require(len(shape) == 2, f"{given.path} lacks the parameter {embedding}; it is incomplete")
    require(
        shape[0] >= count,
        f"{vocabulary.name} has {count:,} pieces, but {embedding} of {given.path} has "
        f"{shape[0]:,} rows; the vocabulary belongs to another model",
    )
    return replace(vocabulary, pieces=[*vocabulary.pieces, *[None] * (shape[0] - count)])


def _name(config: TransformerConfig) -> str:
    decoder = "SSRU" if config.decoder_attention == "ssru" else "self-attention"
    return f"transformer, {config.encoder_layers} + {config.decoder_layers} layers, {decoder}"


@dataclass(frozen=True)
class MarianExport:
    """A run as Marian's family has it."""

    options: dict[str, Any]
    parameters: Iterator[tuple[str, Array]]  # float32, laid out as in an npz, made when asked for
    source: ExportedVocabulary
    target: ExportedVocabulary
    layout: Layout  # MARIAN_SPM, or MARIAN where the ids are not those of SentencePiece models
    notes: tuple[str, ...]


def export_model(run: RunFolder) -> MarianExport:
    """Bring a run into Marian's form; its weights are mapped, and read one after the other.

    Raises InputError, with the setting, for a run that Marian cannot hold.
    """
    model, settings = run.load_plain_model(), run.load_config()
    config, tokenizers = model.config, run.load_tokenizers()
    if not isinstance(config, TransformerConfig):
        raise InputError(
            f'model.architecture = "{config.architecture}" cannot be exported: Marian has only the '
            "transformer"
        )
    layout = MARIAN_SPM
    source, target = _exported(tokenizers, layout)
    if tokenizers.is_joint and source.pieces != target.pieces:
        # Two segmentations of one list: ids are looked up by piece.
        layout = MARIAN
        source, target = _exported(tokenizers, layout)
    vocabulary = Vocabulary(len(source.rows), len(target.rows), tokenizers.is_joint)
    options = options_of(config, vocabulary)
    for name, value in (
        ("source_eos", True),
        ("source_prefix", ""),
        ("language_tags", "source"),
    ):
        given = getattr(settings.data, name, value)
        require(
            given == value,
            f"{settings.data.assignment(name, given)} cannot be exported: Marian has only "
            f"{settings.data.assignment(name, value)}",
        )
    rows = {"source": source.rows, "target": target.rows}
    parameters = marian_parameters(config, model.vocabulary, model.arrays, rows)
    notes = dict.fromkeys((*source.notes, *target.notes, *_notes(config)))
    return MarianExport(options, parameters, source, target, layout, tuple(notes))


def _exported(
    tokenizers: Tokenizers, layout: Layout
) -> tuple[ExportedVocabulary, ExportedVocabulary]:
    return (
        export_vocabulary(tokenizers.source, "source", layout),
        export_vocabulary(tokenizers.target, "target", layout),
    )


def _notes(config: TransformerConfig) -> Iterator[str]:
    """Notes on what Marian does otherwise with a model that it can hold."""
    if config.norm_epsilon != EPSILON:
        yield (
            f"model.norm_epsilon is {config.norm_epsilon}, and {EPSILON} in Marian whatever a file "
            "says: scores differ a little"
        )
    if config.norm == "pre" and config.decoder_attention == "self":
        yield (
            'model.norm = "pre": Marian 1.12 scores such models as they are, but decodes them '
            "wrongly, since it does not normalise the tokens before the last; `seq2seq import` "
            "reads them rightly"
        )
    if config.alignment_head != 0:
        yield (
            "alignments of words: Marian reads them off the first head of one layer, not off all"
        )
