"""How good a model is on pictures that nobody trained or calibrated on, and whether another one is good enough.

    validation = accuracy.read(path, meaning, labels)
    before = accuracy.measure(fp32.run, validation, meaning, signature)
    after = accuracy.measure(int8.run, validation, meaning, signature)
    verdict = accuracy.judge(before, after, validation, Budget(drop=0.01))

``judge(..., metric=own_metric("package.module:callable"))`` puts the user's own metric in place of the task's. Answers
come back from a file: ``Answers.save``, ``kit.accuracy.answers.load``. Detectors are measured by their
``evaluation_twin``. See docs/accuracy.md and ADR 14.
"""

from __future__ import annotations

from kit.accuracy.answers import Answers
from kit.accuracy.judging import judge, require_proof
from kit.accuracy.measuring import measure
from kit.accuracy.own import load as own_metric
from kit.accuracy.scoring import score
from kit.accuracy.twin import evaluation_twin
from kit.accuracy.types import Budget, Interval, Score, Verdict
from kit.accuracy.validation import Validation, read

__all__ = [
    "Answers", "Budget", "Interval", "Score", "Validation", "Verdict", "evaluation_twin", "judge", "measure",
    "own_metric", "read", "require_proof", "score",
]  # fmt: skip
