# ruff: noqa: E501 - a row of the table is one line
"""The verbs of the demo grammar, grouped by their complements.

A row gives English | German | subject | object > place or prepositional object | traits, and
the preposition if there is one (English=German+case, A accusative, D dative). Subject and
objects are tags of nouns; the subject "person" also takes names and pronouns. Traits:
  stative  no progressive, no modal, no order    punctual  no plain present, no modal
  habit    goes with "often", "every day"        place     goes with "in the garden"
  first    may open "bought it and read it"      then      may follow there
  passive  has a natural passive                 to        never "explain him the plan"
  perfect  a stative verb that has a perfect     involuntary  no modal, no order
  self     also of oneself: "she says that she"
  one      never of several things at once
  quick, fast, loud, careful, early: the manners that fit
"""

from collections.abc import Iterator
from functools import cache

from . import english_forms, german_forms
from .entries import AGREEMENTS, Agreement, Case, GermanVerb, Government, Modal, Verb

_GROUPS = {
    "PEOPLE": "person kin",
    "ANIMATE": "person kin animal",
    "GOODS": "clothes private furniture instrument device lies stands fruit vegetable book picture",
    "HANDY": "lies stands clothes device fruit",
}
_CASES: dict[str, Case] = {"A": "accusative", "D": "dative"}

