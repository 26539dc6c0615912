"""Every command, option, setting, link and path that the documentation names exists."""

import ast
import io
import re
import shlex
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer

from seq2seq_cli.cli.app import app
from seq2seq_cli.config import presets
from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import MODEL_CONFIGS, model_config
from seq2seq_cli.config.settings import (
    RENAMED,
    merged,
    parse_assignment,
    parse_toml,
    settings_from,
)
from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.errors import InputError

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "seq2seq_cli"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "tests/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "findings").glob("*.md")),
    *sorted((ROOT / "recipes").rglob("*.md")),
]
SCRIPTS = sorted((ROOT / "recipes").rglob("*.sh"))
OWN_OPTIONS = {"recipes/README.md", "recipes/bench/LOG.md", "CONTRIBUTING.md", "tests/README.md"}

SECTIONS: dict[str, list[type[Any]]] = {
    "data": [DataConfig],
    "tokenizer": [TokenizerSettings],
    "training": [TrainingConfig],
    "model": [*MODEL_CONFIGS.values()],
}
SETTING = re.compile(rf"(?<!\.)\b({'|'.join(SECTIONS)})\.([a-z][a-z0-9_]*)\b(?![/(.])")
SUFFIXES = {"py", "cpp", "h", "toml", "safetensors", "model", "jsonl", "md", "sh", "html"}

ELLIPSIS = "…"  # what is left out of a command, whose required options may then be missing
VALUE = "8"  # of a shell variable; a number, since that may be asked for
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
NAMED_FILE = re.compile(r"[\w.-]+(?:/[\w.-]+)+\.(?:py|cpp|h|sh|md|toml|html)")

UsageError: Any = typer.BadParameter.__mro__[1]  # of all errors of parsing
INCOMPLETE = ("MissingParameter", "BadOptionUsage")  # a required option, a value of an option
root_command: Any = typer.main.get_command(app)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


# What is written where


def prose_and_blocks(page: str) -> tuple[str, list[str]]:
    """A page without its code blocks, and the blocks: fenced ones, and those of four spaces."""
    prose: list[str] = []
    blocks: list[list[str]] = []
    fenced, inside = False, False
    for line in page.splitlines():
        fence = line.lstrip().startswith("```")
        # A block of four spaces follows a blank line; within a list such lines are text.
        begins = line.startswith("    ") and not (prose and prose[-1].strip() and not inside)
        if fence:
            fenced = not fenced
            if fenced:
                blocks.append([])
        elif fenced:
            blocks[-1].append(line)
        elif begins:
            if not inside:
                blocks.append([])
            blocks[-1].append(line[4:])
        else:
            prose.append(line)
        inside = begins or (inside and not line.strip())
    return "\n".join(prose), ["\n".join(block) for block in blocks]


def spans(prose: str) -> list[str]:
    """The pieces of code within text."""
    return [" ".join(span.split()) for span in SPAN.findall(prose)]


# Commands


@dataclass(frozen=True)
class Command:
    """The words of a command after `seq2seq`."""

    words: tuple[str, ...]
    whole: bool  # whether everything that it needs must be there

    def __str__(self) -> str:
        return shlex.join(["seq2seq", *self.words])


def shell_commands(text: str) -> Iterator[Command]:
    """Every `seq2seq` command in a script or a block of code, behind pipes too."""
    text = re.sub(r"(?m)^\s*#.*$", "", text).replace("\\\n", " ")
    text = re.sub(r"\$\(\(.*?\)\)", VALUE, text)  # arithmetic
    text = re.sub(r'"?\$(@|\{\w+\[@\][^}]*\}|\(.*?\))"?', ELLIPSIS, text)  # any number of words
    text = re.sub(r"\$(\{[^}]*\}|\w+)", VALUE, text)
    for line in text.splitlines():
        if "import" not in line and re.search(r"\bseq2seq\b", line):
            yield from commands_of_line(line)


def commands_of_line(line: str) -> Iterator[Command]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    command: list[str] | None = None
    redirected = False
    for word in [*lexer, ";"]:
        if set(word) <= set("<>"):
            redirected = True
        elif set(word) <= set("|&;()"):
            if command is not None:
                yield completed(command)
            command, redirected = None, False
        elif redirected:
            redirected = False
        elif command is not None:
            command.append(word)
        elif word.rpartition("/")[2] == "seq2seq":
            command = []


def completed(words: list[str]) -> Command:
    left = [word for word in words if ELLIPSIS not in word and word != "..."]
    return Command(tuple(left), whole=len(left) == len(words))


