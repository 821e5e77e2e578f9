"""What exporters write beside the graph that tells how a network was trained."""

from __future__ import annotations

from kit.types import Model, Normalization


def normalization(model: Model) -> Normalization | None:
    """Return what the metadata tells of it: networks of Ultralytics take pixels / 255 as they are, classifiers too.

    Source: https://github.com/ultralytics/ultralytics/issues/13247
    """
    return Normalization() if model.metadata.get("author") == "Ultralytics" else None