_TABLES = {
    "intransitive": """
        sleep/slept/slept | schlafen schläft schlief geschlafen | ANIMATE | | place habit
        laugh | lachen | person | | place loud
        cry | weinen | person | | place
        work | arbeiten | person | | place habit
        dance | tanzen | person | | place habit
        sing/sang/sung | singen singt sang gesungen | person | | place habit loud
        swim/swam/swum | schwimmen schwimmt schwamm ist geschwommen | person | | habit
        wait | warten | person | | place
        get/got/gotten ~up | auf-stehen steht stand ist gestanden | person | | habit early
        wake/woke/woken ~up | auf-wachen ist | person | | habit early involuntary
        fall/fell/fallen ~asleep | ein-schlafen schläft schlief ist geschlafen | person | | punctual
        arrive | an-kommen kommt kam ist gekommen | person kin public road | | punctual
        come/came/come ~back | zurück-kommen kommt kam ist gekommen | person | | punctual
        hurry | sich beeilen | person | |
        rest | sich aus-ruhen | person | | place habit
        depart | ab-fahren fährt fuhr ist gefahren | bus train tram ship | | punctual
        begin/began/begun | beginnen beginnt begann begonnen | event | | punctual
        bloom | blühen | cut | |
        disappear | verschwinden verschwindet verschwand ist verschwunden | ANIMATE | | punctual
    """,
    "transitive": """
        read/read/read | lesen liest las gelesen | person | text | habit place passive then
        write/wrote/written | schreiben schreibt schrieb geschrieben | person | work mail | place passive
        buy/bought/bought | kaufen | person | GOODS | first
        sell/sold/sold | verkaufen | person | GOODS | passive then
        see/saw/seen | sehen sieht sah gesehen | person | PEOPLE animal building vehicle | stative place perfect
        find/found/found | finden findet fand gefunden | person | HANDY | punctual passive first
        lose/lost/lost | verlieren verliert verlor verloren | person | lies device | punctual
        forget/forgot/forgotten | vergessen vergisst vergaß vergessen | person | lies title price problem | punctual
        eat/ate/eaten | essen isst aß gegessen | person | food | habit place passive then
        drink/drank/drunk | trinken trinkt trank getrunken | person | drink | habit place passive
        love | lieben | person | PEOPLE animal art | stative
        know/knew/known | kennen kennt kannte gekannt | person | person art work home price title who | stative
        visit | besuchen | person | PEOPLE sight | habit
        meet/met/met | treffen trifft traf getroffen | person | PEOPLE who | habit place
        invite | ein-laden lädt lud geladen | person | PEOPLE | passive
        call | an-rufen ruft rief gerufen | person | PEOPLE who | habit
        pick ~up | ab-holen | person | PEOPLE | passive
        greet | begrüßen | person | PEOPLE who | passive
        admire | bewundern | person | person art sight | stative
        watch | beobachten | person | person animal | place
        look :for | suchen | person | HANDY animal | place
        open | öffnen | person | container opened mail | careful passive then
        close | schließen schließt schloss geschlossen | person | container opened | careful passive
        repair | reparieren | person | device vehicle instrument roof | careful passive then
        clean | putzen | person | room vehicle opened | habit passive then
        wash | waschen wäscht wusch gewaschen | person | clothes private vessel fruit | careful passive then
        carry | tragen trägt trug getragen | person | container furniture | careful
        wear/wore/worn | tragen trägt trug getragen | person | clothes | habit then one
        put/put/put ~on | an-ziehen zieht zog gezogen | person | garment | one
        take/took/taken ~off | aus-ziehen zieht zog gezogen | person | garment | one
        try ~on | an-probieren probiert probierte probiert | person | clothes | then one
        build/built/built | bauen | person | building boat bridge | passive
        draw/drew/drawn | zeichnen | person | picture map animal plant | place passive
        photograph | fotografieren | person | animal building plant PEOPLE | place passive then
        sing/sang/sung | singen singt sang gesungen | person | song | habit place loud passive
        play | spielen | person | instrument | played habit place
        hear/heard/heard | hören | person | song animal PEOPLE | stative perfect
        understand/understood/understood | verstehen versteht verstand verstanden | person | matter text | stative perfect
        answer | beantworten | person | answered letter message | passive then
        solve | lösen | person | problem task | passive
        translate | übersetzen | person | work letter message word | passive then
        sign | unterschreiben unterschreibt unterschrieb unterschrieben | person | signed letter | passive
        describe | beschreiben beschreibt beschrieb beschrieben | person | PEOPLE picture dream problem relation | passive
        discover | entdecken | person | secret mistake island | punctual passive
        chase | jagen | predator | prey | passive
        bite/bit/bitten | beißen beißt biss gebissen | predator | PEOPLE | punctual passive
        feed/fed/fed | füttern | person | animal | habit
        catch/caught/caught | fangen fängt fing gefangen | person | prey ball | passive
        use | benutzen | person | device private lies | passive
        need | brauchen | person | HANDY private | stative
        have/had/had | haben hat hatte gehabt | person | private lies stands instrument idea plan problem dream | stative
        turn ~on | ein-schalten | person | switched | passive
        turn ~off | aus-schalten | person | switched | passive
        throw/threw/thrown ~away | weg-werfen wirft warf geworfen | person | press clothes lies | passive
        order | bestellen | person | food drink | passive
        plant | pflanzen | person | plant | place passive
        water | gießen gießt goss gegossen | person | plant | habit
        hide/hid/hidden | verstecken | person | HANDY | then passive
        rescue | retten | person | PEOPLE animal | passive
        accompany | begleiten | person | PEOPLE |
        hug | umarmen | person | PEOPLE |
        praise | loben | person | PEOPLE work | passive
        cross | überqueren | person | bridged river | careful
        leave/left/left | verlassen verlässt verließ verlassen | person | building home | punctual
        enter | betreten betritt betrat betreten | person | building room | punctual
        cut/cut/cut | schneiden schneidet schnitt geschnitten | person | fruit vegetable bread cheese cake | careful
        steal/stole/stolen | stehlen stiehlt stahl gestohlen | person | private lies | passive involuntary
        prepare | vor-bereiten bereitet bereitete bereitet | person | meeting trip meal wedding speech concert | careful passive
    """,
    "dative": """
        help | helfen hilft half geholfen | person | PEOPLE | habit place
        thank | danken | person | PEOPLE |
        follow | folgen ist | person | PEOPLE animal |
        trust | vertrauen | person | PEOPLE | stative
        congratulate | gratulieren | person | PEOPLE |
        listen :to | zu-hören | person | PEOPLE | habit
        belong :to | gehören | private lies stands instrument house castle garden | PEOPLE | stative
        forgive/forgave/forgiven | verzeihen verzeiht verzieh verziehen | person | PEOPLE | punctual
    """,
    "ditransitive": """
        give/gave/given | geben gibt gab gegeben | person | HANDY book | first
        show/showed/shown | zeigen | person | shown device building |
        send/sent/sent | schicken | person | mail picture photo gift |
        bring/brought/brought | bringen bringt brachte gebracht | person | HANDY food drink |
        lend/lent/lent | leihen leiht lieh geliehen | person | private lies device |
        offer | an-bieten bietet bot geboten | person | food drink seat |
        explain | erklären | person | matter | to
        recommend | empfehlen empfiehlt empfahl empfohlen | person | work film sight | to
        tell/told/told | erzählen | person | told secret dream |
        return | zurück-geben gibt gab gegeben | person | HANDY book | to
        sell/sold/sold | verkaufen | person | GOODS |
    """,
    "prepositional": """
        wait | warten | person | > PEOPLE public mail | place | for=auf+A
        think/thought/thought | nach-denken denkt dachte gedacht | person | > matter text | | about=über+A
        think/thought/thought | denken denkt dachte gedacht | person | > PEOPLE event | | of=an+A
        dream | träumen | person | > PEOPLE island animal | involuntary | of=von+D
        talk | sprechen spricht sprach gesprochen | person | > matter film work event price color title end | place | about=über+A
        talk | sprechen spricht sprach gesprochen | person | > PEOPLE | place habit | with=mit+D
        laugh | lachen | person | > story picture film mistake PEOPLE | | about=über+A
        ask | bitten bittet bat gebeten | person | > food drink container | | for=um+A
        complain | sich beschweren | person | > weather food PEOPLE | habit | about=über+A
        look | sich freuen | person | > event answer gift | stative | forward/to=auf+A
        remember | sich erinnern | person | > PEOPLE event word title beginning end | stative | =an+A
        take/took/taken | sich kümmern | person | > PEOPLE animal plant | habit | care/of=um+A
        take/took/taken | teil-nehmen nimmt nahm genommen | person | > concert meeting exam game | | part/in=an+D
        prepare | sich vor-bereiten bereitet bereitete bereitet | person | > event | | for=auf+A
        apologize | sich entschuldigen | person | > PEOPLE | | to=bei+D
        knock | klopfen | person | > opened | loud | on=an+A
        play | spielen | person | > ball pet | place habit | with=mit+D
    """,
    "motion": """
        go/went/gone | gehen geht ging ist gegangen | person | > entered | quick | into=in+A
        go/went/gone | gehen geht ging ist gegangen | person | > building visited | habit | to=zu+D
        run/ran/run | rennen rennt rannte ist gerannt | person | > entered | fast | into=in+A
        run/ran/run | rennen rennt rannte ist gerannt | person | > building visited | fast | to=zu+D
        drive/drove/driven | fahren fährt fuhr ist gefahren | person | > building visited | quick habit | to=zu+D
        drive/drove/driven | fahren fährt fuhr ist gefahren | person | > CITY | habit | to=nach+D
        travel | reisen ist | person | > CITY | habit | to=nach+D
        fly/flew/flown | fliegen fliegt flog ist geflogen | person | > CITY | | to=nach+D
        come/came/come | kommen kommt kam ist gekommen | ANIMATE | > building room forest | quick punctual | out/of=aus+D
        walk | laufen läuft lief ist gelaufen | person | > crossed | quick habit | through=durch+A
        walk | laufen läuft lief ist gelaufen | person | > bridged | quick | across=über+A
        climb | klettern ist | person | > climbed tree wall | careful | onto=auf+A
        jump | springen springt sprang ist gesprungen | ANIMATE | > river lake | | into=in+A
    """,
    "position": """
        sit/sat/sat | sitzen sitzt saß gesessen | person | > seat | | on=auf+D
        lie/lay/lain | liegen liegt lag gelegen | lies | > surface | | on=auf+D
        lie/lay/lain | liegen liegt lag gelegen | lies | > table bed cupboard sofa | | under=unter+D
        stand/stood/stood | stehen steht stand gestanden | stands furniture | > opened surface | | next/to=neben+D
        stand/stood/stood | stehen steht stand gestanden | person | > building vehicle tree | | in/front/of=vor+D
        stand/stood/stood | stehen steht stand gestanden | person | > opened tree vehicle | | behind=hinter+D
        hang/hung/hung | hängen hängt hing gehangen | picture mirror map | > wall | | on=an+D
        live | wohnen | person | > home | stative where
        live | wohnen | person | > CITY | stative | in=in+D
        stay | bleiben bleibt blieb ist geblieben | person | > building room | habit where
    """,
    "placement": """
        put/put/put | legen | person | lies > surface | careful | on=auf+A
        put/put/put | legen | person | lies > bag suitcase box basket cupboard | careful | in=in+A
        put/put/put | legen | person | lies > table bed | careful | under=unter+A
        place | stellen | person | stands > surface | careful | on=auf+A
        place | stellen | person | stands furniture > opened wall tree | careful | next/to=neben+A
        hang/hung/hung | hängen hängt hängte gehängt | person | picture mirror map > wall | careful | on=an+A
    """,
    "clausal": """
        say/said/said | sagen | person | | stative self
        know/knew/known | wissen weiß wusste gewusst | person | | stative whether
        believe | glauben | person | | stative self
        hope | hoffen | person | | stative self ahead
        hear/heard/heard | hören | person | | stative
        notice | bemerken | person | | stative
        claim | behaupten | person | | stative self
        ask | fragen | person | | stative only-whether
        find/found/found ~out | heraus-finden findet fand gefunden | person | | punctual whether
    """,
    "infinitival": """
        try | versuchen | person | |
        decide | beschließen beschließt beschloss beschlossen | person | | punctual
        forget/forgot/forgotten | vergessen vergisst vergaß vergessen | person | | punctual
        promise | versprechen verspricht versprach versprochen | person | | stative
        plan | planen | person | |
        start | an-fangen fängt fing gefangen | person | | punctual
        stop | auf-hören | person | | punctual gerund
        refuse | sich weigern | person | | stative
    """,
    "impersonal": """
        rain | regnen | weather | |
        snow | schneien | weather | |
    """,
    "price": """
        cost/cost/cost | kosten | clothes private device instrument furniture ticket | | stative
    """,
}


