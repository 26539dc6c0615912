"""Lines in, lines out: tokenizers, models and search together.

    from seq2seq_cli.translation import Translator

    translator = Translator.load("runs/en-de")
    for translation in translator.translate(["A man rides a bicycle.", "A woman sleeps."]):
        print(translation.text)

All that `seq2seq translate` can be asked for is in one object of settings, here n-best lists with
alignments by an ensemble of two runs:

    from seq2seq_cli.search import SearchOptions
    from seq2seq_cli.translation import TranslationSettings, Translator

    settings = TranslationSettings(
        search=SearchOptions(n_best=5), weights=(2, 1), alignments="required"
    )
    translator = Translator.load(["runs/a", "runs/b"], settings)
    [translation] = translator.translate(["A man rides a bicycle."], prefixes=["Ein Mann"])
    print(translation.as_jsonl(number=1))

PyTorch is imported when `Translator` or `likelihoods` is first used. To read how lines
are translated, begin with `translator`. The files:

- `settings`: how runs translate, as one frozen object
- `results`: translations of lines, and how they are written
- `prefixes`: what translations have to begin with
- `splitting`: splits lines into sentences, and what is longer than a model reads
- `languages`: the languages that a line is in and is to be translated into
- `attention`: attention by the tokens of sentences
- `word_alignment`: alignments of words, from attention
- `unknown`: text that the vocabulary lacks
- `spelling`: the ways in which pieces spell a prefix that may end within a word
- `copying`: copies unknown text into translations, by attention
- `capitals`: lines in capitals, which most runs read letter by letter
- `faults`: loops and copies, by which a damaged model is recognised
- `summary`: warnings about lines that were translated, and about all of a text
- `blocks`: a text in blocks, by several processes
- `workers`: CPU threads, divided among workers that search side by side
- `loading_in_torch`: models in PyTorch, where kernels do not serve
- `loading`: run folders, several as an ensemble
- `translator`: lines to translations
- `likelihood`: how likely given translations are
- `self_check`: whether an imported run translates
- `importing`: models of other engines to run folders
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seq2seq_cli.translation.likelihood import Likelihood, likelihoods, perplexity
    from seq2seq_cli.translation.prefixes import Prefixes
    from seq2seq_cli.translation.results import Candidate, Translation
    from seq2seq_cli.translation.settings import TranslationSettings
    from seq2seq_cli.translation.translator import Translator
    from seq2seq_cli.translation.workers import share_threads

__all__ = [
    "Candidate",
    "Likelihood",
    "Prefixes",
    "Translation",
    "TranslationSettings",
    "Translator",
    "likelihoods",
    "perplexity",
    "share_threads",
]

_FILES = {
    "Likelihood": "likelihood",
    "Prefixes": "prefixes",
    "TranslationSettings": "settings",
    "Translator": "translator",
    "likelihoods": "likelihood",
    "perplexity": "likelihood",
    "share_threads": "workers",
}  # all other names are in `results`


def __getattr__(name: str) -> object:
    """Import a name when it is first asked for: PyTorch alone takes a second."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILES.get(name, 'results')}"), name)
