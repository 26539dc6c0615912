"""COMET as a metric of sacreBLEU's kind, so that scores, intervals and tests treat it alike."""

import json
from collections.abc import Sequence
from typing import Any

from sacrebleu.metrics.base import Metric, Score, Signature

from seq2seq_cli import __version__
from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.comet.scorer import HASHED, Comet


class CometScore(Score):
    """A score whose interval is told whatever its sign: other metrics are never below 0."""

    def format(self, *how: Any, **options: Any) -> str:
        """Write it as sacreBLEU does."""
        text = str(super().format(*how, **options))
        if not options.get("is_json") or self._mean == -1.0:
            return text
        interval = {"confidence_mean": self._mean, "confidence_var": self._ci}
        return json.dumps(json.loads(text) | interval)


class CometSignature(Signature):
    """Says which checkpoint scored, by its hash."""

    def __init__(self, args: dict[str, Any]) -> None:
        super().__init__(args)
        model: Comet = args["model"]
        if not model.needs_reference:
            self.info.pop("nrefs", None)
        self.info |= {
            "model": model.name.replace(":", "-").replace("|", "-"),
            "sha256": model.sha256[:HASHED],
            "scale": 100,
            "version": f"seq2seq-cli-{__version__}",
        }


class CometMetric(Metric):
    """The mean over lines of what a model of COMET gives each, times 100."""

    _SIGNATURE_TYPE = CometSignature

    def __init__(self, model: Comet, source: Sequence[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.model = model
        self.source = source
        self.num_refs = 1

    @property
    def name_of_score(self) -> str:
        return "COMET" if self.model.needs_reference else "COMET-Kiwi"

    def _extract_corpus_statistics(
        self, hypotheses: Sequence[str], references: Any
    ) -> list[list[float]]:
        """Score and count of each line; lines that are blank in all texts do not count."""
        if self.model.needs_reference and len(references) != 1:
            raise InputError(
                f"COMET compares with one reference, and {len(references)} are given; give one, or "
                "leave comet out of --metrics"
            )
        reference = [line or "" for line in references[0]]
        scores = self.model.score_lines(hypotheses, self.source, reference)
        blank = [
            not any(line.strip() for line in lines)
            for lines in zip(hypotheses, self.source, reference, strict=True)
        ]
        return [
            [0.0, 0.0] if is_blank else [score, 1.0]
            for score, is_blank in zip(scores, blank, strict=True)
        ]

    def _aggregate_and_compute(self, stats: Sequence[Sequence[float]]) -> Score:
        return self._compute_score_from_stats([sum(column) for column in zip(*stats, strict=True)])

    def _compute_score_from_stats(self, stats: Any) -> Score:
        total, lines = (float(each) for each in stats)
        return CometScore(self.name_of_score, total / lines if lines else 0.0)

    def _preprocess_segment(self, sent: str) -> str:
        return sent

    def _extract_reference_info(self, refs: Sequence[str]) -> dict[str, Any]:
        return {"refs": refs}

    def _compute_segment_statistics(self, hypothesis: str, ref_kwargs: dict[str, Any]) -> Any:
        raise NotImplementedError("lines are scored in batches")