@cache
def of_kind(kind: str) -> tuple[Verb, ...]:
    """The verbs of one table, in its order."""
    return tuple(verb for verb_kind, verb in _VERBS if verb_kind == kind)


def _expand(column: str) -> tuple[str, ...]:
    words = (_GROUPS.get(word, word) for word in column.split())
    return tuple(tag for word in words for tag in word.split())


def _government(column: str) -> Government | None:
    if not column:
        return None
    english, _, german = column.partition("=")
    preposition, _, case = german.partition("+")
    return Government(english.replace("/", " "), preposition, _CASES[case])


_numbers: dict[str, int] = {}


def _number(english: str, index: int) -> int:
    """One number for all rows of an English verb, so that combinations are held out in each."""
    return _numbers.setdefault(english, index)


def _verb(index: int, row: str) -> Verb:
    columns = [column.strip() for column in row.split("|")]
    english, german, subject, governed, traits, *government = columns
    objects, _, targets = governed.partition(">")
    return Verb(
        index=_number(english, index),
        english=english_forms.verb_forms(english),
        german=german_forms.verb_forms(german),
        subject=_expand(subject),
        objects=_expand(objects),
        targets=_expand(targets),
        traits=frozenset(traits.split()),
        government=_government(government[0] if government else ""),
    )


