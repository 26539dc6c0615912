"""The options that describe a model to Marian, and our settings of the Transformer.

Marian and its descendants in Bergamot and Firefox keep them beside the weights, as YAML
(`special:model.yml`).
"""

from typing import Any

from seq2seq_cli.config.settings import require
from seq2seq_cli.errors import InputError

EPSILON = 1e-6  # what Marian's norms add to the variance
EPSILON_OPTION = "seq2seq-norm-epsilon"  # another epsilon, of a run of ours; Marian ignores it

OPTIONS = "special:model.yml"  # the parameter that holds the options
MOST_YAML_BYTES = 1 << 20


ACTIVATIONS = {"relu": "relu", "swish": "swish", "gelu": "gelu-sigmoid"}  # Marian's -> ours

# Options that only one value can be held of; others of the same meaning are named too.
FIXED_OPTIONS: dict[str, tuple[Any, ...]] = {
    "transformer-ffn-depth": (2,),
    "transformer-decoder-ffn-depth": (0, 2),
    "transformer-no-projection": (False,),
    "transformer-no-bias": (False,),
    "transformer-no-affine": (False,),
    "transformer-tied-layers": ([], ""),
    "transformer-rnn-projection": (False,),
    "transformer-train-positions": (False,),
    "transformer-train-position-embeddings": (False,),
    "transformer-disable-position-embeddings": (False,),
    "transformer-attention-mask": ("default",),
    "transformer-pool": (False,),
    "layer-normalization": (False,),
    "lemma-dim-emb": (0,),
    "factors-dim-emb": (0,),
    "input-types": ([], ["sequence"], ["sequence", "sequence"]),
    "right-left": (False,),
    "skip": (False,),
    "ulr": (False,),
}


def read_yaml(data: bytes, path: object) -> Any:
    """Read YAML that a stranger wrote. Raises InputError, which begins with `path`."""
    import yaml  # type: ignore[import-untyped]

    class PlainLoader(yaml.SafeLoader):  # type: ignore[misc]
        """Reads YAML without references, which could make a short file endlessly long."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("references are not read")
            return super().compose_node(parent, index)

    require(len(data) <= MOST_YAML_BYTES, f"{path} has {len(data):,} bytes, which is too many")
    try:
        return yaml.load(data.decode().rstrip("\0"), Loader=PlainLoader)
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is not the YAML of a Marian model: {reason[:200]}") from None


def read_options(data: bytes, path: object) -> dict[str, Any]:
    """Read the options of a model, the bytes of `special:model.yml`.

    Raises InputError, which begins with `path`, unless they are a table.
    """
    options = read_yaml(data, f"{path}: {OPTIONS}")
    if not isinstance(options, dict):
        raise InputError(f"{path}: {OPTIONS} does not hold the options of a model")
    return {str(name): value for name, value in options.items()}
