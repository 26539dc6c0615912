"""`seq2seq tokenizer`: train a SentencePiece tokenizer, and use one as a pipe."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.cli.commands import Command, Group
from seq2seq_cli.cli.options import (
    AsTextOption,
    DelimiterOption,
    EncodingOption,
    warn_of_idle_options,
)
from seq2seq_cli.cli.paths import check_paths
from seq2seq_cli.cli.pipe import pipe
from seq2seq_cli.config.docstrings import meaning, summary
from seq2seq_cli.config.effects.tokenizer import TOKENIZER_TRAIN
from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.errors import InputError
from seq2seq_cli.inputs import STDIN, Reading

if TYPE_CHECKING:
    from seq2seq_cli.tokenization.tokenizer import Tokenizer

LINES_AT_ONCE = 1000  # more would not be faster

app = typer.Typer(
    cls=Group,
    help="Train a tokenizer on text, and turn text into tokens and back.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

ModelArgument = Annotated[
    Path, typer.Argument(metavar="MODEL", help="The tokenizer, as `train` wrote it.")
]
InputOption = Annotated[
    str,
    typer.Option(
        "--input",
        "-i",
        metavar="FILE",
        help="File with the input, or FILE:COLUMN of a table; - is stdin.",
    ),
]
OutputOption = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="FILE", help="File for the output; - is stdout."),
]

SideOption = Annotated[
    Literal["source", "target"],
    typer.Option(
        help="Read text as the source of a model does, which may normalise it, or as the target."
    ),
]


@app.command(cls=Command)
def train(
    context: typer.Context,
    texts: Annotated[
        list[str],
        typer.Argument(
            metavar="TEXT",
            help="A file, one sentence a line, or a column or field of a table or a data set, as "
            "for `seq2seq train`; gzip is fine. Several texts get one joint tokenizer.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="MODEL", help="The file to write the tokenizer to."),
    ],
    vocab_size: Annotated[
        str | None,
        typer.Option(
            "--vocab-size",
            "--vocabulary-size",
            metavar="auto|N",
            help=meaning(TokenizerSettings, "vocabulary_size") + " Also --vocabulary-size.",
            show_default="auto",
            rich_help_panel="Vocabulary",
        ),
    ] = None,
    model_type: Annotated[
        str | None,
        typer.Option(
            metavar="unigram|bpe|char|word",
            help=summary(TokenizerSettings, "model_type"),
            show_default="unigram",
            rich_help_panel="Vocabulary",
        ),
    ] = None,
    coverage: Annotated[
        float | None,
        typer.Option(
            help=summary(TokenizerSettings, "character_coverage"),
            show_default="auto: 1, or 0.9995 with bytes",
            rich_help_panel="Vocabulary",
        ),
    ] = None,
    lowercase: Annotated[
        bool | None,
        typer.Option(
            "--lowercase",
            help=summary(TokenizerSettings, "lowercase"),
            rich_help_panel="Characters",
        ),
    ] = None,
    byte_fallback: Annotated[
        str | None,
        typer.Option(
            metavar="auto|on|off",
            help=summary(TokenizerSettings, "byte_fallback"),
            show_default="auto: from 8,000 pieces",
            rich_help_panel="Vocabulary",
        ),
    ] = None,
    symbol: Annotated[
        list[str] | None,
        typer.Option(
            help="A string that is always one piece by itself, such as <sep>. May be repeated.",
            rich_help_panel="Vocabulary",
        ),
    ] = None,
    split_digits: Annotated[
        bool | None,
        typer.Option(
            "--split-digits",
            help=summary(TokenizerSettings, "split_digits"),
            rich_help_panel="Vocabulary",
        ),
    ] = None,
    casing: Annotated[
        str | None,
        typer.Option(
            metavar="keep|inline",
            help=meaning(TokenizerSettings, "casing"),
            show_default="keep",
            rich_help_panel="Characters",
        ),
    ] = None,
    source_normalization: Annotated[
        str | None,
        typer.Option(
            metavar="auto|identity|nfc|nfkc|nmt_nfkc",
            help=summary(TokenizerSettings, "source_normalization"),
            show_default="auto, nfkc",
            rich_help_panel="Characters",
        ),
    ] = None,
    target_normalization: Annotated[
        str | None,
        typer.Option(
            metavar="auto|identity|nfc|nfkc|nmt_nfkc",
            help=summary(TokenizerSettings, "target_normalization"),
            show_default="auto, identity",
            rich_help_panel="Characters",
        ),
    ] = None,
    language: Annotated[
        list[str] | None,
        typer.Option(
            help="A language to translate into, which gets a symbol <2LANGUAGE>. May be repeated.",
            rich_help_panel="Vocabulary",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help=summary(TokenizerSettings, "seed"),
            show_default="1",
            rich_help_panel="Vocabulary",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite MODEL if it exists.")] = False,
    encoding: EncodingOption = "",
    delimiter: DelimiterOption = "",
    as_text: AsTextOption = False,
) -> None:
    """Train a tokenizer on text. The same text and options make the same file.

    \b
    Both sides of a parallel corpus share one vocabulary:
      seq2seq tokenizer train train.en train.de --output joint.model
    One language, 8,000 pieces of byte-pair encoding:
      seq2seq tokenizer train train.de --output de.model --vocab-size 8000 \\
          --model-type bpe
    Two columns of a table:
      seq2seq tokenizer train corpus.tsv:1 corpus.tsv:2 --output joint.model
    """
    from seq2seq_cli.config.settings import settings_from
    from seq2seq_cli.data.tokenizers import train_tokenizer_file

    given = {
        "vocabulary_size": int(vocab_size) if vocab_size and vocab_size.isdecimal() else vocab_size,
        "model_type": model_type,
        "character_coverage": coverage,
        "lowercase": lowercase,
        "byte_fallback": byte_fallback,
        "user_symbols": symbol,
        "split_digits": split_digits,
        "casing": casing,
        "source_normalization": source_normalization,
        "target_normalization": target_normalization,
        "seed": seed,
        "languages": language,
    }
    table = {key: value for key, value in given.items() if value is not None}
    settings = settings_from(TokenizerSettings, "tokenizer", table)
    warn_of_idle_options(context, TOKENIZER_TRAIN)
    reading = Reading(encoding, delimiter, as_text)
    trained = train_tokenizer_file(texts, output, settings, console.warn, reading, overwrite=force)
    for note in trained.notes:
        console.note(note)
    console.note(f"{output}: {len(trained.tokenizer):,} pieces, {settings.model_type}")


@app.command(cls=Command)
def encode(
    model: ModelArgument,
    ids: Annotated[bool, typer.Option("--ids", help="Write ids instead of pieces.")] = False,
    side: SideOption = "target",
    input: InputOption = "-",
    output: OutputOption = STDIN,
    encoding: EncodingOption = "",
    delimiter: DelimiterOption = "",
    as_text: AsTextOption = False,
) -> None:
    """Turn lines of text into pieces, separated by spaces: a line out for each line in.

    \b
      echo "A man sleeps." | seq2seq tokenizer encode joint.model
      seq2seq tokenizer encode joint.model --ids < train.de > train.ids
      seq2seq tokenizer encode joint.model --side source < train.en
      seq2seq tokenizer encode joint.model --input corpus.tsv:1
    """
    from seq2seq_cli.data.sources import parse_text

    source = parse_text(input, Reading(encoding, delimiter, as_text))
    check_paths([source], [output])
    tokenizer = _load(model).for_side(side)
    names = [str(number) for number in range(len(tokenizer))] if ids else tokenizer.vocabulary

    def encoded(lines: list[str], first: int) -> list[str]:
        return [" ".join([names[number] for number in line]) for line in tokenizer.encode(lines)]

    pipe(source, output, LINES_AT_ONCE, encoded)


@app.command(cls=Command)
def decode(
    model: ModelArgument,
    ids: Annotated[bool, typer.Option("--ids", help="Read ids instead of pieces.")] = False,
    input: Annotated[
        Path, typer.Option("--input", "-i", metavar="FILE", help="File with the input; - is stdin.")
    ] = STDIN,
    output: OutputOption = STDIN,
) -> None:
    """Turn pieces, separated by spaces, back into text: a line out for each line in.

    Text that the vocabulary lacked comes back as ⁇.

    \b
      seq2seq tokenizer decode joint.model < train.pieces
      echo "17 204 9" | seq2seq tokenizer decode joint.model --ids
    """
    from seq2seq_cli.data.sources import plain_lines

    source = plain_lines(input)
    check_paths([source], [output])
    tokenizer = _load(model)
    parse = _parse_ids if ids else _parse_pieces

    def decoded(lines: list[str], first: int) -> list[str]:
        return tokenizer.decode(
            [
                parse(line, tokenizer, f"{source.name}, line {number}")
                for number, line in enumerate(lines, first)
            ]
        )

    pipe(source, output, LINES_AT_ONCE, decoded)


def _load(model: Path) -> "Tokenizer":
    from seq2seq_cli.tokenization.tokenizer import Tokenizer

    return Tokenizer.load(model)


def _parse_pieces(line: str, tokenizer: "Tokenizer", where: str) -> list[int]:
    from seq2seq_cli.tokenization.tokenizer import split_pieces

    try:
        return tokenizer.pieces_to_ids(split_pieces(line))
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _parse_ids(line: str, tokenizer: "Tokenizer", where: str) -> list[int]:
    ids = []
    for word in line.split():
        if not (word.isascii() and word.isdecimal() and int(word) < len(tokenizer)):
            raise InputError(
                f'{where}: "{word}" is not an id of this vocabulary; write whole numbers from 0 to '
                f"{len(tokenizer) - 1}"
            )
        ids.append(int(word))
    return ids
