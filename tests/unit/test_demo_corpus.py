"""The demo corpus keeps its promises: correct, reproducible, and split without leaks."""

import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from itertools import pairwise

import pytest

from seq2seq_cli.demo import DemoSplits, english, generate, german, splits
from seq2seq_cli.demo import function_words as words
from seq2seq_cli.demo.adjectives import ADJECTIVES
from seq2seq_cli.demo.draw import Draw
from seq2seq_cli.demo.entries import Adjective, Noun, Verb
from seq2seq_cli.demo.holdout import adjective_with_noun, verb_in_construction
from seq2seq_cli.demo.nouns import NOUNS
from seq2seq_cli.demo.sentences import sentence
from seq2seq_cli.demo.structure import (
    Adverbial,
    Clause,
    Mood,
    NounPhrase,
    Phrase,
    Prepositional,
    Quality,
    Sentence,
    Subordinate,
)
from seq2seq_cli.demo.verbs import BE, CAN, EXIST, LIKE_TO, MUST, WANT_TO, of_kind

WORD = re.compile(r"[\w'-]+")
KINDS = [
    "intransitive",
    "transitive",
    "dative",
    "ditransitive",
    "prepositional",
    "motion",
    "position",
    "placement",
    "clausal",
    "infinitival",
    "impersonal",
    "price",
]


@pytest.fixture(scope="module")
def corpus() -> DemoSplits:
    return generate(20_000, 1)


# The splits


def _digest(corpus: DemoSplits) -> str:
    return hashlib.sha256(repr(corpus).encode()).hexdigest()


def test_another_process_with_another_hash_seed_draws_the_same_corpus() -> None:
    program = (
        "import hashlib; from seq2seq_cli.demo import generate; "
        "print(hashlib.sha256(repr(generate(300, 7)).encode()).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "123", "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == _digest(generate(300, 7)) != _digest(generate(300, 8))


def test_splits_have_the_requested_sizes(corpus: DemoSplits) -> None:
    assert [len(split) for split in (corpus.train, corpus.valid, corpus.test)] == [20_000, 500, 500]
    small = generate(100, 1)
    assert [len(split) for split in (small.train, small.valid, small.test)] == [100, 10, 10]


def test_no_sentence_of_either_language_comes_twice(corpus: DemoSplits) -> None:
    pairs = corpus.train + corpus.valid + corpus.test
    for side in zip(*pairs, strict=True):
        assert len(set(side)) == len(pairs)


def test_valid_and_test_have_no_word_form_that_train_lacks(corpus: DemoSplits) -> None:
    for side in (0, 1):
        known = {word for pair in corpus.train for word in WORD.findall(pair[side])}
        for pair in corpus.valid + corpus.test:
            assert known.issuperset(WORD.findall(pair[side])), pair


def test_every_lemma_is_frequent(corpus: DemoSplits) -> None:
    counts = Counter(word.lower() for pair in corpus.train for word in WORD.findall(pair[0]))
    for noun in NOUNS:
        forms = {noun.english, noun.english_plural}
        assert sum(counts[form] for form in forms) >= 35, noun.english
    for adjective in ADJECTIVES:
        assert counts[adjective.english] >= 25, adjective.english


def test_there_are_enough_lemmas() -> None:
    verbs = {verb.index for kind in KINDS for verb in of_kind(kind)}
    assert len({noun.english for noun in NOUNS}) + len(ADJECTIVES) + len(verbs) >= 400


def test_held_out_combinations_of_adjective_and_noun_are_only_at_the_end_of_test(
    corpus: DemoSplits,
) -> None:
    held_out = {
        (adjective.english, form)
        for adjective in ADJECTIVES
        for noun in NOUNS
        if adjective_with_noun(adjective, noun)
        for form in (noun.english, noun.english_plural)
    }

    def count_held_out(pairs: list[tuple[str, str]]) -> int:
        sentences = (WORD.findall(source) for source, _ in pairs)
        return sum(not held_out.isdisjoint(pairwise(sentence)) for sentence in sentences)

    assert count_held_out(corpus.train + corpus.valid + corpus.test[:375]) == 0
    assert count_held_out(corpus.test[375:]) >= 25


def test_verbs_held_out_from_the_future_are_not_in_the_future_in_train(corpus: DemoSplits) -> None:
    bases = {
        verb.english.base
        for verb in of_kind("transitive") + of_kind("dative") + of_kind("intransitive")
        if verb_in_construction(verb, "future") and verb.english.particle == ""
    }
    future = re.compile(rf"\bwill (?:not )?(?:{'|'.join(sorted(bases))})\b")
    known = re.compile(rf"\b(?:can|could|must) (?:not )?(?:{'|'.join(sorted(bases))})\b")
    assert bases
    assert not any(future.search(pair[0]) for pair in corpus.train + corpus.valid)
    assert any(known.search(pair[0]) for pair in corpus.train)


# Lengths


@pytest.mark.parametrize(("low", "high"), [(0, 5), (8, 10), (18, 18), (30, 60)])
def test_english_sides_have_the_requested_lengths(low: int, high: int) -> None:
    drawn = generate(40, 3, min_words=low, max_words=high)
    for source, _ in drawn.train + drawn.valid + drawn.test:
        assert low <= len(source.split()) <= high


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pairs": 0}, "pairs is 0; it must be at least 1"),
        ({"pairs": 9, "min_words": -1}, "min_words is -1; allowed are 0 to 200"),
        ({"pairs": 9, "min_words": 201}, "min_words is 201; allowed are 0 to 200"),
        ({"pairs": 9, "max_words": 2}, "max_words is 2; .* at least 3"),
        ({"pairs": 9, "min_words": 9, "max_words": 8}, "max_words is 8; .* at least 9"),
    ],
)
def test_an_empty_range_of_lengths_is_an_error(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate(seed=1, **arguments)


def test_an_exhausted_grammar_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "_REPEATS", 5)
    with pytest.raises(ValueError, match=r"ran out after .* of 0 to 3 English words; ask for"):
        generate(10_000, 1, max_words=3)