def mentions(prose: str) -> Iterator[Command]:
    """Commands named within text, whose options may be left out."""
    for span in spans(prose):
        first, _, rest = span.partition(" ")
        if first == "seq2seq" and rest:
            yield from (Command(each.words, whole=False) for each in commands_of_line(span))
        elif first in root_command.commands and " --" in span:
            yield Command(completed(shlex.split(span)).words, whole=False)


def parsed(command: Command) -> dict[str, Any]:
    """Parse a command as the command line does, without running it; returns its parameters.

    Raises what the command line shows as a usage error.
    """
    current, words = root_command, list(command.words)
    while words and words[0] in getattr(current, "commands", {}):
        current = current.commands[words.pop(0)]
    if hasattr(current, "commands") and not words:
        return {}  # a group of commands is named
    if hasattr(current, "commands") and not words[0].startswith("-"):
        raise typer.BadParameter(f"no such command: {words[0]}")
    context = current.make_context("seq2seq", words, resilient_parsing=hasattr(current, "commands"))
    return dict(context.params)


def all_commands(command: Any) -> Iterator[Any]:
    yield command
    for below in getattr(command, "commands", {}).values():
        yield from all_commands(below)


def documents() -> Iterator[tuple[str, Command]]:
    for page in PAGES:
        prose, blocks = prose_and_blocks(page.read_text(encoding="utf-8"))
        for command in mentions(prose):
            yield name_of(page), command
        for block in blocks:
            for command in shell_commands(block):
                yield name_of(page), command
    for described in all_commands(root_command):
        for command in shell_commands(described.help or ""):
            yield f"{described.name} --help", command
    for script in SCRIPTS:
        for command in shell_commands(script.read_text(encoding="utf-8")):
            yield name_of(script), command


COMMANDS = [*documents()]
commands = pytest.mark.parametrize(
    "command", [pytest.param(each, id=f"{page}: {each}") for page, each in COMMANDS]
)


@commands
def test_a_command_is_accepted(command: Command) -> None:
    try:
        parsed(command)
    except UsageError as error:
        if command.whole or type(error).__name__ not in INCOMPLETE:
            raise


@commands
def test_settings_of_a_command_go_together(command: Command) -> None:
    """The values of --set, with a preset's settings and the defaults."""
    words = command.words
    assigned = [value for option, value in pairwise(words) if option == "--set"]
    if not assigned:
        return
    tables: dict[str, dict[str, Any]] = {}
    for section, key, value in map(parse_assignment, assigned):
        check_setting(section, key)
        if str(value) != VALUE:  # what a variable stands for need not be a number
            tables.setdefault(section, {})[key] = value
    preset = words[words.index("--preset") + 1] if "--preset" in words else presets.DEFAULT
    if preset == VALUE or not command.whole:
        return  # which other settings there are is not written here
    whole = merged(parse_toml(presets.read(preset), preset), tables)
    for section, table in whole.items():
        if section == "model":
            model_config(table)
        else:
            settings_from(SECTIONS[section][0], section, table)


# Settings, options, links, files


def check_setting(section: str, key: str) -> None:
    known = {field.name for kind in SECTIONS[section] for field in fields(kind)}
    assert key in known, f"no such setting: {section}.{key}"


def code_of(page: Path) -> list[str]:
    """All code of a page: within the text, and in blocks."""
    prose, blocks = prose_and_blocks(page.read_text(encoding="utf-8"))
    return [*spans(prose), *blocks]


pages = pytest.mark.parametrize("page", PAGES, ids=name_of)


@pytest.mark.parametrize("path", [*PAGES, *SCRIPTS], ids=name_of)
def test_settings_exist(path: Path) -> None:
    code = [path.read_text(encoding="utf-8")] if path in SCRIPTS else code_of(path)
    for section, key in SETTING.findall("\n".join(code)):
        if key not in SUFFIXES and f"{section}.{key}" not in RENAMED:
            check_setting(section, key)


@pytest.mark.parametrize("path", [*PAGES, *SCRIPTS], ids=name_of)
def test_options_exist(path: Path) -> None:
    """Within the text of a page, and in a script's arrays of options."""
    if name_of(path) in OWN_OPTIONS:
        return
    known = {option for command in all_commands(root_command) for option in options_of(command)}
    text = path.read_text(encoding="utf-8")
    arrays = re.findall(r"(?m)^\s*\w+=\(([^)]*)\)", text)
    for code in arrays if path in SCRIPTS else spans(prose_and_blocks(text)[0]):
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", code):
            assert option in known, f"no command has {option}"


def options_of(command: Any) -> Iterator[str]:
    yield "--help"
    for parameter in command.params:
        yield from (*parameter.opts, *parameter.secondary_opts)


