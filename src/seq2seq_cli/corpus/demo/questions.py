"""Draws questions and orders."""

from dataclasses import replace
from functools import cache

from . import times
from .clauses import Request, about, core, target, verbs
from .draw import Draw
from .entries import Verb
from .function_words import BARE, HOW_MANY, THE, WHAT, WHICH, WHO, YOU
from .nouns import tagged
from .phrases import noun_phrase, other_person, person, place
from .predicates import AT_HOME, price
from .structure import Adverbial, Clause, Mood, NounPhrase, Phrase, Prepositional, Sentence
from .tenses import is_deliberate, set_tense, simple_tense, surround
from .verbs import BE, CAN, MAY, MUST, SHOULD, WANT_TO, WOULD_LIKE_TO, of_kind
