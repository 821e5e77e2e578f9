"""Triton's messages as one line: the reason stays, its wrapping goes."""

from __future__ import annotations

import re

# "load failed for model 'x': version 1 is at UNAVAILABLE state: Internal: REASON;" comes from the load API,
# "Internal: REASON" from the repository index.
_WRAPPING = re.compile(
    r"^(?:\[\w+(?:\.\w+)*\] )?(?:load failed for model '[^']*': )?(?:version \d+ is at UNAVAILABLE state: )?"
    r"(?:(?:Internal|Invalid argument|Not found|Unavailable|Unsupported|Unknown|Already exists): )?"
    r"(?:TritonModelException: |TritonError: )?"
)
_TRACEBACK = re.compile(r"\s*\n\s*At:\s*\n.*", re.DOTALL)
_PYTHON_ERROR = re.compile(r"^(?:[A-Za-z_][\w.]*(?:Error|Exception)): ")
_LONGEST = 1000


def reason(message: str) -> str:
    """Return why Triton refused a model, in one line: without wrapping, traceback or line breaks."""
    text = _TRACEBACK.sub("", message.strip())
    text = _WRAPPING.sub("", text, count=1)
    text = _PYTHON_ERROR.sub("", text, count=1)
    text = " ".join(text.split()).rstrip(";")
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def poll_reason(log: str, model: str) -> str | None:
    """Return why Triton could not read a model's folder, or found no version there, which only its log says.

    None: it does not. Where the configuration does not parse, protobuf's line with the place comes just before.
    """
    lines = log.splitlines()
    marker = re.compile(rf"(?:Poll failed for model directory|failed to load model) '{re.escape(model)}': ")
    for number, line in reversed(list(enumerate(lines))):
        found = marker.search(line)
        if found:
            text = line[found.end() :].rstrip('"')
            place = re.search(r"\] (Error parsing text-format .*)", lines[number - 1]) if number else None
            return reason(f"{text}: {place[1]}" if place else text)
    return None


def log_reason(log: str) -> str:
    """Return the last error that a server wrote to its log before it ended, in one line."""
    errors = [line for line in log.splitlines() if re.match(r"^E\d{4} |^error: |.*\berror\b.*shared librar", line)]
    lines = errors or [line for line in log.splitlines() if line.strip()] or ["its log is empty"]
    text = re.sub(r"^[EIW]\d{4} \S+ \d+ \S+?\] ", "", lines[-1].strip()).strip('"')
    return reason(text)
