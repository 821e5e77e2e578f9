"""The clients are programs that import their neighbours, so their folder is put on the path."""

import sys
from pathlib import Path

CLIENTS = Path(__file__).parents[2] / "clients"

sys.path.insert(0, str(CLIENTS))
