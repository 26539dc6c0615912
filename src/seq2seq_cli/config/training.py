"""Settings of training: the section [training]."""

import math
from dataclasses import dataclass
from typing import Literal

from seq2seq_cli.config.settings import require


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained. An update is one step of the optimizer; 0 as a limit means none."""

    init_from: str = ""  # a run folder whose weights training begins with
    init_sha256: str = ""  # of those weights; `train` fills it in, and refuses others
    freeze: tuple[str, ...] = ()  # parts that training leaves as they are, as "encoder"

    seed: int = 1
    # a batch: rows times its longest source or target, padding included; auto: what fits the device
    batch_tokens: int | Literal["auto"] = 4096
    accumulate: int = 1  # batches an update
    # of a batch that a CPU computes at a time, in float32 half as many, which take as much room; 0:
    # all at once
    micro_batch_tokens: int = 4096
    activation_checkpointing: bool = False  # for gradients, instead of being kept (Chen 2016)
    torch_compile: bool = False  # by torch.compile, which takes a minute and is for GPUs
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    learning_rate: float = 0.001  # the highest one, reached at the end of the warm-up
    schedule: Literal["inverse-sqrt", "cosine", "constant"] = "inverse-sqrt"
    warmup_updates: int = 1000
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.98
    epsilon: float = 1e-9
    clip_norm: float = 1.0  # 0: gradients are not clipped
    label_smoothing: float = 0.1
    r_drop: float = 0.0  # alpha of R-Drop (Liang 2021): two passes a batch are drawn together
    # weight of the cross-entropy of data.alignments and attention (Chen 2016), beside that of words
    guided_alignment: float = 0.0
    word_dropout: float = 0.0  # share of source and target tokens that are read as unknown ones
    ema_decay: float = (
        0.0  # of a moving average of the weights, which is then what is kept; 0: none
    )

    max_updates: int = 100_000
    max_epochs: int = 0
    max_minutes: float = 0.0
    checkpoint_every: int = 500  # updates
    validate_every: int = 500  # updates
    valid_beam: int = 1  # hypotheses kept while validation decodes; 1 is greedy
    valid_samples: int = 3  # sample translations shown at each validation

    stop_metric: Literal["loss", "bleu", "chrf"] = "bleu"  # also says which weights are best
    stop_score: float = 0.0  # value of stop_metric at which training ends; 0: none
    patience: int = 10  # validations without a better value before training stops; 0: no stop
    average: Literal["best", "last", "none"] = "best"  # which weights are averaged at the end
    average_count: int = 5
    # updates between weights put aside for "last", or for `seq2seq average`; 0: after validations
    average_every: int = 0

    def __post_init__(self) -> None:
        require(
            self.batch_tokens == "auto" or self.batch_tokens >= 1,
            f'training.batch_tokens = {self.batch_tokens}: "auto", 1 or more is allowed',
        )
        for name in (
            *("accumulate", "checkpoint_every", "validate_every"),
            *("valid_beam", "average_count"),
        ):
            value = getattr(self, name)
            require(value >= 1, f"training.{name} = {value}: 1 or more is allowed")
        for name in (
            *("seed", "max_updates", "max_epochs", "max_minutes", "stop_score", "patience"),
            *("warmup_updates", "weight_decay", "clip_norm", "valid_samples", "average_every"),
            *("micro_batch_tokens", "r_drop", "guided_alignment"),
        ):
            value = getattr(self, name)
            require(0 <= value < math.inf, f"training.{name} = {value}: 0 or more is allowed")
        for name in ("activation_checkpointing", "torch_compile"):
            require(
                not (getattr(self, name) and self.guided_alignment),
                f"training.{name} does not go with training.guided_alignment, which reads what "
                "layers then do not keep; leave one out",
            )
        for name in ("label_smoothing", "word_dropout", "ema_decay", "beta1", "beta2"):
            value = getattr(self, name)
            require(0 <= value < 1, f"training.{name} = {value}: at least 0 and below 1 is allowed")
        for name in ("learning_rate", "epsilon"):
            value = getattr(self, name)
            require(0 < value < math.inf, f"training.{name} = {value}: a number above 0 is allowed")
        require(
            self.schedule != "cosine" or self.max_updates > 0,
            'training.schedule = "cosine" falls to zero at training.max_updates, which is 0; '
            "set it, or use the schedule inverse-sqrt",
        )
        require(
            self.average_every == 0 or self.average != "best",
            f"training.average_every = {self.average_every} puts weights aside without validating "
            'them, so that none is known to be best; set training.average to "last" or "none"',
        )
        require(
            self.max_updates > 0
            or self.max_epochs > 0
            or self.max_minutes > 0
            or (self.patience > 0),
            "training would never end: set one of training.max_updates, max_epochs, max_minutes "
            "or patience",
        )
        require(
            bool(self.init_from) or not self.init_sha256,
            "training.init_sha256 says which weights training.init_from gives: set that too",
        )
