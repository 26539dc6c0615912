"""The demo corpus: English-German sentence pairs drawn from a synchronous grammar.

A sentence is drawn once as an abstract structure and rendered in both languages, so that the German
is a function of the English. The rest of the program needs only `generate` and `write_corpus`.

To read how a sentence is made, begin with `structure`, `sentences` and `clauses`.

- `entries`: types of dictionary entries
- `english_forms`: English inflection
- `german_forms`: German inflection
- `structure`: the abstract sentence
- `holdout`: combinations of words that are not in the training split
- `adjectives`: dictionary of adjectives
- `function_words`: dictionary of determiners, pronouns, names and conjunctions
- `nouns`: dictionary of nouns
- `verbs`: dictionary of verbs
- `draw`: random choice, balanced over the words
- `times`: dictionary of adverbials
- `words`: words with their place in the dependency tree
- `adverbials`: the words of fixed adverbials
- `relations`: relations of the tree that are the same in both languages
- `english_verbs`: the verbs of an English clause
- `english`: an abstract sentence in English
- `german_verbs`: the verbs of a German clause
- `german`: an abstract sentence in German
- `phrases`: noun phrases
- `predicates`: clauses with be
- `tenses`: tense, modal and adverbials of a clause
- `clauses`: the core of a clause
- `questions`: questions and orders
- `relatives`: relative clauses
- `events`: main clauses
- `subordination`: a main clause with a dependent clause
- `complements`: clauses that serve as an object or adverbial
- `sentences`: whole sentences
- `splits`: training, validation and test text
- `trees`: dependency trees and word alignments
- `files`: the corpus as text files
"""

from .files import write_corpus
from .splits import DemoSplits, generate

__all__ = ["DemoSplits", "generate", "write_corpus"]
