"""The nouns of the demo grammar: English, German, gender, German plural, then tags.

The heading of a table is a tag of all its nouns, and each noun is its own tag. "*" after the
gender marks a weak noun (n-declension), "-" a noun without plural. Further tags say what a noun can
take part in; places have the prepositions of "where" (at:an = English "at", German "an").
"""

from collections.abc import Iterator
from functools import cache

from . import english_forms, german_forms
from .entries import Gender, Noun

_GENDERS: dict[str, Gender] = {"m": "masculine", "f": "feminine", "n": "neuter"}

_TABLES = {
    "person": """
        teacher            Lehrerin        f  Lehrerinnen   related trade
        doctor             Arzt            m  Ärzte         related trade
        student            Student         m* Studenten     trade
        boy                Junge           m* Jungen        minor
        girl               Mädchen         n  Mädchen       minor
        man/men            Mann            m  Männer adult
        woman/women        Frau            f  Frauen adult
        child/children     Kind            n  Kinder        minor
        neighbor           Nachbar         m* Nachbarn      related adult
        colleague          Kollegin        f  Kolleginnen   related adult
        cook               Koch            m  Köche         trade
        farmer             Bauer           m* Bauern        trade
        artist             Künstlerin      f  Künstlerinnen trade
        singer             Sängerin        f  Sängerinnen   trade
        journalist         Journalist      m* Journalisten  trade
        lawyer             Anwältin        f  Anwältinnen   related trade
        judge              Richterin       f  Richterinnen  trade
        tourist            Tourist         m* Touristen adult
        guest              Gast            m  Gäste         related adult
        policeman/policemen Polizist       m* Polizisten    trade
        waiter             Kellner         m  Kellner       trade
        engineer           Ingenieur       m  Ingenieure    trade
        scientist          Wissenschaftlerin f Wissenschaftlerinnen trade
        nurse              Krankenschwester f Krankenschwestern trade
        pilot              Pilot           m* Piloten       trade
        customer           Kunde           m* Kunden        related adult
        king               König           m  Könige adult
        queen              Königin         f  Königinnen adult
        gardener           Gärtner         m  Gärtner       related trade
        hunter             Jäger           m  Jäger adult
        prince             Prinz           m* Prinzen
    """,
    "kin": """
        brother            Bruder          m  Brüder
        sister             Schwester       f  Schwestern
        mother             Mutter          f  Mütter        single
        father             Vater           m  Väter         single
        grandmother        Großmutter      f  Großmütter    single
        grandfather        Großvater       m  Großväter     single
        uncle              Onkel           m  Onkel
        aunt               Tante           f  Tanten
        son                Sohn            m  Söhne
        daughter           Tochter         f  Töchter
        friend             Freund          m  Freunde
        nephew             Neffe           m* Neffen
        niece              Nichte          f  Nichten
    """,
    "animal": """
        dog                Hund            m  Hunde         pet predator
        cat                Katze           f  Katzen        pet predator
        horse              Pferd           n  Pferde        pet
        bird               Vogel           m  Vögel         prey
        mouse/mice         Maus            f  Mäuse         prey
        cow                Kuh             f  Kühe          farm
        pig                Schwein         n  Schweine      farm
        goat               Ziege           f  Ziegen        farm
        bear               Bär             m* Bären         predator wild
        lion               Löwe            m* Löwen         predator wild
        wolf/wolves        Wolf            m  Wölfe         predator wild
        fox                Fuchs           m  Füchse        predator wild
        rabbit             Kaninchen       n  Kaninchen     prey pet
        duck               Ente            f  Enten         prey
        monkey             Affe            m* Affen         wild
        elephant           Elefant         m* Elefanten     wild
    """,
    "food": """
        apple              Apfel           m  Äpfel         fruit
        pear               Birne           f  Birnen        fruit
        banana             Banane          f  Bananen       fruit
        cherry             Kirsche         f  Kirschen      fruit
        tomato/tomatoes    Tomate          f  Tomaten       vegetable
        potato/potatoes    Kartoffel       f  Kartoffeln    vegetable
        carrot             Karotte         f  Karotten      vegetable
        egg                Ei              n  Eier          cooked
        cake               Kuchen          m  Kuchen        baked
        cookie             Keks            m  Kekse         baked
        pizza              Pizza           f  Pizzas        baked
        soup               Suppe           f  Suppen        dish
        salad              Salat           m  Salate        dish
        bread              Brot            n  -             baked
        cheese             Käse            m  -
        meat               Fleisch         n  -             cooked
        rice               Reis            m  -             cooked
    """,
    "drink": """
        water              Wasser          n  -             by-glass
        milk               Milch           f  -             by-glass
        coffee             Kaffee          m  -             by-cup
        tea                Tee             m  -             by-cup
        juice              Saft            m  -             by-glass
        wine               Wein            m  -             by-glass
        beer               Bier            n  -             by-glass
    """,
    "text": """
        book               Buch            n  Bücher        work owned
        letter             Brief           m  Briefe        mail
        message            Nachricht       f  Nachrichten   mail
        report             Bericht         m  Berichte      work
        article            Artikel         m  Artikel       work
        poem               Gedicht         n  Gedichte      work
        story              Geschichte      f  Geschichten   work told
        novel              Roman           m  Romane        work
        contract           Vertrag         m  Verträge      mail signed
        newspaper          Zeitung         f  Zeitungen     press
        magazine           Zeitschrift     f  Zeitschriften press
    """,
    "art": """
        picture            Bild            n  Bilder        painted shown owned
        song               Lied            n  Lieder
        film               Film            m  Filme
        photo              Foto            n  Fotos         shown owned
    """,
    "device": """
        phone              Telefon         n  Telefone      owned
        computer           Computer        m  Computer      owned switched
        camera             Kamera          f  Kameras       owned switched
        lamp               Lampe           f  Lampen        owned switched stands
        radio              Radio           n  Radios        owned switched stands
        machine            Maschine        f  Maschinen     switched
        clock              Uhr             f  Uhren         owned stands
    """,
    "thing": """
        key                Schlüssel       m  Schlüssel     owned lies
        bag                Tasche          f  Taschen       owned container stands
        suitcase           Koffer          m  Koffer        owned container stands
        box                Kiste           f  Kisten        container stands
        umbrella           Regenschirm     m  Regenschirme  owned lies
        knife/knives       Messer          n  Messer        lies
        cup                Tasse           f  Tassen        vessel stands
        glass              Glas            n  Gläser        vessel stands
        bottle             Flasche         f  Flaschen      container stands
        plate              Teller          m  Teller        vessel stands
        ball               Ball            m  Bälle         owned lies
        ring               Ring            m  Ringe         owned lies
        coin               Münze           f  Münzen        lies
        ticket             Fahrkarte       f  Fahrkarten    owned lies
        gift               Geschenk        n  Geschenke     lies
        pencil             Bleistift       m  Bleistifte    owned lies
        map                Karte           f  Karten        owned lies shown
        mirror             Spiegel         m  Spiegel
        basket             Korb            m  Körbe         owned container stands
        blanket            Decke           f  Decken        owned lies
    """,
    "clothes": """
        coat               Mantel          m  Mäntel        owned lies garment
        costume            Kostüm          n  Kostüme       owned lies garment
        shirt              Hemd            n  Hemden        owned lies garment
        hat                Hut             m  Hüte          owned lies
        jacket             Jacke           f  Jacken        owned lies garment
        cap                Mütze           f  Mützen        owned lies
        scarf/scarves      Schal           m  Schals        owned lies
        sweater            Pullover        m  Pullover      owned lies garment
    """,
    "vehicle": """
        car                Auto            n  Autos         owned private road
        bicycle            Fahrrad         n  Fahrräder     owned private
        motorcycle         Motorrad        n  Motorräder    owned private
        boat               Boot            n  Boote         owned private
        truck              Lastwagen       m  Lastwagen     road
        bus                Bus             m  Busse         public road
        train              Zug             m  Züge          public
        tram               Straßenbahn     f  Straßenbahnen public
        ship               Schiff          n  Schiffe       public
        plane              Flugzeug        n  Flugzeuge     public
    """,
    "building": """
        house              Haus            n  Häuser        in:in owned entered home
        school             Schule          f  Schulen       in:in entered
        church             Kirche          f  Kirchen       in:in entered sight
        museum             Museum          n  Museen        in:in entered sight
        library            Bibliothek      f  Bibliotheken  in:in entered sight
        hospital           Krankenhaus     n  Krankenhäuser in:in entered
        restaurant         Restaurant      n  Restaurants   in:in entered
        hotel              Hotel           n  Hotels        in:in entered home
        shop               Laden           m  Läden         in:in entered
        office             Büro            n  Büros         in:in entered owned
        theater            Theater         n  Theater       in:in entered sight
        castle             Schloss         n  Schlösser     in:in entered sight home
        factory            Fabrik          f  Fabriken      in:in entered
        station            Bahnhof         m  Bahnhöfe      at:an
        airport            Flughafen       m  Flughäfen     at:an
    """,
    "room": """
        kitchen            Küche           f  Küchen        in:in entered owned single
        room               Zimmer          n  Zimmer        in:in entered owned home
        cellar             Keller          m  Keller        in:in entered single
        bathroom           Badezimmer      n  Badezimmer    in:in entered single
        garage             Garage          f  Garagen       in:in entered single
    """,
    "outdoor": """
        garden             Garten          m  Gärten        in:in entered owned
        park               Park            m  Parks         in:in crossed
        forest             Wald            m  Wälder        in:in entered crossed
        village            Dorf            n  Dörfer        in:in home crossed area
        city               Stadt           f  Städte        in:in home crossed area
        street             Straße          f  Straßen       on:auf bridged
        market             Markt           m  Märkte        at:auf visited
        beach              Strand          m  Strände       on:an visited
        lake               See             m  Seen          at:an visited
        river              Fluss           m  Flüsse        at:an visited
        island             Insel           f  Inseln        on:auf home area
        mountain           Berg            m  Berge         on:auf climbed
        hill               Hügel           m  Hügel         on:auf climbed
        bridge             Brücke          f  Brücken       on:auf bridged visited
        field              Feld            n  Felder        in:auf bridged
        valley             Tal             n  Täler         in:in home area
    """,
    "furniture": """
        table              Tisch           m  Tische        surface
        chair              Stuhl           m  Stühle        seat
        bed                Bett            n  Betten        surface
        sofa               Sofa            n  Sofas         seat surface
        shelf/shelves      Regal           n  Regale        surface
        cupboard           Schrank         m  Schränke
        desk               Schreibtisch    m  Schreibtische surface
        bench              Bank            f  Bänke         seat surface
    """,
    "part": """
        window             Fenster         n  Fenster       opened
        door               Tür             f  Türen         opened
        gate               Tor             n  Tore          opened
        wall               Wand            f  Wände
        roof               Dach            n  Dächer        climbed
    """,
    "plant": """
        tree               Baum            m  Bäume
        flower             Blume           f  Blumen        cut
        rose               Rose            f  Rosen         cut
    """,
    "instrument": """
        violin             Geige           f  Geigen        owned
        guitar             Gitarre         f  Gitarren      owned
        piano              Klavier         n  Klaviere      owned
        flute              Flöte           f  Flöten        owned
    """,
    "matter": """
        question           Frage           f  Fragen        answered
        problem            Problem         n  Probleme      owned
        answer             Antwort         f  Antworten     right
        idea               Idee            f  Ideen         owned
        plan               Plan            m  Pläne         owned right
        mistake            Fehler          m  Fehler        owned
        secret             Geheimnis       n  Geheimnisse   owned
        dream              Traum           m  Träume        owned
        decision           Entscheidung    f  Entscheidungen right
        rule               Regel           f  Regeln
        task               Aufgabe         f  Aufgaben
        word               Wort            n  Wörter        right
    """,
    "event": """
        concert            Konzert         n  Konzerte
        meeting            Sitzung         f  Sitzungen
        exam               Prüfung         f  Prüfungen
        wedding            Hochzeit        f  Hochzeiten
        trip               Reise           f  Reisen        owned
        meal               Essen           n  Essen
        game               Spiel           n  Spiele
        speech             Rede            f  Reden
        conversation       Gespräch        n  Gespräche
    """,
    "weather": """
        rain               Regen           m  -
        snow               Schnee          m  -
        storm              Sturm           m  Stürme
        weather            Wetter          n  -
        heat               Hitze           f  -
        cold               Kälte           f  -
        noise              Lärm            m  -
    """,
    "relation": """
        owner              Besitzer        m  Besitzer who of-private of-pet of-hotel of-shop
        director           Direktor        m  Direktoren    who of-sight
        color              Farbe           f  Farben        of-vehicle of-clothes of-plant
        price              Preis           m  Preise        of-private of-clothes of-instrument
        end                Ende            n  Enden         of-work of-event
        beginning          Anfang          m  Anfänge       of-work of-event
        author             Autorin         f  Autorinnen    who of-work
        title              Titel           m  Titel         of-work
    """,
}


def _noun(index: int, category: str, row: str) -> Noun:
    english, german, gender, plural, *tags = row.split()
    singular, _, irregular = english.partition("/")
    weak = gender.endswith("*")
    return Noun(
        index=index,
        english=singular,
        english_plural=irregular or english_forms.plural(singular),
        german=german_forms.noun_forms(german, _GENDERS[gender[0]], plural, weak=weak),
        gender=_GENDERS[gender[0]],
        tags=frozenset((category, singular, *tags)),
        countable=plural != "-",
    )


def _rows() -> Iterator[tuple[str, str]]:
    for category, table in _TABLES.items():
        for row in table.strip().splitlines():
            yield category, row


NOUNS: tuple[Noun, ...] = tuple(
    _noun(index, category, row) for index, (category, row) in enumerate(_rows())
)


@cache
def tagged(*tags: str) -> tuple[Noun, ...]:
    """The nouns that carry at least one of the tags, in the order of the tables."""
    found = tuple(noun for noun in NOUNS if not noun.tags.isdisjoint(tags))
    if not found:
        raise ValueError(f"no noun is tagged {' or '.join(tags)}")
    return found
