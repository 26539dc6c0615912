"""From a model and source ids to scored hypotheses. It knows `models.base` and no architecture."""

from seq2seq_cli.search.beam import beam_search
from seq2seq_cli.search.hypothesis import Hypothesis, SearchOptions

__all__ = ["Hypothesis", "SearchOptions", "beam_search"]