# One German for one English


def test_an_english_sentence_has_one_translation() -> None:
    draw, rendered = Draw(11), dict[str, str]()
    for _ in range(4_000):
        draw.start(0.2)
        drawn = sentence(draw)
        german_side = german.render(drawn)
        assert rendered.setdefault(english.render(drawn), german_side) == german_side


# Agreement, checked against small tables of its own

MASCULINE = "Mann Hund Tisch Garten Bruder Brief Koffer Baum Zug Park Arzt König Stuhl Schlüssel"
FEMININE = "Frau Katze Tür Küche Schwester Zeitung Tasche Blume Stadt Schule Lampe Brücke Mutter"
NEUTER = "Kind Pferd Haus Buch Mädchen Auto Zimmer Bild Fenster Schiff Dorf Hotel Messer Klavier"
GENDERS = {
    **dict.fromkeys(MASCULINE.split(), "m"),
    **dict.fromkeys(FEMININE.split(), "f"),
    **dict.fromkeys(NEUTER.split(), "n"),
}


@pytest.mark.parametrize(
    ("article", "genders", "ending"),
    [
        (r"(?:mit|von|neben|hinter|unter) dem|im|am|zum|vom|beim", "mn", "en"),
        (r"(?:mit|von|in|an) der|zur", "f", "en"),
        (r"(?:durch|für|um) den|einen|keinen|seinen|meinen", "m", "en"),
        (r"einem|keinem|meinem|ihrem|diesem", "mn", "en"),
        (r"eine", "f", "e"),
        (r"ins|dieses", "n", "e"),
    ],
)
def test_articles_and_adjectives_agree_with_the_noun(
    corpus: DemoSplits, article: str, genders: str, ending: str
) -> None:
    pattern = re.compile(rf"(?<!,) (?:{article}) ([a-zäöüß]+ )?([A-ZÄÖÜ]\w+)")
    found = 0
    for _, target in corpus.train:
        for adjective, noun in pattern.findall(target):
            if noun in GENDERS:
                found += 1
                assert GENDERS[noun] in genders, target
                assert adjective.strip() == "" or adjective.strip().endswith(ending), target
    assert found > 50


def test_a_dependent_clause_ends_in_its_verb(corpus: DemoSplits) -> None:
    pattern = re.compile(r", (?:weil|obwohl|dass|ob|damit|bevor|nachdem) [^,]* (\w+)[.?!]$")
    no_verbs = {"nicht", "nie", "an", "auf", "ab", "aus", "ein", "mit", "nach", "weg", "zurück"}
    last_words = [match[1] for _, target in corpus.train if (match := pattern.search(target))]
    assert len(last_words) > 500
    for word in last_words:
        assert word.islower(), word
        assert word not in no_verbs


