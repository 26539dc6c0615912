"""COMET and COMET-Kiwi (Rei et al. 2020, 2022), by checkpoints of unbabel-comet without its package.

- `scorer`: reads checkpoints, and scores lines with them
- `metric`: COMET as a metric of sacreBLEU's kind
"""

from seq2seq_cli.evaluation.comet.metric import CometMetric
from seq2seq_cli.evaluation.comet.scorer import Comet

__all__ = ["Comet", "CometMetric"]
