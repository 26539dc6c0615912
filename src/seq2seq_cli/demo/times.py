"""Adverbials of time and frequency in both languages, by the tenses they go with."""

from .draw import Draw
from .english_forms import cardinal as english_cardinal
from .german_forms import cardinal as german_cardinal
from .nouns import tagged
from .structure import Adverbial


def _adverbials(table: str) -> tuple[Adverbial, ...]:
    rows = (row.split(" = ") for row in table.strip().splitlines())
    return tuple(Adverbial(english.strip(), german.strip()) for english, german in rows)


_PAST = _adverbials("""
    yesterday = gestern
    yesterday evening = gestern Abend
    last night = letzte Nacht
    last week = letzte Woche
    last month = letzten Monat
    last year = letztes Jahr
    last summer = letzten Sommer
    last winter = letzten Winter
""")
_PRESENT = _adverbials("""
    now = jetzt
    today = heute
    at the moment = im Moment
    this morning = heute Morgen
""")
_PERFECT = _adverbials("""
    today = heute
    this week = diese Woche
    this year = dieses Jahr
    this morning = heute Morgen
""")
_FUTURE = _adverbials("""
    tomorrow = morgen
    tonight = heute Abend
    soon = bald
    next week = nächste Woche
    next month = nächsten Monat
    next year = nächstes Jahr
    next summer = nächsten Sommer
    today = heute
""")
_NEAR = _adverbials("""
    now = jetzt
    today = heute
    tonight = heute Abend
    tomorrow = morgen
    on Monday = am Montag
    on the weekend = am Wochenende
""")
_HABITUAL = _adverbials("""
    every day = jeden Tag
    every week = jede Woche
    every morning = jeden Morgen
    every evening = jeden Abend
    every weekend = jedes Wochenende
    in the evening = am Abend
    in the morning = am Morgen
    in summer = im Sommer
    in winter = im Winter
""")
_ANY = _adverbials("""
    in the evening = am Abend
    in the morning = am Morgen
    in the afternoon = am Nachmittag
    at night = in der Nacht
    at noon = am Mittag
    at midnight = um Mitternacht
    on the weekend = am Wochenende
""")
OFTEN = _adverbials("""
    often = oft
    always = immer
    sometimes = manchmal
    usually = meistens
""")
PERFECT_FREQUENCY = _adverbials("""
    already = schon
    just = gerade
    often = oft
""")
MANNERS: dict[str, tuple[Adverbial, ...]] = {
    "quick": _adverbials("quickly = schnell\nslowly = langsam"),
    "fast": _adverbials("quickly = schnell"),
    "loud": _adverbials("loudly = laut\nquietly = leise"),
    "careful": _adverbials("carefully = vorsichtig\nslowly = langsam"),
    "early": _adverbials("early = früh\nlate = spät"),
}
_WEEKDAYS = _adverbials("""
    Monday = Montag
    Tuesday = Dienstag
    Wednesday = Mittwoch
    Thursday = Donnerstag
    Friday = Freitag
    Saturday = Samstag
    Sunday = Sonntag
""")
_MONTHS = _adverbials("""
    January = Januar
    February = Februar
    March = März
    April = April
    May = Mai
    June = Juni
    July = Juli
    August = August
    September = September
    October = Oktober
    November = November
    December = Dezember
""")
_SPANS = _adverbials("""
    hours = Stunden
    days = Tagen
    weeks = Wochen
    months = Monaten
    years = Jahren
""")


def past_time(draw: Draw) -> Adverbial:
    """Draw a time that is over: last week, three days ago, in 1987."""
    kind = draw.number(1, 10)
    if kind <= 4:
        return draw.one(_PAST)
    if kind == 5:
        return _ago(draw)
    if kind == 6:
        year = draw.number(1950, 2019)
        return Adverbial(f"in {year}", f"im Jahr {year}")
    return _any_time(draw)


def future_time(draw: Draw) -> Adverbial:
    """Draw a time in the future: tomorrow, in two weeks, on 3 May."""
    kind = draw.number(1, 10)
    if kind <= 5:
        return draw.one(_FUTURE)
    if kind == 6:
        count, span = draw.number(2, 12), draw.one(_SPANS)
        return Adverbial(
            f"in {english_cardinal(count)} {span.english}",
            f"in {german_cardinal(count)} {span.german}",
        )
    return _any_time(draw)


def near_time(draw: Draw) -> Adverbial:
    """Draw a time that suits an order."""
    return draw.one(_NEAR)


def present_time(draw: Draw) -> Adverbial:
    """Draw a time for something that is going on."""
    return draw.one(_PRESENT)


def perfect_time(draw: Draw) -> Adverbial:
    """Draw a time that is not over yet."""
    return draw.one(_PERFECT)


def habitual_time(draw: Draw) -> Adverbial:
    """Draw a time that recurs: every day, every Monday, at seven o'clock."""
    kind = draw.number(1, 6)
    if kind == 1:
        day = draw.one(_WEEKDAYS)
        return Adverbial(f"every {day.english}", f"jeden {day.german}")
    if kind == 2:
        return _clock(draw)
    return draw.one(_HABITUAL)


def _ago(draw: Draw) -> Adverbial:
    count, span = draw.number(2, 12), draw.one(_SPANS)
    return Adverbial(
        f"{english_cardinal(count)} {span.english} ago",
        f"vor {german_cardinal(count)} {span.german}",
    )


def _any_time(draw: Draw) -> Adverbial:
    kind = draw.number(1, 8)
    if kind <= 2:
        day = draw.one(_WEEKDAYS)
        return Adverbial(f"on {day.english}", f"am {day.german}")
    if kind == 3:
        return _clock(draw)
    if kind == 4:
        month = draw.one(_MONTHS)
        return Adverbial(f"in {month.english}", f"im {month.german}")
    if kind == 5:
        return _date(draw)
    if kind == 6:
        return _around_event(draw)
    return draw.one(_ANY)


def _date(draw: Draw) -> Adverbial:
    month = draw.one(_MONTHS)
    day = draw.number(1, 28 if month.english == "February" else 30)
    return Adverbial(f"on {day} {month.english}", f"am {day}. {month.german}")


def _clock(draw: Draw) -> Adverbial:
    hour = draw.number(2, 12)
    if draw.chance(0.4) and hour < 12:  # half past six is halfway to seven in German
        half = german_cardinal(hour + 1)
        return Adverbial(f"at half past {english_cardinal(hour)}", f"um halb {half}")
    return Adverbial(f"at {english_cardinal(hour)} o'clock", f"um {german_cardinal(hour)} Uhr")


def _around_event(draw: Draw) -> Adverbial:
    event = draw.balanced(tagged("event"))
    feminine = event.gender == "feminine"
    preposition = draw.one((("before", "vor"), ("after", "nach"), ("during", "während")))
    english, german = preposition
    if german == "während":
        article, noun = "der" if feminine else "des", event.german["singular", "genitive"]
    else:
        article, noun = "der" if feminine else "dem", event.german["singular", "dative"]
    return Adverbial(f"{english} the {event.english}", f"{german} {article} {noun}")


def cause(draw: Draw) -> Adverbial:
    """Draw a cause or concession, such as the weather, with the genitive."""
    weather = draw.balanced(tagged("weather"))
    article = "der" if weather.gender == "feminine" else "des"
    english, german = draw.one((("because of", "wegen"), ("despite", "trotz")))
    noun = weather.german["singular", "genitive"]
    return Adverbial(f"{english} the {weather.english}", f"{german} {article} {noun}")
