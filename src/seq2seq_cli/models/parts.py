"""The parts of a model: its layers, those that users name, and how they are frozen."""

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from seq2seq_cli.config.settings import require
from seq2seq_cli.models.base import TranslationModel


def layers(model: TranslationModel) -> Iterator[nn.Module]:
    """What a model is a stack of: the members of module lists, which every architecture has."""
    for module in list(model.modules()):
        if isinstance(module, nn.ModuleList):
            yield from module


def part_of(name: str) -> str:
    """Whether a parameter, by its name, belongs to the embeddings, the encoder or the decoder."""
    if name.startswith(("source_embedding", "target_embedding")):
        return "embeddings"
    # source_positions are the encoder's; attention to the source is the decoder's
    return "encoder" if name.startswith(("encoder", "source_")) else "decoder"


def parts(model: TranslationModel) -> dict[str, list[Tensor]]:
    """Everything that can be frozen by name.

    The target embedding is the output projection too, and the source embedding where the vocabulary
    is joint; only where they are apart does each have a name of its own.
    """
    found: dict[str, list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        found.setdefault(part_of(name), []).append(parameter)
    if model.source_embedding is not model.target_embedding:
        found["source-embeddings"] = [model.source_embedding.weight]
        found["target-embeddings"] = [model.target_embedding.weight]
    for name, module in model.named_modules():
        path = name.split(".")
        if path[0] in ("encoder", "decoder") and path[-1].isdigit():
            found[name] = list(module.parameters())
    return found


def freeze(model: TranslationModel, names: Sequence[str]) -> int:
    """Take parts out of training; returns how many numbers that are.

    Raises InputError for a name that is no part of this model, and where nothing would be left.
    """
    known = parts(model)
    for name in names:
        require(
            name in known,
            f'training.freeze = "{name}": no such part of this model; it has '
            f'{", ".join(known)}, of which several are given as ["encoder", "embeddings"]',
        )
        for parameter in known[name]:
            parameter.requires_grad = False
    require(
        any(parameter.requires_grad for parameter in model.parameters()),
        f"training.freeze = {list(names)} leaves nothing to train; leave one part out",
    )
    return sum(p.numel() for p in model.parameters() if not p.requires_grad)
