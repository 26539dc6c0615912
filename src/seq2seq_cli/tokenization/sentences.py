"""Lines into sentences and back, by the rules of many languages.

The library sentencex knows the ends of sentences of all scripts and the abbreviations of about 250
languages. It is corrected where a wrong end would cost more than a missing one: a sentence in two
halves is translated wrongly, while two sentences in one are what other programs translate too.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from itertools import accumulate, chain, pairwise

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.deferred import pattern

# By the script that most letters of a line are in, for lines in a language that nobody named.
SCRIPT_LANGUAGES = {
    "ARABIC": "ar",
    "ARMENIAN": "hy",
    "BENGALI": "bn",
    "CJK": "zh",
    "CYRILLIC": "ru",
    "DEVANAGARI": "hi",
    "ETHIOPIC": "am",
    "GEORGIAN": "ka",
    "GREEK": "el",
    "HANGUL": "ko",
    "HEBREW": "he",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "MYANMAR": "my",
    "TAMIL": "ta",
    "TELUGU": "te",
}
USUAL_LANGUAGE = "en"
CODES = (  # ISO 639-1
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy "
    "da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu "
    "hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb "
    "lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om "
    "or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw "
    "ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"
)
LONG_CODES = (  # ISO 639-3 and 639-1 by turns, as the tags of NLLB and OPUS-MT have them
    "afr af amh am arb ar ara ar asm as azj az aze az bel be ben bn bos bs bul bg cat ca ces cs "
    "cze cs cmn zh zho zh chi zh cym cy dan da deu de ger de ell el gre el eng en epo eo est et "
    "eus eu baq eu fas fa per fa pes fa fin fi fra fr fre fr gle ga glg gl guj gu hau ha heb he "
    "hin hi hrv hr hun hu hye hy arm hy ind id isl is ice is ita it jpn ja kan kn kat ka geo ka "
    "kaz kk khm km kor ko lao lo lav lv lvs lv lit lt mal ml mar mr mkd mk mac mk mlt mt mya my "
    "bur my nld nl dut nl nno nn nob nb nor no npi ne nep ne ory or pan pa pol pl por pt ron ro "
    "rum ro rus ru sin si slk sk slo sk slv sl spa es sqi sq als sq alb sq srp sr swe sv swh sw "
    "swa sw tam ta tel te tgl tl tha th tur tr uig ug ukr uk urd ur uzn uz uzb uz vie vi yue zh "
    "zsm ms msa ms may ms zul zu"
)
SHORT_CODE = dict(zip(LONG_CODES.split()[::2], LONG_CODES.split()[1::2], strict=True))
LETTERS_LOOKED_AT = 40  # to find the script

# Ends of sentences that sentencex 1.0 does not know: of Khmer, and for vertical Chinese text.
FURTHER_ENDS = pattern("[^\u17d4\u17d5\ufe12\ufe15\ufe16]*[\u17d4\u17d5\ufe12\ufe15\ufe16]*\\s*")

# Spaces and control characters of all kinds, which sentencex gets as plain spaces.
SPACE_LIKE = pattern("[\\s\x00-\x1f\x7f-\x9f\ud800-\udfff]")

OPENING, CLOSING = ("Ps", "Pi"), ("Pe", "Pf")
QUOTES = "\"'"  # open and close

# Letters and full stops of scripts that put no space between sentences: Chinese, Japanese, Yi.
UNSPACED = "\u3001-\u303f\u3040-\u30ff\u3105-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
UNSPACED += "\ua000-\ua4cf"
UNSPACED += "\uf900-\ufaff\uff01-\uff0f\uff1a-\uff1f\uff3b-\uff65\uff66-\uff9f\U00020000-\U0003ffff"
IS_UNSPACED = pattern(f"[{UNSPACED}]")
IS_SEGMENTED = pattern(rf"[{UNSPACED}]\s+[{UNSPACED}]")  # somebody put spaces between its words


@cache
def can_split_sentences() -> bool:
    """Whether sentencex is installed. Without it a line is one sentence."""
    return find_spec("sentencex") is not None


def split_sentences(line: str, language: str = "") -> list[str]:
    """Split a line into its sentences, each with the spaces after it; together they are the line.

    `language` is a code such as "de", also of three letters or with a script, as in "deu_Latn";
    without one, or for one of three letters that is not known, the script of the line decides, and
    text in Latin letters is split by the rules of English.
    """
    if len(line) < 3:  # one character, an end, another character
        return [line]
    if not can_split_sentences():
        return [line]
    from sentencex import segment  # few lines need it, and commands are to start at once

    found = segment(_short_code(language) or language_of_script(line), SPACE_LIKE.sub(" ", line))
    ends = accumulate(map(len, chain.from_iterable(map(FURTHER_ENDS.findall, found))))
    sentences: list[str] = []
    has_capitals = any(map(str.isupper, line))
    for start, end in pairwise(sorted({0, *ends, len(line)})):
        text = line[start:end]
        if sentences and not _ends(sentences[-1], text, has_capitals):
            sentences[-1] += text
        else:
            sentences.append(text)
    return sentences


def _short_code(language: str) -> str:
    """The code of two letters for a code, or "" if there is none here."""
    base = re.split("[-_]", language)[0]
    return SHORT_CODE.get(base, "") if len(base) == 3 else base


def _ends(sentence: str, following: str, has_capitals: bool) -> bool:
    """Whether a sentence ends here; `has_capitals` says whether its line distinguishes case."""
    end, begin = sentence.rstrip(), following.lstrip()
    if not (any(map(str.isalpha, end)) and any(map(str.isalnum, begin))):
        return False  # "3." of a list, or "…" between sentences
    if is_initial(end):
        return False
    is_glued = end == sentence and begin == following
    if is_glued and _is_closing(end[-1]) and not _is_opening(begin[0]):
        return False  # 「はい。」と言った: what was said belongs to a sentence
    first = next(letter for letter in begin if letter.isalnum())
    return not (has_capitals and first.islower())  # "o.a. in Den Haag"


def is_initial(text: str) -> bool:
    """Whether a text ends in a word of one letter and a full stop, as in "M." or "डॉ."."""
    if not text.endswith("."):
        return False
    letters = 0
    for character in reversed(text[:-1]):
        if unicodedata.category(character).startswith("M"):
            continue
        if character == ".":
            return False  # "U.S." can end a sentence
        if not character.isalpha() or IS_UNSPACED.match(character):
            break
        letters += 1
        if letters > 1:
            return False
    return letters == 1


def _is_opening(character: str) -> bool:
    return character in QUOTES or unicodedata.category(character) in OPENING


def _is_closing(character: str) -> bool:
    return character in QUOTES or unicodedata.category(character) in CLOSING


def language_of_script(line: str) -> str:
    """The language whose rules are used for the script that most letters of a line are in.

    Kana makes a line Japanese, whatever else is in it.
    """
    counts: dict[str, int] = {}
    letters = [character for character in line if character.isalpha()]
    if all(map(str.isascii, letters)):
        return USUAL_LANGUAGE
    for letter in letters[:LETTERS_LOOKED_AT]:
        script = unicodedata.name(letter, "").partition(" ")[0]
        language = SCRIPT_LANGUAGES.get(script, USUAL_LANGUAGE)
        counts[language] = counts.get(language, 0) + 1
    return "ja" if "ja" in counts else max(counts, key=lambda language: counts[language])


def has_several_sentences(line: str, language: str = "") -> bool:
    """Whether `split_sentences` splits the line."""
    return len(split_sentences(line, language)) > 1


def join_sentences(sentences: Sequence[str]) -> str:
    """Put sentences into one line, with a space between two unless their script has none."""
    line = sentences[0] if sentences else ""
    for before, sentence in pairwise(sentences):
        line += (" " if needs_space(before, sentence) else "") + sentence
    return line


def needs_space(before: str, after: str) -> bool:
    """Whether a space is between two sentences of a line.

    Not in Chinese and Japanese, unless the text has spaces between its words.
    """
    if not (before and after):
        return False
    for character in reversed(before.rstrip()):
        if IS_UNSPACED.match(character):
            return bool(IS_SEGMENTED.search(before))
        if not unicodedata.category(character).startswith("P"):
            break
    return True


def source_language(data: DataConfig) -> str:
    """The language of the source: what the settings say, or the names of texts tell, or ""."""
    return data.source_language or language_of_names(data.source)


def language_of_names(texts: Sequence[str]) -> str:
    """The language that the names of texts end in, as train.en.gz or corpus.tsv:en, or "".

    Names of several languages name none.
    """
    ends = {re.split(r"[.:]", text.removesuffix(".gz"))[-1] for text in texts}
    (code,) = ends if len(ends) == 1 else ("",)
    return code if code in CODES.split() else ""
