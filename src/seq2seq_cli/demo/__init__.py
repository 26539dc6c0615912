"""The demo corpus: English-German sentence pairs drawn from a synchronous grammar.

A sentence is drawn once as an abstract structure and rendered in both languages, so that the German
is a function of the English. The rest of the program needs only `generate` and `write_corpus`.

- `entries`: what a dictionary entry holds
- `english_forms`: English inflection
- `german_forms`: German inflection
- `structure`: the abstract sentence
- `holdout`: combinations of words that training never sees
- `adjectives`: dictionary
- `function_words`: dictionary
- `nouns`: dictionary
- `verbs`: dictionary
- `draw`: random choice, balanced over the words
- `times`: dictionary of adverbials
- `english`: an abstract sentence in English
- `german`: an abstract sentence in German
- `phrases`: noun phrases
- `predicates`: clauses with be
- `tenses`: tense, modal and adverbials of a clause
- `clauses`: the core of a clause
- `questions`: questions and orders
- `relatives`: relative clauses
- `events`: main clauses
- `subordination`: a main clause and one under it
- `complements`: clauses as objects
- `sentences`: whole sentences
- `splits`: training, validation and test text
- `files`: the corpus as text files
"""

from .files import write_corpus
from .splits import DemoSplits, generate

__all__ = ["DemoSplits", "generate", "write_corpus"]