def test_weak_nouns_are_declined_and_plural_datives_end_in_n(corpus: DemoSplits) -> None:
    for _, target in corpus.train:
        assert not re.search(r"\b(?:den|dem|einen|einem) (?:Student|Junge|Nachbar|Bär)\b", target)
        assert not re.search(r"\bmit (?:den|vielen) (?:Kinder|Hunde|Söhne|Freunde)\b", target)


# What each construction sounds like


@cache
def _noun(name: str) -> Noun:
    return next(noun for noun in NOUNS if noun.english == name)


def _adjective(name: str) -> Adjective:
    return next(adjective for adjective in ADJECTIVES if adjective.english == name)


def _verb(kind: str, german_infinitive: str) -> Verb:
    return next(verb for verb in of_kind(kind) if verb.german.infinitive == german_infinitive)


def _the(name: str, *adjectives: str, number: str = "singular", **rest: object) -> NounPhrase:
    described = tuple(map(_adjective, adjectives))
    return NounPhrase(_noun(name), number, words.THE, described, **rest)  # type: ignore[arg-type]


def _a(name: str, *adjectives: str) -> NounPhrase:
    return NounPhrase(_noun(name), "singular", words.A, tuple(map(_adjective, adjectives)))


def _my(name: str) -> NounPhrase:
    return NounPhrase(_noun(name), "singular", words.MY)


ANNA, TOM = words.NAMES[0], words.NAMES[6]
READ, BUY = _verb("transitive", "lesen"), _verb("transitive", "kaufen")
CALL, SLEEP = _verb("transitive", "anrufen"), _verb("intransitive", "schlafen")
ARRIVE, REST = _verb("intransitive", "ankommen"), _verb("intransitive", "ausruhen")
GIVE, HELP = _verb("ditransitive", "geben"), _verb("dative", "helfen")
WAIT, WORK = _verb("prepositional", "warten"), _verb("intransitive", "arbeiten")
YESTERDAY, TODAY = Adverbial("yesterday", "gestern"), Adverbial("today", "heute")


def _place(english_word: str, german_word: str, case: str, where: Phrase) -> Prepositional:
    return Prepositional(english_word, german_word, case, where)  # type: ignore[arg-type]


IN_GARDEN = _place("in", "in", "dative", _the("garden"))