@pages
def test_links_lead_somewhere(page: Path) -> None:
    prose, _ = prose_and_blocks(page.read_text(encoding="utf-8"))
    for target in LINK.findall(SPAN.sub("", prose)):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        found = (page.parent / file).resolve() if file else page
        assert found.exists(), f"{target} leads nowhere"
        if anchor:
            assert anchor in anchors(found), f"{target}: {found.name} has no such heading"


def anchors(page: Path) -> set[str]:
    """The names by which GitHub knows the headings of a page."""
    prose, _ = prose_and_blocks(page.read_text(encoding="utf-8"))
    headings = re.findall(r"(?m)^#+ (.*)$", prose)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pages
def test_named_files_exist(page: Path) -> None:
    """A file is named from the project's root, from the package, or from beside the page."""
    for code in code_of(page):
        for name in NAMED_FILE.findall(code) if " " not in code else []:
            places = (ROOT, PACKAGE, page.parent, ROOT / "recipes")
            assert any((place / name).exists() for place in places), f"{name} does not exist"


def test_files_named_in_comments_exist() -> None:
    """In comments and docstrings a file is named as on a page, or from beside the file."""
    sources = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.cpp"), *PACKAGE.rglob("*.h")]
    sources += [*(ROOT / "tests").rglob("*.py"), *(ROOT / "recipes").rglob("*.py")]
    assert len(sources) > 250
    for source in sources:
        for name in NAMED_FILE.findall(comments(source)):
            places = (ROOT, PACKAGE, source.parent, ROOT / "recipes")
            assert any((place / name).exists() for place in places), f"{name_of(source)}: {name}"


def comments(source: Path) -> str:
    """All comments of a file, in Python with the docstrings."""
    text = source.read_text(encoding="utf-8")
    if source.suffix != ".py":
        return "\n".join(re.findall(r"//.*", text))
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return "\n".join(
        token.string
        for token in tokens
        if token.type == tokenize.COMMENT or token.string.startswith(('"""', 'r"""'))
    )


@pages
def test_python_code_imports_what_exists(page: Path) -> None:
    for block in prose_and_blocks(page.read_text(encoding="utf-8"))[1]:
        if "from seq2seq_cli" in block:
            statements = ast.parse(block).body
            imports: list[ast.stmt] = [
                each for each in statements if isinstance(each, ast.ImportFrom)
            ]
            exec(compile(ast.Module(imports, []), str(page), "exec"), {})


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_recipes_of_contributing_are_short() -> None:
    sections = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("\n## Add ")[1:]
    assert len(sections) == 8
    for section in sections:
        assert len(section.strip().splitlines()[1:]) <= 16, section  # the first is blank


def test_every_page_of_docs_is_in_its_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or f"({page.name})" in index


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in root_command.commands:
        assert f"`seq2seq {name}" in readme, f"README does not mention seq2seq {name}"


# The checks above can fail


@pytest.mark.parametrize(
    "text",
    [
        "seq2seq train --sauce a.en",
        "cat a | seq2seq translate runs/a --beam wide | wc -l",
        "seq2seq translait runs/a",
        "seq2seq translate --beam 1",
        "if seq2seq score --reference a \\\n    --metric bleu; then",
    ],
)
def test_a_wrong_command_is_found(text: str) -> None:
    (command,) = shell_commands(text)
    with pytest.raises(UsageError):
        parsed(command)


def test_a_wrong_setting_is_found() -> None:
    with pytest.raises(AssertionError, match="no such setting"):
        check_setting("model", "dropuot")


def test_settings_that_do_not_go_together_are_found() -> None:
    (command,) = shell_commands("seq2seq train --source a --set model.width=10 --set model.heads=3")
    with pytest.raises(InputError):
        test_settings_of_a_command_go_together(command)


def test_dead_links_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    for link in ("other.md", "#missing"):
        page.write_text(f"# A heading\n\nSee [a heading](#a-heading) and [more]({link}).\n")
        with pytest.raises(AssertionError, match=link):
            test_links_lead_somewhere(page)


def test_commands_are_read_as_a_shell_reads_them() -> None:
    script = """
        # seq2seq nothing
        "$bin/seq2seq" translate "$run" <in >out && echo done
        FOO=1 seq2seq train "${options[@]}" --max-updates "$((2 * n))" \\
            --output "$x/y"
    """
    assert [str(each) for each in shell_commands(script)] == [
        "seq2seq translate 8", "seq2seq train --max-updates 8 --output 8/y"
    ]  # fmt: skip
