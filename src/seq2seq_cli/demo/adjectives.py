"""The adjectives of the demo grammar: English, German (with an irregular stem), comparative, tags.

An adjective fits a noun that shares a tag with it; an "absolute" one is not graded by "very". Only
adjectives that the grammar may compare have a comparative: "+" is the regular one, and the text
before a slash is the English one.
"""

from functools import cache

from . import english_forms
from .entries import Adjective, Noun

_TABLE = """
    old          alt           älter      trade adult animal vehicle building furniture owned
    young        jung          jünger     person kin animal
    new          neu           -          vehicle device clothes furniture work office
    big          groß          größer     animal building room outdoor furniture container plant
    small        klein         +          animal building room outdoor furniture container plant
    beautiful    schön         -          color clothes outdoor plant art instrument sight ring
    smart        klug          klüger     person kin animal
    friendly     freundlich    +          person kin
    tired        müde/müd      -          person kin
    hungry       hungrig       -          person kin animal
    famous       berühmt       -          person art sight work
    strong       stark         stärker    person kin animal
    rich         reich         +          person kin
    poor         arm           ärmer      person kin
    happy        glücklich     +          person kin
    sad          traurig       +          person kin work art end
    sick         krank         -          person kin animal
    nice         nett          +          person kin
    brave        mutig         +          person kin animal
    shy          schüchtern    -          person kin
    lazy         faul          +          person kin
    angry        wütend        -          person kin
    curious      neugierig     -          person kin animal
    polite       höflich       -          person kin
    wild         wild          -          wild absolute
    fresh        frisch        -          food
    sweet        süß           +          fruit
    ripe         reif          -          fruit vegetable
    warm         warm          wärmer     clothes room dish
    cold         kalt          kälter     drink room
    delicious    lecker        -          food drink
    interesting  interessant   -          text art event matter
    boring       langweilig    -          text event beginning end
    exciting     spannend      -          work event end beginning
    funny        lustig        +          text art title
    important    wichtig       -          text matter event
    long         lang          länger     text event bridged title
    short        kurz          kürzer     text event title
    expensive    teuer/teur    more/teurer clothes vehicle device instrument furniture ring hotel
    cheap        billig        +          clothes vehicle device instrument furniture ticket
    heavy        schwer        +          container furniture
    red          rot           -          clothes vehicle plant container absolute
    blue         blau          -          clothes vehicle vessel stands absolute
    green        grün          -          clothes vehicle furniture absolute
    white        weiß          -          clothes plant animal castle church absolute
    black        schwarz       -          clothes vehicle pet absolute
    clean        sauber        -          clothes vessel room
    dirty        schmutzig     -          clothes vessel room vehicle
    dark         dunkel/dunkl  dunkler    room forest part
    quiet        ruhig         +          outdoor home
    modern       modern        -          building device vehicle
    dangerous    gefährlich    -          wild matter climbed
    difficult    schwierig     -          matter
    easy         einfach       +          question problem task exam
    strange      seltsam       -          matter text person title color
    wrong        falsch        -          right absolute
    right        richtig       -          right absolute
    broken       kaputt        -          device vehicle instrument absolute
    high         hoch/hoh      höher      climbed price wall gate tree
    deep         tief          +          lake river valley
    empty        leer          -          container vessel building absolute
    comfortable  bequem        -          seat clothes
    good         gut           better/besser text art
    bad          schlecht      worse/schlechter text art
"""


def _adjective(index: int, row: str) -> Adjective:
    english, german, comparative, *tags = row.split()
    lemma, _, stem = german.partition("/")
    english_comparative, _, german_comparative = comparative.rpartition("/")
    if comparative == "-":
        english_comparative = german_comparative = ""
    elif english_comparative == "more":
        english_comparative = f"more {english}"
    return Adjective(
        index=index,
        english=english,
        english_comparative=(
            english_comparative or (german_comparative and english_forms.comparative(english))
        ),
        german=lemma,
        german_stem=stem or lemma,
        german_comparative=lemma + "er" if german_comparative == "+" else german_comparative,
        tags=frozenset(tags),
    )


ADJECTIVES: tuple[Adjective, ...] = tuple(
    _adjective(index, row) for index, row in enumerate(_TABLE.strip().splitlines())
)


@cache
def fitting(noun: Noun) -> tuple[Adjective, ...]:
    """The adjectives that go with a noun, by a tag or by the noun itself."""
    return tuple(
        adjective
        for adjective in ADJECTIVES
        if noun.english in adjective.tags or not noun.tags.isdisjoint(adjective.tags)
    )
