"""Where the kit keeps what it made for itself."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """Return the folder of everything that can be made again: ``$KIT_CACHE_DIR``, else the user's cache folder."""
    override = os.environ.get("KIT_CACHE_DIR")
    if override:
        return Path(override)
    import platformdirs

    return platformdirs.user_cache_path("triton-edge-kit")
