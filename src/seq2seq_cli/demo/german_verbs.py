"""The verbs of a German clause: the finite one, its separable particle, and the others."""

from dataclasses import dataclass

from .entries import Modal
from .structure import Clause, agreement
from .verbs import BE, BECOME, HAVE_PERFECT
from .words import Origin, Word

_MODALS = {
    "konnten": "können",
    "mussten": "müssen",
    "sollten": "sollen",
    "wollten": "wollen",
    "möchten": "mögen",
}


@dataclass(slots=True)
class VerbGroup:
    """The finite verb, its separable particle, and the other verbs in German order."""

    finite: Word
    particle: list[Word]
    others: list[Word]

    @property
    def bracket(self) -> list[Word]:
        """What stands in the right bracket of a main clause."""
        return self.particle or self.others

    def final(self) -> list[Word]:
        """All verbs at the end of a dependent clause; the particle is one word with its verb."""
        for particle in self.particle:
            self.finite.form = particle.form + self.finite.form
        return [*self.others, self.finite]

    @property
    def main(self) -> Word:
        """The verb that is not an auxiliary."""
        return next(word for word in (self.finite, *self.others) if not word.relation)


def verb_group(clause: Clause) -> VerbGroup:
    """The verbs of a clause; all but the particle are not attached yet."""
    verb = clause.verb.german
    agrees = agreement(clause.subject)
    modal = clause.modal
    becomes: Origin = (clause, "passive")

    def own(form: str) -> Word:
        return Word(form, verb.infinitive, "VERB", ((clause, "verb"),))

    def become(form: str) -> Word:
        return Word(form, "werden", "AUX", (becomes,), relation="aux:pass")

    infinitive = [own(verb.infinitive)]
    if clause.passive:
        infinitive = [own(verb.participle), become("werden")]
    if modal and modal.german:
        return VerbGroup(_modal(clause, modal), [], infinitive)
    if clause.tense == "future":
        return VerbGroup(
            _auxiliary(BECOME.present[agrees], "werden", (clause, "future")), [], infinitive
        )
    if clause.tense in ("perfect", "pluperfect"):
        with_sein = clause.passive or verb.auxiliary == "sein"
        auxiliary = BE.german if with_sein else HAVE_PERFECT
        forms = auxiliary.past if clause.tense == "pluperfect" else auxiliary.present
        worden = [become("worden")] if clause.passive else []
        finite = _auxiliary(forms[agrees], auxiliary.infinitive, (clause, "perfect"))
        return VerbGroup(finite, [], [own(verb.participle), *worden])
    verb_of_finite = BECOME if clause.passive else verb
    past = clause.tense.startswith("past")
    forms = verb_of_finite.past if past else verb_of_finite.present
    if clause.passive:
        return VerbGroup(become(forms[agrees]), [], [own(verb.participle)])
    finite = own(forms[agrees])
    return VerbGroup(finite, particle(clause, finite), [])


def _auxiliary(form: str, lemma: str, origin: Origin) -> Word:
    return Word(form, lemma, "AUX", (origin,), relation="aux")


def _modal(clause: Clause, modal: Modal) -> Word:
    forms = modal.german or {}
    if clause.negation == "not" and modal.negated_german:
        forms = modal.negated_german
    plural = forms["plural"]
    form = forms[agreement(clause.subject)]
    return _auxiliary(form, _MODALS.get(plural, plural), (clause, "modal"))


def particle(clause: Clause, verb: Word) -> list[Word]:
    """The separable particle of a verb, if it has one."""
    form = clause.verb.german.particle
    if not form:
        return []
    word = Word(form, form, "ADP", ((clause, "verb"),))
    return [word.attach(verb, "compound:prt")]
