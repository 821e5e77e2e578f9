"""Load a model: `locust -f clients/locustfile.py --headless -u 4 -t 30s`, or without --headless in a browser.

Copy it and change it. `kit load` does the usual things without any file.
"""

from __future__ import annotations

from kit.load.users import TritonUser  # first: it prepares grpc for gevent


class Digits(TritonUser):
    """Each user sends when it has an answer; with `rate = 15` it sends 15 frames a second, whatever comes back."""

    host = "localhost:8001"
    model = "digits"
    images = "examples/digits/test/images"