STATEMENTS: list[tuple[str, str, Clause]] = [
    (
        "Yesterday Anna gave the child an old book.",
        "Gestern gab Anna dem Kind ein altes Buch.",
        Clause(GIVE, ANNA, "past", direct=_a("book", "old"), indirect=_the("child"),
               time=YESTERDAY, front="time"),
    ),
    (
        "Anna has given it to him.",
        "Anna hat es ihm gegeben.",
        Clause(GIVE, ANNA, "perfect", direct=words.IT["neuter"], indirect=words.HE),
    ),
    (
        "I do not call the neighbor today.",
        "Ich rufe heute den Nachbarn nicht an.",
        Clause(CALL, words.I, negation="not", direct=_the("neighbor"), time=TODAY),
    ),
    (
        "She did not buy any apples.",
        "Sie kaufte keine Äpfel.",
        Clause(BUY, words.SHE, "past", negation="not",
               direct=NounPhrase(_noun("apple"), "plural", words.NO)),
    ),
    (
        "Tom cannot help the student.",
        "Tom kann dem Studenten nicht helfen.",
        Clause(HELP, TOM, modal=CAN, negation="not", indirect=_the("student")),
    ),
    (
        "You must not read the letter.",
        "Sie dürfen den Brief nicht lesen.",
        Clause(READ, words.YOU, modal=MUST, negation="not", direct=_the("letter")),
    ),
    (
        "My sister likes to read newspapers.",
        "Meine Schwester liest gern Zeitungen.",
        Clause(READ, _my("sister"), modal=LIKE_TO,
               direct=NounPhrase(_noun("newspaper"), "plural", words.BARE)),
    ),
    (
        "Anna is working in the garden today.",
        "Anna arbeitet heute im Garten.",
        Clause(WORK, ANNA, "progressive", time=TODAY, place=IN_GARDEN),
    ),
    (
        "Anna is reading a book in the garden.",
        "Anna liest im Garten ein Buch.",
        Clause(READ, ANNA, "progressive", direct=_a("book"), place=IN_GARDEN),
    ),
    (
        "Anna is reading the book in the garden.",
        "Anna liest das Buch im Garten.",
        Clause(READ, ANNA, "progressive", direct=_the("book"), place=IN_GARDEN),
    ),
    (
        "The train will arrive today.",
        "Der Zug wird heute ankommen.",
        Clause(ARRIVE, _the("train"), "future", time=TODAY),
    ),
    (
        "The train has arrived.",
        "Der Zug ist angekommen.",
        Clause(ARRIVE, _the("train"), "perfect"),
    ),
    (
        "The neighbor's new car has been bought by Tom's old uncle.",
        "Das neue Auto des Nachbarn ist von Toms altem Onkel gekauft worden.",
        Clause(BUY, _the("car", "new", owner=_the("neighbor")), "perfect", passive=True,
               complement=_place("by", "von", "dative", _the("uncle", "old", owner=TOM))),
    ),
    (
        "The price of the expensive coat was high.",
        "Der Preis des teuren Mantels war hoch.",
        Clause(BE, _the("price", of=_the("coat", "expensive")), "past",
               complement=Quality(_adjective("high"))),
    ),
    (
        "Anna is smarter than her brother.",
        "Anna ist klüger als ihr Bruder.",
        Clause(BE, ANNA, complement=Quality(
            _adjective("smart"), "comparative",
            NounPhrase(_noun("brother"), "singular", words.HER))),
    ),
    (
        "In the garden there are three high trees.",
        "Im Garten gibt es drei hohe Bäume.",
        Clause(EXIST, words.THERE, place=IN_GARDEN, front="place",
               direct=NounPhrase(_noun("tree"), "plural", words.BARE, (_adjective("high"),), 3)),
    ),
    (
        "Yesterday the tourist rested.",
        "Gestern ruhte sich der Tourist aus.",
        Clause(REST, _the("tourist"), "past", time=YESTERDAY, front="time"),
    ),
    (
        "We waited for a glass of water.",
        "Wir warteten auf ein Glas Wasser.",
        Clause(WAIT, words.WE, "past", complement=_place("for", "auf", "accusative", NounPhrase(
            _noun("glass"), "singular", words.A, content=_noun("water")))),
    ),
    (
        "Tom puts the key under the bed.",
        "Tom legt den Schlüssel unter das Bett.",
        Clause(_verb("placement", "legen"), TOM, direct=_the("key"),
               complement=_place("under", "unter", "accusative", _the("bed"))),
    ),
    (
        "Every child sleeps.",
        "Jedes Kind schläft.",
        Clause(SLEEP, NounPhrase(_noun("child"), "singular", words.EVERY)),
    ),
    (
        "Many old men help the four girls.",
        "Viele alte Männer helfen den vier Mädchen.",
        Clause(HELP, NounPhrase(_noun("man"), "plural", words.MANY, (_adjective("old"),)),
               indirect=_the("girl", number="plural", count=4)),
    ),
    (
        "Tom turns it on.",
        "Tom schaltet sie ein.",
        Clause(_verb("transitive", "einschalten"), TOM, direct=words.IT["feminine"]),
    ),
]  # fmt: skip


def _relative(verb: Verb, column: str, person: bool, **rest: object) -> Clause:
    pronoun = words.RELATIVES[column, person]  # type: ignore[index]
    slots: dict[str, object] = {str(rest["front"]): pronoun}
    subject = rest.pop("subject", pronoun)
    return Clause(verb, subject, **{**rest, **slots})  # type: ignore[arg-type]