def _rows() -> Iterator[tuple[str, str]]:
    for kind, table in _TABLES.items():
        for row in table.strip().splitlines():
            yield kind, row


_VERBS: tuple[tuple[str, Verb], ...] = tuple(
    (kind, _verb(index, row)) for index, (kind, row) in enumerate(_rows())
)


def _special(index: int, german: GermanVerb) -> Verb:
    be = english_forms.verb_forms("be/was/been")
    return Verb(len(_VERBS) + index, be, german, (), (), (), frozenset({"stative"}), None)


def _german(present: str, past: str) -> tuple[dict[Agreement, str], dict[Agreement, str]]:
    forms = dict(zip(AGREEMENTS, present.split(), strict=True))
    return forms, german_forms.past_forms(past)


BE = _special(
    0,
    GermanVerb("sein", "zu sein", "gewesen", *_german("bin ist sind", "war"), "", "sein", False),
)
EXIST = _special(1, german_forms.verb_forms("geben gibt gab gegeben"))  # there is: es gibt
HAVE_PERFECT = german_forms.verb_forms("haben hat hatte gehabt")
BECOME = german_forms.verb_forms("werden wird wurde ist geworden")  # the future and the passive


def _modal(english: str, german: str, negated: str = "", *, past: bool = False) -> Modal:
    """`english` is an auxiliary and what follows it, or "+" and a full verb that takes "to"."""
    first, *rest = english.split()
    forms = dict(zip(AGREEMENTS, german.split(), strict=True)) if german else None
    return Modal(
        auxiliary="" if first == "+" else first,
        verb=english_forms.verb_forms(rest[0]) if first == "+" else None,
        linking="to" if first == "+" else " ".join(rest),
        past=past,
        german=forms,
        negated_german=dict(zip(AGREEMENTS, negated.split(), strict=True)) if negated else forms,
    )


CAN = _modal("can", "kann kann können")
COULD = _modal("could", "konnte konnte konnten", past=True)
MUST = _modal("must", "muss muss müssen", "darf darf dürfen")
HAVE_TO = _modal("+ have/had/had", "muss muss müssen")
HAD_TO = _modal("+ have/had/had", "musste musste mussten", past=True)
SHOULD = _modal("should", "sollte sollte sollten")
WANT_TO = _modal("+ want", "will will wollen")
WANTED_TO = _modal("+ want", "wollte wollte wollten", past=True)
MAY = _modal("may", "darf darf dürfen")
WOULD_LIKE_TO = _modal("would like to", "möchte möchte möchten")
LIKE_TO = _modal("+ like", "")
