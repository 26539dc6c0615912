"""Settings of training: the section [training]."""

from typing import ClassVar, Literal

from seq2seq_cli.config.settings import Section, require, setting
from seq2seq_cli.config.tokenizer import check_languages
from seq2seq_cli.deferred import dataclass

BleuTokenizer = Literal[
    "auto",
    "13a",
    "zh",
    "ja-mecab",
    "ko-mecab",
    "char",
    "intl",
    "none",
    "spm",
    "flores101",
    "flores200",
]


@dataclass(frozen=True)
class TrainingConfig(Section):
    """How a model is trained. An update is one step of the optimizer; 0 as a limit means none."""

    SECTION: ClassVar[str] = "training"

    init_from: str = ""
    """Run folder whose weights training begins with; if empty, weights are drawn at random."""

    init_sha256: str = ""
    """SHA-256 of the weights of training.init_from. `train` fills it in, and refuses others."""

    add_languages: tuple[str, ...] = ()
    """Languages that the vocabulary of training.init_from gets a tag for, such as <2de>.

    The vector of a new tag is the mean of those of the other tags.
    """

    add_pieces: str = ""
    """Text file of pieces, one a line, that the vocabulary of training.init_from gets in addition.

    ▁ begins a word, as in ▁Kubernetes. The vector of a new piece is the mean of those of the pieces
    that its text was cut into before.
    """

    freeze: tuple[str, ...] = ()
    """Groups of parameters that are not trained.

    encoder, decoder, embeddings (and with them the projection to the vocabulary where it is tied),
    output (what that has of its own: a bias, untied weights), output-bias, a single layer such as
    encoder.0, and source-embeddings or target-embeddings if the sides do not share theirs.
    """

    seed: int = setting(1, at_least=0)
    """Seed of every random draw of training."""

    batch_tokens: int | Literal["auto"] = setting(4096, at_least=1)
    """Size of a batch in tokens, padding included; auto finds the batch that fits the device.

    It is the number of rows times the longest source or target, whichever is greater.
    """

    accumulate: int = setting(1, at_least=1)
    """Batches whose gradients are accumulated for one update."""

    micro_batch_tokens: int = setting(4096, at_least=0)
    """Tokens of a batch that a CPU computes at a time; the gradients are the same.

    In float32 it computes half as many, which take as much memory. 0 computes a batch at once.
    """

    exchange_precision: Literal["float32", "bfloat16"] = "float32"
    """Type of the gradients that several processes exchange; bfloat16 halves the bytes."""

    shard: bool = False
    """Divide a model, its gradients and its optimizer among several processes, by FSDP2.

    It is for models that outgrow a device: it needs less memory, and more exchange of data.

    Paper: Zhao et al. 2023, PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel.
    """

    activation_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them in memory.

    It needs less memory for about a third more time.

    Paper: Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost.
    """

    torch_compile: bool = False
    """Compile layers with torch.compile, which takes a minute and is meant for GPUs."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Type of numbers in matrix products; auto chooses what is fast on the device."""

    learning_rate: float = setting(0.001, above=0)
    """Highest learning rate, reached at the end of the warm-up."""

    schedule: Literal["inverse-sqrt", "linear", "cosine", "constant"] = "inverse-sqrt"
    """Learning rate after the warm-up: linear and cosine fall to zero at training.max_updates.

    linear falls to zero sooner if validation finds that training.max_minutes will end it sooner.

    Paper: Vaswani et al. 2017, Attention Is All You Need (inverse-sqrt); Defazio et al. 2023,
    Optimal Linear Decay Learning Rate Schedules and Further Refinements (linear); Loshchilov and
    Hutter 2017, SGDR (cosine).
    """

    warmup_updates: int = setting(1000, at_least=0)
    """Updates over which the learning rate rises linearly from zero."""

    weight_decay: float = setting(0.01, at_least=0)
    """Decay of the weight matrices by AdamW; biases and norms are not decayed.

    Paper: Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization.
    """

    beta1: float = setting(0.9, at_least=0, below=1)
    """Decay rate of Adam's moving average of gradients.

    Paper: Kingma and Ba 2015, Adam: A Method for Stochastic Optimization.
    """

    beta2: float = setting(0.98, at_least=0, below=1)
    """Decay rate of Adam's moving average of squared gradients."""

    epsilon: float = setting(1e-9, above=0)
    """Number that Adam adds to the denominator of its steps."""

    clip_norm: float = setting(1.0, at_least=0)
    """Norm to which larger gradients are scaled down; 0 turns clipping off.

    Paper: Pascanu et al. 2013, On the Difficulty of Training Recurrent Neural Networks.
    """

    label_smoothing: float = setting(0.1, at_least=0, below=1)
    """Share of the target probability that is spread evenly over the vocabulary.

    Paper: Szegedy et al. 2016, Rethinking the Inception Architecture for Computer Vision.
    """

    r_drop: float = setting(0.0, at_least=0)
    """Weight alpha of R-Drop, such as 5: two passes over a batch, with other dropout, should agree.

    It doubles the work of an update and helps with small corpora. 0 turns it off.

    Paper: Liang et al. 2021, R-Drop: Regularized Dropout for Neural Networks.
    """

    guided_alignment: float = setting(0.0, at_least=0)
    """Weight of the loss that draws attention to data.alignments, such as 0.1; 0 turns it off.

    Paper: Chen et al. 2016, Guided Alignment Training for Topic-Aware Neural Machine Translation.
    """

    word_dropout: float = setting(0.0, at_least=0, below=1)
    """Share of the source and target tokens that the model reads as unknown."""

    ema_decay: float = setting(0.0, at_least=0, below=1)
    """Decay of a moving average of the weights, such as 0.999; 0 turns it off.

    The average is then what is validated and saved.
    """

    max_updates: int = setting(100_000, at_least=0)
    """Updates after which training ends; 0: no limit."""

    max_epochs: int = setting(0, at_least=0)
    """Epochs after which training ends; 0: no limit."""

    max_minutes: float = setting(0.0, at_least=0)
    """Minutes after which training ends; 0: no limit."""

    checkpoint_every: int = setting(500, at_least=1)
    """Updates between checkpoints, from which training can be resumed."""

    validate_every: int = setting(500, at_least=1)
    """Updates between validations."""

    valid_beam: int = setting(1, at_least=1)
    """Beam with which validation translates; 1 is greedy search."""

    valid_samples: int = setting(3, at_least=0)
    """Sample translations shown at each validation."""

    bleu_tokenize: BleuTokenizer = "auto"
    """Tokenizer of validation's BLEU; auto goes by the script of the validation targets.

    auto is zh for Chinese, ja-mecab for Japanese where it is installed and otherwise char, ko-mecab
    for Korean where it is installed, char for other text without spaces between words, and 13a for
    all else. It is decided once when a run begins. The signature of each validation names it.

    Paper: Post 2018, A Call for Clarity in Reporting BLEU Scores.
    """

    stop_metric: Literal["loss", "bleu", "chrf"] = "bleu"
    """Metric on the validation data by which weights are best, and training stops."""

    stop_score: float = setting(0.0, at_least=0)
    """Value of training.stop_metric at which training ends, as soon as validation reaches it.

    With the metric loss it is reached from above. 0: no such end.
    """

    patience: int = setting(10, at_least=0)
    """Validations without improvement after which training ends; 0: no limit."""

    average: Literal["best", "last", "none"] = "best"
    """Weights that are averaged at the end; the average is taken if it validates better."""

    average_count: int = setting(5, at_least=1)
    """Number of weights that are saved and averaged."""

    average_every: int = setting(0, at_least=0)
    """Updates between the weights that are saved; 0 saves them after validations.

    It is for training.average = "last", or for a later `seq2seq average`.
    """

    tensorboard: bool = False
    """Write the figures of metrics.jsonl as an event file too, RUN/tensorboard, for TensorBoard.

    It may be changed when training continues; the file then has all figures from the beginning.
    """

    wandb: bool = False
    """Record the figures with Weights & Biases too, from the extra `wandb`.

    It writes offline runs into RUN/wandb, and sends nothing unless WANDB_MODE=online is set in the
    environment. It may be changed when training continues.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("activation_checkpointing", "torch_compile"):
            require(
                not (getattr(self, name) and self.guided_alignment),
                f"training.{name} does not go with training.guided_alignment, which reads what "
                "layers then do not keep; leave one out",
            )
        require(
            not (self.shard and self.torch_compile),
            "training.shard does not go with training.torch_compile: a layer would be compiled "
            "before its weights are divided; leave one out",
        )
        require(
            not (self.shard and self.batch_tokens == "auto"),
            'training.shard does not go with training.batch_tokens = "auto", which is measured '
            "with the whole model on one device; give a number of tokens",
        )
        require(
            self.schedule not in ("linear", "cosine") or self.max_updates > 0,
            f'training.schedule = "{self.schedule}" falls to zero at training.max_updates, which '
            "is 0; set it, or use the schedule inverse-sqrt",
        )
        require(
            self.average_every == 0 or self.average != "best",
            f"training.average_every = {self.average_every} saves weights without validating "
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
            "training.init_sha256 is the hash of the weights of training.init_from: set that too",
        )
        for name, option in (("add_languages", "--add-language"), ("add_pieces", "--add-pieces")):
            require(
                bool(self.init_from) or not getattr(self, name),
                f"training.{name} ({option}) extends the vocabulary of training.init_from: name "
                "the run to begin with in --init-from",
            )
        check_languages("training.add_languages", self.add_languages)
