"""What all tests of precisions share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_cache(cold_cache: Path) -> None:
    """Keep stages in a cache of the test's own; environments stay where they are."""
