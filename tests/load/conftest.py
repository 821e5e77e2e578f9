"""The server that does what a test says is that of the streams' tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "stream"))
