"""Settings of the recurrent architectures, with and without attention."""

from typing import Literal

from seq2seq_cli.config.models.base import ModelConfig
from seq2seq_cli.config.settings import require, setting
from seq2seq_cli.deferred import dataclass

ScoreName = Literal[
    "additive", "dot", "scaled-dot", "general", "location-base", "content-base", "multi-head"
]
ScopeName = Literal["global", "local-m", "local-p"]


@dataclass(frozen=True)
class RecurrentConfig(ModelConfig):
    """Settings of both recurrent architectures; depths are in layers."""

    cell: Literal["lstm", "gru"] = "lstm"
    """Kind of recurrent cell.

    Paper: Hochreiter and Schmidhuber 1997, Long Short-Term Memory; Cho et al. 2014, Learning Phrase
    Representations using RNN Encoder-Decoder (gru).
    """

    units: int = setting(512, at_least=1)
    """Units of a recurrent layer; a bidirectional one has half of them in each direction."""

    encoder_layers: int = setting(1, at_least=1)
    """Layers of the encoder."""

    decoder_layers: int = setting(1, at_least=1)
    """Layers of the decoder."""

    bidirectional: bool = True
    """Whether the encoder reads the source in both directions."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            not self.bidirectional or self.units % 2 == 0,
            f"model.units = {self.units} cannot be halved between two directions; choose an even "
            "number or model.bidirectional = false",
        )


@dataclass(frozen=True)
class RnnConfig(RecurrentConfig):
    """Settings of the RNN with a context vector of fixed length."""

    architecture: Literal["rnn"] = "rnn"

    context: Literal["initial", "every-step"] = "every-step"
    """Where the decoder gets the context vector: as its initial state only, or at every step too.

    Paper: Sutskever et al. 2014, Sequence to Sequence Learning with Neural Networks (initial); Cho
    et al. 2014, Learning Phrase Representations using RNN Encoder-Decoder (every-step).
    """

    reverse_source: bool = False
    """Whether the source is read from last to first, so that the first words are near each other.

    Paper: Sutskever et al. 2014, Sequence to Sequence Learning with Neural Networks.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            not (self.reverse_source and self.bidirectional),
            "model.reverse_source does not go with model.bidirectional: a bidirectional encoder "
            "reads from both ends; set model.bidirectional = false",
        )


@dataclass(frozen=True)
class AttentionRnnConfig(RecurrentConfig):
    """Settings of the RNN with attention."""

    attends_to_source = True

    architecture: Literal["attention-rnn"] = "attention-rnn"

    score: ScoreName = "general"
    """Score function of attention.

    Paper: Bahdanau et al. 2015, Neural Machine Translation by Jointly Learning to Align and
    Translate (additive); Luong et al. 2015, Effective Approaches to Attention-based Neural Machine
    Translation (dot, general, location-base); Graves et al. 2014, Neural Turing Machines
    (content-base); Vaswani et al. 2017, Attention Is All You Need (scaled-dot, multi-head).
    """

    scope: ScopeName = "global"
    """Source positions that attention sees: all, or a window around a centre.

    The centre is the target position with local-m; local-p predicts it.

    Paper: Luong et al. 2015, Effective Approaches to Attention-based Neural Machine Translation.
    """

    window: int = setting(10, at_least=1)
    """Source tokens that attention sees on each side of the centre, where the scope is local."""

    heads: int = setting(4, at_least=1)
    """Heads of multi-head attention."""

    location_length: int = setting(200, at_least=1)
    """Source positions that location-base scores can tell apart; later ones get no attention."""

    input_feeding: bool = False
    """Whether the last attended vector is read together with the next token.

    Paper: Luong et al. 2015, Effective Approaches to Attention-based Neural Machine Translation.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.score != "multi-head" or self.units % self.heads == 0,
            f"model.units = {self.units} cannot be split over model.heads = {self.heads}; "
            "choose units that are a multiple of the heads",
        )
        require(
            self.score != "location-base" or self.scope == "global",
            f'model.score = "location-base" does not go with model.scope = "{self.scope}": it '
            "chooses positions by itself, and a window elsewhere would hide them; use global",
        )
