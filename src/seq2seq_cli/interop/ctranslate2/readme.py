"""The README of an exported CTranslate2 model: how to use it, and where it differs from the run."""

from string import Template

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.runs.layout import JOINT_TOKENIZER, SOURCE_TOKENIZER, TARGET_TOKENIZER
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.symbols import BOS, EOS, PAD, PIECES, UNK
from seq2seq_cli.tokenization.language_tags import language_tag

TEXT = Template(
    """# A translation model for CTranslate2

Written by `seq2seq export`. The model and its tokenizers are all that translating needs:

```python
from pathlib import Path

${imports}import ctranslate2
import sentencepiece

folder = Path("model")  # this folder
source = sentencepiece.SentencePieceProcessor(model_file=str(folder / "$source"))
target = sentencepiece.SentencePieceProcessor(model_file=str(folder / "$target"))
translator = ctranslate2.Translator(str(folder))


def translate(line):
${normalize}    pieces = source.encode(line, out_type=str)
    if not pieces:  # a blank line
        return ""
    [result] = translator.translate_batch(
        [$given],
${forced}        beam_size=5,
        length_penalty=1,
        min_decoding_length=0,
        max_decoding_length=2 * (len(pieces) + 1) + 20,
    )
    return target.decode(result.hypotheses[0]$written)
```

`seq2seq tokenizer encode $source --side source` cuts lines into the same pieces, and
`seq2seq tokenizer decode $target` joins them. They also replace control characters by
spaces, and U+2581 and U+2585, which SentencePiece reserves, by U+FDD0 and U+FDD1 and back.

## As in the run

- The weights, and the epsilon of the norms (`layer_norm_epsilon` in config.json).
- $symbols are never written: their logits are lowered by 10,000, in every type
  of weights.
- Attention to the source (`return_attention=True`) is $attention.

## Unlike the run

- **Scores** are computed after everything that may not be written has been left out: the symbols
  above, and whatever an option forbids. `seq2seq translate` has the model's own probabilities. A
  trained model gives the symbols little: log-probabilities of tokens are higher by less than 0.01
  as a rule. A given target that holds one of them, such as an unknown character in `score_batch`,
  gets about -10,000 for it.
- **The length penalty** is length^`length_penalty`. With the default, 1, it is that of
  `seq2seq translate --length-penalty power`, whose own default is `gnmt`.
- **A prefix that ends within a word** (`target_prefix`) forces its pieces. `seq2seq translate` lets
  other pieces spell its last word too, unless a space follows it.
- **The score after a prefix** is the log-probability of the tokens after it,
  divided by the length of the whole. `seq2seq translate` counts the prefix in both. `score_batch`
  with the whole translation has the log-probabilities of all its tokens.
- **Defaults** of `translate_batch` are a beam of 2, at most 256 tokens, and at least one token
  besides the end (`min_decoding_length=1`). The options above are those of `seq2seq translate`.
- **Beam search** ends once as many hypotheses as the beam is wide have ended; `seq2seq translate`
  goes on while one that has not ended can still become the best.
- **Lines of several sentences** are translated as one. `seq2seq translate` takes them one by one if
  the model has learned from single ones (`--split-sentences auto`).
- **Long lines** are cut off after 1,024 tokens (`max_input_length`). `seq2seq translate` splits a
  line of more than $max_length tokens at sentence ends, since the model has learned from shorter
  ones.
- **Unknown characters** are left to the model, as by `seq2seq translate --unknown keep`; by default
  it copies words with such characters to where they belong. `replace_unknowns` does nothing, since
  `<unk>` is never written.
$alignments$languages$casing"""
)

ALIGNMENTS = """\
- **Alignments**: `seq2seq translate` reads them off $ours.
  CTranslate2 has the first heads of one layer for it (`alignment_layer`, `alignment_heads`).
"""
LANGUAGES = """\
- **A tag before a blank line** is a piece like others, so CTranslate2 translates it into something.
  Leave blank lines out before adding the tag, as above.
"""
CASING = """\
- **Capitals and symbols**: the tokenizers mark capitals (⇧, ⇪) or keep symbols whole, which
  SentencePiece alone does not. Cut lines with `seq2seq tokenizer encode $source --side source` and
  join pieces with `seq2seq tokenizer decode $target`, instead of the program above.
"""


def readme(config: TransformerConfig, tokenizers: Tokenizers, data: DataConfig) -> str:
    """The text, for a model with these settings of its data."""
    joint, sides = tokenizers.is_one, (tokenizers.source, tokenizers.target)
    names = {
        "source": JOINT_TOKENIZER if joint else SOURCE_TOKENIZER,
        "target": JOINT_TOKENIZER if joint else TARGET_TOKENIZER,
    }
    normalize = tokenizers.source.form.as_python("line")
    ours, theirs = _attention(config)
    tags, both = tokenizers.source.tags, data.language_tags != "source"
    tag = language_tag(next(reversed(tokenizers.target.tags), ""))
    return TEXT.substitute(
        names,
        imports="import unicodedata\n\n" if normalize else "",
        normalize="".join(f"    line = {call}\n" for call in normalize),
        given=_given(tokenizers, data),
        forced=f'        target_prefix=[["{tag}"]],\n' if both else "",
        written="[1:]" if both else "",  # without the tag
        symbols=", ".join(f"`{PIECES[each]}`" for each in (PAD, UNK)) + f" and `{PIECES[BOS]}`",
        attention=theirs,
        max_length=f"{data.max_length:,}",
        alignments=Template(ALIGNMENTS).substitute(ours=ours) if ours != theirs else "",
        languages=LANGUAGES if tags else "",
        casing=Template(CASING).substitute(names)
        if any(each.form.inline_casing or each.form.symbols for each in sides)
        else "",
    )


def _given(tokenizers: Tokenizers, data: DataConfig) -> str:
    """The tokens of a source in the program, with the tag of one of the languages."""
    if not tokenizers.source.tags:
        return "pieces"
    tag = f'"{language_tag(next(iter(tokenizers.source.tags)))}"'
    if data.language_tags == "both-source-last":
        return f'*pieces, "{PIECES[EOS]}", {tag}'
    return f"{tag}, *pieces"


def _attention(config: TransformerConfig) -> tuple[str, str]:
    """Which attention aligns words: in the run, and in the exported model."""
    ours = theirs = ""
    if config.decoder_layers > 1:
        ours, theirs = f" of all {config.decoder_layers} layers", " of the last layer"
        if config.alignment_layer != "all":
            ours = theirs = f" of layer {config.alignment_layer}, the first one being 0"
    mean = "the mean of all heads"
    if config.alignment_head == "all":
        return mean + ours, mean + theirs
    if config.alignment_head == 0:
        return "the first head" + ours, "the first head" + theirs
    return f"head {config.alignment_head}{ours}", mean + theirs
