"""The verbs of an English clause, in their order."""

from .entries import Agreement, EnglishVerb, Modal
from .structure import Clause
from .verbs import BE
from .words import Origin, Word

_BE_PRESENT: dict[Agreement, str] = {"first": "am", "third": "is", "plural": "are"}
_BE_PAST: dict[Agreement, str] = {"first": "was", "third": "was", "plural": "were"}


def _finite(verb: EnglishVerb, agrees: Agreement, *, past: bool) -> str:
    if verb.base == "be":
        return (_BE_PAST if past else _BE_PRESENT)[agrees]
    if past:
        return verb.past
    if verb.base == "have" and agrees == "third":
        return "has"
    return verb.third if agrees == "third" else verb.base


def auxiliary(form: str, lemma: str, *origins: Origin, relation: str = "aux") -> Word:
    """An auxiliary, which is not attached yet."""
    return Word(form, lemma, "AUX", origins, relation=relation)


def verb_group(clause: Clause, agrees: Agreement) -> list[Word]:
    """The verbs in order; the first is finite, the last the clause's own."""
    verb = clause.verb.english
    past = clause.tense.startswith("past")
    progressive = clause.tense.endswith("progressive")

    def own(form: str) -> Word:
        return Word(form, verb.base, "VERB", ((clause, "verb"),))

    def be(form: str, *origins: Origin, passive: bool = False) -> Word:
        return auxiliary(form, "be", *origins, relation="aux:pass" if passive else "aux")

    becomes: Origin = (clause, "passive")
    main = [own(verb.base)]
    if clause.passive:
        main = [be("be", becomes, passive=True), own(verb.participle)]
    if clause.modal:
        return [*_modal(clause, clause.modal, agrees), *main]
    if clause.tense == "future":
        return [auxiliary("will", "will", (clause, "future")), *main]
    if clause.tense in ("perfect", "pluperfect"):
        form = "had" if clause.tense == "pluperfect" else "has" if agrees == "third" else "have"
        has = auxiliary(form, "have", (clause, "perfect"))
        been = [be("been", becomes, passive=True)] if clause.passive else []
        return [has, *been, own(verb.participle)]
    if clause.passive:
        being = [be("being")] if progressive else []
        finite = be(_finite(BE.english, agrees, past=past), becomes, passive=True)
        if progressive:
            finite.relation, being[0].relation = "aux", "aux:pass"
        return [finite, *being, own(verb.participle)]
    if progressive:
        return [be(_finite(BE.english, agrees, past=past)), own(verb.gerund)]
    return [own(_finite(verb, agrees, past=past))]


def _modal(clause: Clause, modal: Modal, agrees: Agreement) -> list[Word]:
    """The modal; a full verb among its words has no relation, since it governs the clause."""
    origin: Origin = (clause, "modal")
    words = [auxiliary(modal.auxiliary, modal.auxiliary, origin)] if modal.auxiliary else []
    if modal.verb:
        form = _finite(modal.verb, agrees, past=modal.past)
        words.append(Word(form, modal.verb.base, "VERB", (origin,)))
    *governing, to = modal.linking.split() or [""]
    words += [Word(verb, verb, "VERB", (origin,)) for verb in governing]
    return [*words, Word(to, to, "PART", relation="mark")] if to else words


def with_support(clause: Clause, agrees: Agreement) -> list[Word]:
    """The verb group opened by an auxiliary: "do" where there is none."""
    group = verb_group(clause, agrees)
    full_modal = clause.modal.verb if clause.modal else None
    lexical = full_modal or (clause.verb.english if len(group) == 1 else None)
    if lexical is None or lexical.base == "be":
        return group
    past = clause.modal.past if clause.modal else clause.tense == "past"
    support = "did" if past else "does" if agrees == "third" else "do"
    group[0].form = lexical.base
    return [auxiliary(support, "do"), *group]
