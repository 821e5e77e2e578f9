"""A load from its beginning to its end: the server is asked first, then locust is started and listened to."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from kit.errors import (
    KitError,
    LoadError,
    ModelContractError,
    NotReadyError,
    ServerError,
    UnknownModelError,
    suggestion,
)
from kit.load import driving, generating, serverside
from kit.load.figures import figures
from kit.load.generating import Hosts
from kit.load.outcome import Collected, End, Outcome, batches, concluded
from kit.load.prepared import Generator, Prepared
from kit.load.values import Message, Plan
from kit.load.verdict import Limits, gives_way
from kit.stream.failures import CallFailedError, Trouble

if TYPE_CHECKING:
    from kit.load.protocols.interface import Connection

_LOST_S = 3.0
"""A server to which nobody got through for so long is gone."""
_SILENT_S = 20.0
"""Generators tell something twice a second; one that tells nothing for so long hangs."""
_ANSWER_S = 0.25
_LAST_WORDS_S = 8.0

Tell = Callable[[Collected], None]


def run(
    plan: Plan,
    *,
    hosts: Hosts | None = None,
    knee: Limits | None = None,
    stop: threading.Event | None = None,
    tell: Tell = lambda _: None,
    prepared: Prepared | None = None,
) -> Outcome:
    """Make a load and return what came of it; ``tell`` is called about four times a second while it runs.

    Loads that follow each other start sooner with one process ``prepared`` for all (``with Prepared() as prepared:``).
    With ``knee``, a step that gives way ends it. ``stop`` ends it early, and what was measured is returned; so it is
    where the server or the generator is lost. Raises ``NotReadyError`` where the server is not ready before the start,
    ``UnknownModelError``, ``ModelContractError``, ``InputsError`` and ``LoadError`` where requests cannot be made, and
    ``MissingExtraError`` without locust.
    """
    hosts = hosts or Hosts(processes=plan.generators)
    plan = replace(plan, generators=hosts.generators)
    generating.require()
    preflight(plan)
    collected, watch = Collected(plan=plan), serverside.watch(plan)
    watch.start()
    try:
        with _prepared(prepared) as process, process.running(plan, hosts) as generator:
            end = _listen(generator, collected, hosts, knee, stop or threading.Event(), tell)
            if not collected.newest and end is End.GENERATOR_LOST:
                raise _failure(generator)
    finally:
        watch.stop()
    return concluded(collected, end, watch.seen)


def _prepared(prepared: Prepared | None) -> contextlib.AbstractContextManager[Prepared]:
    """Return one that is there, which stays, or one for this load."""
    return Prepared() if prepared is None else contextlib.nullcontext(prepared)


def _failure(generator: Generator) -> LoadError:
    """Return why a locust that has ended told nothing."""
    return LoadError(
        f"the load generator ended with exit code {generator.code} before it sent anything: {generator.last_words()}"
    )


def preflight(plan: Plan) -> None:
    """Send one request of each model, in this process. Raises as ``run`` does."""
    try:
        driving.opened(plan).connection.close()
    except CallFailedError as error:
        raise _translated(plan, error) from error


def _translated(plan: Plan, error: CallFailedError) -> ServerError:
    failure = error.failure
    if failure.trouble is Trouble.UNKNOWN_MODEL:
        return UnknownModelError(_unknown(plan, failure.text))
    if failure.trouble is Trouble.MISFIT:
        batched = any(share.batch > 1 for share in plan.models)
        mend = "make --batch smaller" if batched else "say the sizes of its inputs: --shape NAME=3x640x640"
        return ModelContractError(f'the server refused a request: "{failure.text}"; {mend}')
    if failure.trouble is Trouble.UNREACHABLE:
        return NotReadyError(f"no server answers at {plan.url}: {failure.text}; start one: kit serve model_repository")
    return NotReadyError(f'{plan.url} is not ready to be measured: it said "{failure.text}"')


def _unknown(plan: Plan, text: str) -> str:
    from kit.load import protocols

    connection: Connection = protocols.get(plan.protocol).connect(plan.url)
    try:
        known = connection.models(driving.TIMEOUT_S)
    except (CallFailedError, KitError):
        known = ()
    finally:
        connection.close()
    missing = next((share.name for share in plan.models if share.name not in known), "")
    if not missing or not known:
        return f'the server at {plan.url} said "{text}"'
    return f"the server at {plan.url} has no model {missing}; {suggestion(missing, known)}"


def _listen(
    generator: Generator, collected: Collected, hosts: Hosts, knee: Limits | None, stop: threading.Event, tell: Tell
) -> End:  # fmt: skip
    """Take messages until the end, and return what it was."""
    heard_s = time.monotonic()
    while True:
        message, gone = _next(generator)
        if message is not None:
            heard_s = time.monotonic()
            _take(collected, message, hosts)
        if gone:
            return End.PLANNED if collected.all_ended else End.GENERATOR_LOST
        tell(collected)
        if collected.all_ended and hosts.web_port is None:
            return End.PLANNED
        if stop.is_set() and hosts.web_port is not None and collected.all_ended:
            return End.PLANNED
        if stop.is_set():
            return _stopped(generator, collected, End.INTERRUPTED)
        if collected.newest and hosts.web_port is None and time.monotonic() > heard_s + _SILENT_S:
            return _stopped(generator, collected, End.GENERATOR_LOST)
        if collected.lost_s > _LOST_S:
            return _stopped(generator, collected, End.SERVER_LOST)
        if knee is not None and _gave_way(collected, knee):
            return _stopped(generator, collected, End.KNEE)


def _next(generator: Generator) -> tuple[Message | None, bool]:
    """Return the next message, if there is one soon, and whether there will be no more."""
    try:
        message = generator.messages.get(timeout=_ANSWER_S)
    except queue.Empty:
        return None, False
    return message, message is None


def _take(collected: Collected, message: Message, hosts: Hosts) -> None:
    if hosts.web_port is not None and collected.all_ended and not message.ended:  # another run was started
        collected.cells.clear()
        collected.ended.clear()
        collected.busy.clear()
        collected.started_s = None
    collected.take(message)


def _stopped(generator: Generator, collected: Collected, end: End) -> End:
    """End locust before its time and take what it still tells."""
    generator.stop()
    try:
        while (message := generator.messages.get(timeout=_LAST_WORDS_S)) is not None:
            collected.take(message)
            if collected.all_ended:
                break
    except queue.Empty:
        pass
    return end


def _gave_way(collected: Collected, limits: Limits) -> bool:
    """Return whether the newest step that has ended, its answers too, was too much."""
    plan, now_s = collected.plan, collected.elapsed_s()
    end_s, number = 0.0, -1
    for phase in plan.profile.phases:
        if now_s < end_s + phase.seconds + 1.0:
            break
        end_s, number = end_s + phase.seconds, number + 1
    if number < 0:
        return False
    cells = [cell for cell in collected.cells.values() if cell.phase == number]
    return gives_way(figures(cells, plan.profile.phases[number].seconds, batches(plan)), limits)