BOUGHT_BY_TOM = _relative(BUY, "neuter", False, subject=TOM, tense="pluperfect", front="direct")
HELPED_BY_US = _relative(HELP, "feminine", True, subject=words.WE, tense="past", front="indirect")
NESTED: list[tuple[str, str, Clause]] = [
    (
        "Anna has read the book that Tom had bought.",
        "Anna hat das Buch gelesen, das Tom gekauft hatte.",
        Clause(READ, ANNA, "perfect", direct=_the("book", relative=BOUGHT_BY_TOM)),
    ),
    (
        "The woman whom we helped called us.",
        "Die Frau, der wir halfen, rief uns an.",
        Clause(CALL, _the("woman", relative=HELPED_BY_US), "past", direct=words.WE),
    ),
    (
        "Tom is resting because the train has not arrived.",
        "Tom ruht sich aus, weil der Zug nicht angekommen ist.",
        Clause(REST, TOM, "progressive", tail=Subordinate(
            words.BECAUSE, Clause(ARRIVE, _the("train"), "perfect", negation="not"))),
    ),
    (
        "When the train arrived, Anna was sleeping.",
        "Als der Zug ankam, schlief Anna.",
        Clause(SLEEP, ANNA, "past progressive", opening=Subordinate(
            words.WHEN, Clause(ARRIVE, _the("train"), "past"))),
    ),
    (
        "Anna says that she wants to call me.",
        "Anna sagt, dass sie mich anrufen will.",
        Clause(_verb("clausal", "sagen"), ANNA, tail=Subordinate(
            words.THAT, Clause(CALL, words.SHE, modal=WANT_TO, direct=words.I))),
    ),
    (
        "I do not know what Tom has bought.",
        "Ich weiß nicht, was Tom gekauft hat.",
        Clause(_verb("clausal", "wissen"), words.I, negation="not", tail=Subordinate(
            None, Clause(BUY, TOM, "perfect", direct=words.WHAT, front="direct"))),
    ),
    (
        "Anna tried to call me.",
        "Anna versuchte, mich anzurufen.",
        Clause(_verb("infinitival", "versuchen"), ANNA, "past", tail=Subordinate(
            words.TO, Clause(CALL, ANNA, direct=words.I))),
    ),
    (
        "Anna tried to sleep.",
        "Anna versuchte zu schlafen.",
        Clause(_verb("infinitival", "versuchen"), ANNA, "past", tail=Subordinate(
            words.TO, Clause(SLEEP, ANNA))),
    ),
    (
        "I have stopped reading the letter.",
        "Ich habe aufgehört, den Brief zu lesen.",
        Clause(_verb("infinitival", "aufhören"), words.I, "perfect", tail=Subordinate(
            words.STOP_DOING, Clause(READ, words.I, direct=_the("letter")))),
    ),
    (
        "We are working in order to rest.",
        "Wir arbeiten, um uns auszuruhen.",
        Clause(WORK, words.WE, "progressive", tail=Subordinate(
            words.IN_ORDER_TO, Clause(REST, words.WE))),
    ),
]  # fmt: skip

QUESTIONS: list[tuple[str, str, Clause]] = [
    ("Has Tom slept?", "Hat Tom geschlafen?", Clause(SLEEP, TOM, "perfect")),
    (
        "Who is helping Anna?",
        "Wer hilft Anna?",
        Clause(HELP, words.WHO, "progressive", indirect=ANNA, front="subject"),
    ),
    (
        "Who is Anna helping?",
        "Wem hilft Anna?",
        Clause(HELP, ANNA, "progressive", indirect=words.WHO, front="indirect"),
    ),
    (
        "Which letter did you read?",
        "Welchen Brief lasen Sie?",
        Clause(READ, words.YOU, "past", front="direct",
               direct=NounPhrase(_noun("letter"), "singular", words.WHICH)),
    ),
    (
        "When will the train arrive?",
        "Wann wird der Zug ankommen?",
        Clause(ARRIVE, _the("train"), "future", time=Adverbial("when", "wann"), front="time"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("source", "target", "clause"), STATEMENTS + NESTED)
def test_statements_are_rendered_in_both_languages(
    source: str, target: str, clause: Clause
) -> None:
    drawn = Sentence([clause])
    assert (english.render(drawn), german.render(drawn)) == (source, target)


@pytest.mark.parametrize(("source", "target", "clause"), QUESTIONS)
def test_questions_are_rendered_in_both_languages(source: str, target: str, clause: Clause) -> None:
    drawn = Sentence([clause], mood=Mood.QUESTION)
    assert (english.render(drawn), german.render(drawn)) == (source, target)


def test_an_order_is_polite() -> None:
    drawn = Sentence([Clause(CALL, words.YOU, direct=words.WE)], mood=Mood.ORDER)
    assert (english.render(drawn), german.render(drawn)) == (
        "Please call us!",
        "Bitte rufen Sie uns an!",
    )


def test_a_second_clause_shares_the_subject_and_refers_to_the_object() -> None:
    first = Clause(BUY, ANNA, "past", direct=_a("letter"))
    second = Clause(READ, ANNA, "past", direct=words.IT["masculine"], subject_shared=True)
    drawn = Sentence([first, second], [words.SHARED_AND])
    assert english.render(drawn) == "Anna bought a letter and read it."
    assert german.render(drawn) == "Anna kaufte einen Brief und las ihn."


def test_connectors_place_the_verb_and_the_comma() -> None:
    clauses = [Clause(WORK, TOM, "past"), Clause(SLEEP, ANNA, "past")]
    rendered = [
        german.render(Sentence(clauses, [connector])) for connector in (words.AND, words.SO)
    ]
    assert rendered == [
        "Tom arbeitete und Anna schlief.",
        "Tom arbeitete, deshalb schlief Anna.",
    ]
