"""The model card of an exported run: the README.md that a hub shows."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from string import Template

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.runs.run_folder import RunFolder

HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")
TEXT = Template(
    """---
${front}---

# ${title}

A translation model${origin}, written by `seq2seq export` of seq2seq-cli.

```python
from transformers import ${imports}

tokenizer = ${tokenizer}.from_pretrained("${name}")
model = ${model}.from_pretrained("${name}")
batch = tokenizer([${line}], return_tensors="pt", padding=True)
print(tokenizer.batch_decode(model.generate(**batch), skip_special_tokens=True))
```

## Data

${data}

## Evaluation

${figures}

## Licence

${licence}
"""
)


@dataclass(frozen=True)
class Classes:
    """What transformers loads a folder as."""

    model: str
    tokenizer: str
    family: str  # its model_type
    before: str = ""  # what stands in front of each line
    tag: str = ">>{}<<"  # the tag of a language


MARIAN = Classes("MarianMTModel", "MarianTokenizer", "marian")


def model_card(run: RunFolder, classes: Classes = MARIAN, name: str = "") -> str:
    """The card: how to use the model, its data, its figures as the run recorded them, its licence.

    Paths of training texts are cut to their names.
    """
    settings = run.load_config().data
    facts = run.config.facts()
    licence = facts.origin.licence if facts.origin else ""
    tags = sorted(run.load_tokenizers().source.tags)
    language = settings.source_language
    front = [
        "library_name: transformers",
        "pipeline_tag: translation",
        f"tags:\n- {classes.family}\n- translation\n- seq2seq-cli",
    ]
    languages = list(dict.fromkeys(each for each in (language, *tags) if each))
    if languages:
        front.append("language:\n" + "\n".join(f"- {json.dumps(each)}" for each in languages))
    if licence:
        front.append(f"license: {licence}")
    tag = f"{classes.tag.format(tags[0])} " if tags else ""
    return TEXT.substitute(
        front="".join(f"{each}\n" for each in front),
        title=name or run.path.name,
        name=name or "path/to/this/folder",
        origin=f" that began as {_source(facts.origin.source)}" if facts.origin else "",
        imports=", ".join(sorted((classes.model, classes.tokenizer))),
        model=classes.model,
        tokenizer=classes.tokenizer,
        line=json.dumps(f"{classes.before}{tag}Hello!"),
        data="\n".join(_data(settings)),
        figures="\n".join(_figures(run.metrics.path)),
        licence=(
            f"{licence}, as that of the model it began with"
            if licence
            else "The run records no licence: say here under which one this model may be used."
        ),
    )


def _source(name: str) -> str:
    """A model's name on the hub, or the last part of a path."""
    return name if HUB_NAME.fullmatch(name) else PurePath(name).name or "an imported model"


def _data(settings: DataConfig) -> Iterator[str]:
    """What the run was trained on."""
    names = [[PurePath(each).name for each in side] for side in (settings.source, settings.target)]
    if not any(names):
        yield "The run was not trained here; see the model that it was imported from."
        return
    yield "Trained on these texts, source and target:\n"
    for source, target in zip(*names, strict=True):
        yield f"- `{source}`, `{target}`"
    if settings.valid_source:
        valid = [PurePath(each).name for each in (*settings.valid_source, *settings.valid_target)]
        yield f"\nValidated on {', '.join(f'`{each}`' for each in valid)}."


def _figures(metrics: Path) -> Iterator[str]:
    """The figures of the weights that training chose, with sacreBLEU's signatures."""
    best = None
    if metrics.exists():
        for line in metrics.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            kind = record.get("kind")
            is_better = best is None or record.get("is_best")
            if kind == "final" or (kind == "validation" and is_better):
                best = record
    if best is None:
        yield "The run recorded no figures."
        return
    weights = best.get("weights", f"after update {best['update']:,}")
    yield f"On the validation text, {weights}:\n"
    yield "| metric | value |\n|---|---|"
    for key, title in (("bleu", "BLEU"), ("chrf", "chrF2"), ("loss", "loss, nats per token")):
        if key in best:
            yield f"| {title} | {best[key]:.2f} |"
    if signatures := best.get("signatures"):
        yield "\nSignatures: " + ", ".join(f"`{each}`" for each in signatures)
