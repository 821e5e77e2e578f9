"""A candidate as what a spec says to get it."""

from __future__ import annotations

from pathlib import Path

from kit import manifest
from kit.tune.values import Candidate, Job
from kit.types import Serving


def serving(job: Job, candidate: Candidate) -> Serving:
    """Return what makes a model be served as ``candidate`` says.

    A model without batches (0) has no say in that. A variant's precision and runtime are those of its manifest, as
    far as it has one; where they are those of the repository that is tuned, nothing is said of them.
    """
    own, other = _kind(job.repository, job), _kind(job.variants.get(candidate.variant, job.repository), job)
    precision, runtime = (None if new == old else new for old, new in zip(own, other, strict=True))
    return Serving(
        precision=precision,
        runtime=runtime,
        max_batch_size=candidate.max_batch_size or None,
        instance_count=candidate.instances,
        max_queue_delay_us=candidate.queue_delay_us if candidate.max_batch_size > 1 else None,
        intra_op_threads=candidate.threads,
    )


def _kind(repository: Path, job: Job) -> tuple[str | None, str | None]:
    """Return the precision and the backend that a manifest records for the target."""
    known = manifest.read(repository / job.model)
    record = known.targets.get(job.target) if known is not None else None
    return (record.precision, record.backend) if record is not None else (None, None)
