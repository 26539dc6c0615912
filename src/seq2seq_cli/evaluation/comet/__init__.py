"""COMET and COMET-Kiwi (Rei et al. 2020, 2022), without the package unbabel-comet.

- `checkpoint`: reads its checkpoints
- `encoder`: their encoder, from transformers
- `scorer`: scores lines
- `metric`: COMET as a metric of sacreBLEU's kind
"""

from seq2seq_cli.evaluation.comet.metric import CometMetric
from seq2seq_cli.evaluation.comet.scorer import Comet

__all__ = ["Comet", "CometMetric"]
