"""A translation memory in TMX, an XML format: units with a segment in each of several languages."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import field
from itertools import islice
from xml.parsers import expat

from seq2seq_cli.data.formats.base import TextFile
from seq2seq_cli.data.formats.records import RowReport, no_field_error, unquoted
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.errors import InputError
from seq2seq_cli.messages import Warn, ignore_warning

DECLARED = re.compile(rb"""^\s*<\?xml[^>]*\sencoding=["']([\w-]+)""")
UNITS_LISTED = 1000  # in which field_names looks for languages
CODES = ("bpt", "ept", "ph", "it", "ut", "sub")  # elements with the codes of a document, not text
Unit = dict[str, str]  # language, as it is written, to its first segment


@dataclass(frozen=True)
class Tmx(TextFile):
    """A translation memory whose fields are language codes.

    `en` stands for the one language of the file that it begins, such as en-GB. Case does not
    matter.
    """

    kind = "Tmx"
    suffixes = (".tmx",)

    @classmethod
    def recognises(cls, start: bytes) -> bool:
        return start.lstrip()[:1] == b"<" and b"<tmx" in start

    def rows(self, fields: Sequence[str], warn: Warn) -> Iterator[tuple[str, ...]]:
        report = RowReport(self.name, "unit", warn)
        chosen: dict[str, str] = {}  # field to the language that it stands for
        seen: dict[str, None] = {}
        for number, unit in enumerate(self._units(warn), start=1):
            for language in unit.keys() - seen.keys():
                seen[language] = None
                self._choose(fields, list(seen), chosen)
            texts = [unit.get(chosen.get(each, ""), None) for each in fields]
            for each, text in zip(fields, texts, strict=True):
                if text is None:
                    report.add(f"no {each}, read as blank", number)
            yield tuple(report.one_line(text or "", number) for text in texts)
        for each in fields:
            if each not in chosen:
                raise no_field_error(self.name, each, sorted(seen))
        report.end()

    def _choose(self, fields: Sequence[str], seen: list[str], chosen: dict[str, str]) -> None:
        """Set which language each field stands for. Raises InputError if there are two."""
        for each in fields:
            name = unquoted(each).lower().replace("_", "-")
            known = {language.lower().replace("_", "-"): language for language in seen}
            found = [known[name]] if name in known else []
            found = found or [known[code] for code in known if code.startswith(f"{name}-")]
            if len(found) > 1 or (found and chosen.get(each, found[0]) != found[0]):
                both = sorted({*found, *([chosen[each]] if each in chosen else [])})
                raise InputError(
                    f"{self.name}: {each} may be {' or '.join(both)}; say which, as in "
                    f"{self.name}:{both[0]}"
                )
            if found:
                chosen[each] = found[0]

    def field_names(self) -> list[str]:
        """List the languages of the first units."""
        units = self._units(ignore_warning)
        languages = (language for unit in islice(units, UNITS_LISTED) for language in unit)
        return sorted(dict.fromkeys(languages))

    def _units(self, warn: Warn) -> Iterator[Unit]:
        """Yield the units as they are read; memory holds those of one block."""
        units = _Units()
        declared = DECLARED.search(self.start())
        is_utf8 = self.reading.encoding or (declared and declared[1].lower().startswith(b"utf-"))
        parser = expat.ParserCreate("utf-8" if is_utf8 else None)
        parser.buffer_text = True
        parser.StartElementHandler = units.start
        parser.EndElementHandler = units.end
        parser.CharacterDataHandler = units.characters
        # Entities that a file defines can grow a few bytes into gigabytes; TMX needs none.
        parser.EntityDeclHandler = self._refuse_entities
        try:
            for block in self.read_blocks(warn):
                parser.Parse(block, False)
                yield from units.take()
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise InputError(f"{self.name} is not valid XML: {error}") from None
        yield from units.take()

    def _refuse_entities(self, *declared: object) -> None:
        raise InputError(
            f"{self.name} defines the XML entity {declared[0]}; entities are not resolved, write "
            "the text itself"
        )


@dataclass
class _Units:
    """Builds units from the elements of a file."""

    complete: list[Unit] = field(default_factory=list)
    unit: Unit = field(default_factory=dict)
    language: str = ""  # of the variant that is being read
    segment: list[str] | None = None  # of its text, while that is being read
    codes: int = 0  # depth of elements within which there is no text

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "tu":
            self.unit = {}
        elif name == "tuv":
            self.language = attributes.get("xml:lang") or attributes.get("lang", "")
        elif name == "seg":
            self.segment, self.codes = [], 0
        elif name in CODES:
            self.codes += 1

    def characters(self, text: str) -> None:
        if self.segment is not None and not self.codes:
            self.segment.append(text)

    def end(self, name: str) -> None:
        if name in CODES:
            self.codes -= 1
        elif name == "seg" and self.segment is not None:
            self.unit.setdefault(self.language, "".join(self.segment))
            self.segment = None
        elif name == "tu":
            self.complete.append(self.unit)

    def take(self) -> list[Unit]:
        """Return the units that are complete, and forget them."""
        taken, self.complete = self.complete, []
        return taken
