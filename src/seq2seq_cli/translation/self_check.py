"""Whether an imported run translates: two sentences, and a comparison with the original engine."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.kernels.library import library
from seq2seq_cli.messages import counted
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.tokenization.language_tags import language_tag
from seq2seq_cli.translation.faults import has_loop, is_copied
from seq2seq_cli.translation.settings import TranslationSettings
from seq2seq_cli.translation.translator import Translator

# Two plain sentences in languages that many models read; English for all others.
SENTENCES = {
    "ar": ("وافقت اللجنة على الميزانية أمس.", "أين تقع أقرب محطة قطار؟"),
    "cs": ("Výbor včera schválil rozpočet.", "Kde je nejbližší nádraží?"),
    "de": ("Der Ausschuss hat gestern den Haushalt gebilligt.", "Wo ist der nächste Bahnhof?"),
    "en": ("The committee approved the budget yesterday.", "Where is the nearest station?"),
    "es": ("El comité aprobó ayer el presupuesto.", "¿Dónde está la estación más cercana?"),
    "fr": ("Le comité a approuvé le budget hier.", "Où se trouve la gare la plus proche ?"),
    "it": ("Ieri il comitato ha approvato il bilancio.", "Dov'è la stazione più vicina?"),
    "ja": ("委員会は昨日、予算を承認しました。", "一番近い駅はどこですか。"),
    "nl": ("De commissie heeft gisteren de begroting goedgekeurd.", "Waar is het station?"),
    "pl": ("Komisja zatwierdziła wczoraj budżet.", "Gdzie jest najbliższy dworzec?"),
    "pt": ("O comité aprovou ontem o orçamento.", "Onde fica a estação mais próxima?"),
    "ru": ("Комитет вчера утвердил бюджет.", "Где находится ближайший вокзал?"),
    "uk": ("Комітет учора затвердив бюджет.", "Де найближчий вокзал?"),
    "zh": ("委员会昨天批准了预算。", "最近的车站在哪里？"),
}
USUAL = "en"
USUAL_TARGETS = ("de", "fr", "es", "en")
THREE_LETTERS = {
    **{"ara": "ar", "ces": "cs", "deu": "de", "eng": "en", "fra": "fr", "ita": "it", "jpn": "ja"},
    **{"nld": "nl", "pol": "pl", "por": "pt", "rus": "ru", "spa": "es", "ukr": "uk", "zho": "zh"},
}


@dataclass(frozen=True)
class CheckedLine:
    """A sentence that an imported run translated."""

    source: str
    translation: str

    def fault(self) -> str:
        """What is wrong with the translation, as far as this can be told; "" if nothing is."""
        if not self.translation.strip():
            return "is empty"
        if not any(each.isalnum() for each in self.translation):
            return "has no word"
        if has_loop(self.translation):
            return "repeats itself"
        if is_copied(self.source, self.translation):
            return "is made of the words of its source"
        return ""


def check_translations(run: Path, language: str = "") -> Iterator[CheckedLine]:
    """Translate two sentences of the source language, if it is known, else of English.

    Weights have 8 bits where kernels can use them, so that a model that hardly fits into memory can
    be checked.
    """
    own, into = _tagged_languages(run, language)
    settings = TranslationSettings(
        search=SearchOptions(beam=1),  # which shows a loop best
        source_language=own,
        target_language=into,
        device="cpu",
        precision="auto" if library() is None else "int8",
    )
    sentences = SENTENCES.get(two_letters(language), SENTENCES[USUAL])
    for line, found in zip(
        sentences, Translator.load(run, settings).translate(sentences), strict=True
    ):
        yield CheckedLine(line, found.text)


def _tagged_languages(run: Path, language: str) -> tuple[str, str]:
    """The languages, as the run's tags have them, to translate from and into; "" without tags."""
    folder = RunFolder(run)
    tokenizers, placement = folder.load_tokenizers(), folder.load_config().data.language_tags
    sources, targets = list(tokenizers.source.tags), list(tokenizers.target.tags)
    if not sources:
        return "", ""
    code = two_letters(language) if two_letters(language) in SENTENCES else USUAL
    if placement == "source":
        return "", _usual_target(sources, code)
    own = next((each for each in sources if two_letters(each) == code), sources[0])
    return own, _usual_target(targets, two_letters(own))


def _usual_target(languages: Sequence[str], source: str) -> str:
    """A language to translate into, one that models know well if there is one."""
    others = [each for each in languages if two_letters(each) != source] or languages
    return next(
        (each for code in USUAL_TARGETS for each in others if two_letters(each) == code), others[0]
    )


def tagged_lines(run: Path, lines: Sequence[str]) -> list[str]:
    """Lines with tags as <2de> in front, where a run has several languages.

    A second tag is the language that the lines are in.
    """
    own, into = _tagged_languages(run, RunFolder(run).load_config().data.source_language)
    tags = [language_tag(each) for each in (into, own) if each]
    return [" ".join([*tags, line]) for line in lines]


def two_letters(language: str) -> str:
    """The code of a language in two letters, if it has one here, without its region."""
    code = language.replace("-", "_").partition("_")[0].lower()
    return THREE_LETTERS.get(code, code)


@dataclass(frozen=True)
class Difference:
    """A line that a run and the original engine translate otherwise."""

    number: int  # from 1
    line: str
    ours: str
    theirs: str


@dataclass(frozen=True)
class Comparison:
    """How many lines a run and the original engine translate alike."""

    equal: int
    lines: int  # that were compared
    different: Difference | None = None  # the first
    left_out: int = 0  # too long for the original engine

    def __str__(self) -> str:
        left_out = f", {self.left_out:,} too long for it" if self.left_out else ""
        return f"{self.equal:,} of {counted(self.lines, 'line')} equal{left_out}"


def compare(
    run: Path, lines: Sequence[str], original: Callable[[Sequence[str]], Sequence[str | None]]
) -> Comparison:
    """Translate lines greedily by a run, in float32, and by the original engine.

    Both get the lines with the tags of `tagged_lines`. Those that the original has no translation
    of, since they are too long for it, are not compared.
    """
    lines = tagged_lines(run, lines)
    translated = [
        (number, line, theirs)
        for number, (line, theirs) in enumerate(zip(lines, original(lines), strict=True), start=1)
        if theirs is not None
    ]
    settings = TranslationSettings(
        search=SearchOptions(beam=1),
        device="cpu",
        precision="float32",
        split_sentences="off",
        unknown="keep",
    )
    found = Translator.load(run, settings).translate([line for _, line, _ in translated])
    differing = [
        Difference(number, line, ours.text, theirs)
        for (number, line, theirs), ours in zip(translated, found, strict=True)
        if ours.text.split() != theirs.split()
    ]
    return Comparison(
        equal=len(translated) - len(differing),
        lines=len(translated),
        different=differing[0] if differing else None,
        left_out=len(lines) - len(translated),
    )
