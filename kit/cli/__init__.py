"""The command line: one file per command, found by listing this folder; imported only when it is called.

A command parses, calls, prints. It decides nothing. ``main`` alone maps errors to exit codes.
"""

from __future__ import annotations

import atexit
import errno
import importlib
import importlib.util
import os
import pkgutil
import signal
import sys
import threading
from contextlib import suppress

import click

from kit import __version__
from kit.cli import _signals
from kit.cli._text import printable
from kit.errors import KitError, of_system, suggestion

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells have it."""

_COMPLETION = "_KIT_COMPLETE"
"""The variable by which a shell asks for completions: https://click.palletsprojects.com/en/stable/shell-completion/"""

UNREAD = 141
"""Exit code where the reader of the output (head, less) has gone: 128 + SIGPIPE."""


class LazyGroup(click.Group):
    """A group whose members are the modules of this package; each holds a click command named ``command``.

    Only the first line of a member's docstring is read for ``kit --help``, so that help costs no import.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """Return the commands' names in alphabetical order."""
        return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import and return the command of that name; None where there is none."""
        if name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"kit.cli.{name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a mistyped one is answered with the nearest right word."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            ctx.fail(f'no command "{args[0]}"; {suggestion(args[0], self.list_commands(ctx))}')
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _summary(name)) for name in self.list_commands(ctx)])


def _summary(name: str) -> str:
    """Return the first line of a command module's docstring, read as text."""
    spec = importlib.util.find_spec(f"kit.cli.{name}")
    if spec is None or spec.origin is None:
        return ""
    with open(spec.origin, encoding="utf-8") as file:  # noqa: PTH123 (pathlib is not imported for help)
        first = file.readline().strip()
    return first.strip('"').removeprefix(f"kit {name}: ").rstrip(".")


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="kit")
@click.pass_context
def cli(context: click.Context) -> None:
    """From a vision model to a Triton model repository that a real Triton has answered.

    Start with:  kit generate model.onnx  &&  kit serve model_repository
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def run(arguments: list[str] | None = None) -> int:
    """Run a command line and return its exit code; a user's mistake becomes one line on standard error."""
    with _signals.watched(_is_told) as came:
        try:
            result = _call(arguments)
            sys.stdout.flush()  # what cannot be written is told here, and not by Python while it ends
        except BaseException as error:  # noqa: BLE001 (a library whose import was interrupted raises anything)
            number = came(error)
            _let_go(error)
            return _told(error) if number is None else _interrupted(number)
        return result if isinstance(result, int) else 0


def _call(arguments: list[str] | None) -> object:
    """Do what ``click.Command.main`` does, which would answer Ctrl-C with an empty line of its own."""
    if _COMPLETION in os.environ:
        return cli.main(args=arguments, prog_name="kit", complete_var=_COMPLETION, standalone_mode=False)
    try:
        with cli.make_context("kit", list(sys.argv[1:] if arguments is None else arguments)) as context:
            return cli.invoke(context)
    except click.exceptions.Exit as done:  # --help and --version
        return done.exit_code


def _let_go(error: BaseException) -> None:
    """End the ``with`` blocks that Ctrl-C cut short between their manager and Python: output may go nowhere there."""
    if isinstance(error, KeyboardInterrupt):
        import traceback

        traceback.clear_frames(error.__traceback__)


def _is_told(error: BaseException) -> bool:
    return isinstance(error, (KitError, click.ClickException, click.exceptions.Abort, KeyboardInterrupt))


def _told(error: BaseException) -> int:
    """Print what a command ended with and return the exit code; raise what is a fault of the program."""
    if isinstance(error, (click.exceptions.Abort, KeyboardInterrupt)):
        return _interrupted(signal.SIGINT)
    if isinstance(error, click.ClickException):
        print(f"kit: {_one_line(error.format_message())}{_where_help_is(error)}", file=sys.stderr)
        return error.exit_code
    if isinstance(error, KitError):
        print(f"kit: {printable(str(error)) if error.listed else _one_line(str(error))}", file=sys.stderr)
        return error.exit_code
    if isinstance(error, (MemoryError, PermissionError)) and (known := of_system(error)) is not None:
        print(f"kit: {known}", file=sys.stderr)
        return known.exit_code
    if isinstance(error, (OSError, SystemExit)):
        return _unwritten(error)
    raise error


def main() -> None:
    """Run the command line that the process was started with."""
    code = run()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said; Python's own end would show a traceback
    if code == INTERRUPTED or not _is_needed():
        _end(code)
    sys.exit(code)


def _is_needed() -> bool:
    """Tell whether somebody counts on Python's own end: a thread that is still at work, a profiler, a debugger."""
    others = (t for t in threading.enumerate() if t is not threading.current_thread() and not t.daemon)
    return any(others) or sys.getprofile() is not None or sys.gettrace() is not None


def _end(code: int) -> None:
    """End with this code whatever was interrupted, and leave the memory to the system.

    Where a native library was running Python code just then, Python's own end would take SIGINT's way out instead
    (``unhandled_keyboard_interrupt`` in ``Python/pythonrun.c``), and the parent would see a signal, not 130. And it
    would take every library apart first, object by object: 0.15 s after a model was generated.
    """
    atexit._run_exitfuncs()  # noqa: SLF001 (there is no public name)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _unwritten(error: OSError | SystemExit) -> int:
    """Return the exit code where the output has nowhere to go; raise the error where it is another one."""
    # click and rich answer a broken pipe with exit code 1; shell completion ends with 0
    unread = error.code == 1 if isinstance(error, SystemExit) else error.errno == errno.EPIPE
    if not unread and (isinstance(error, SystemExit) or error.errno != errno.ENOSPC):
        raise error
    with suppress(OSError):
        sys.stdout.close()  # or Python would try once more while it ends
    if unread:
        return UNREAD
    full = of_system(OSError(errno.ENOSPC, ""))
    assert full is not None
    print(f"kit: {full}", file=sys.stderr)
    return full.exit_code


def _where_help_is(error: click.ClickException) -> str:
    if not isinstance(error, click.UsageError) or error.ctx is None or error.ctx.parent is None:
        return ""
    return f" (see kit {error.ctx.info_name} --help)"


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))


def _interrupted(number: int) -> int:
    print("kit: interrupted; what stood in the output folder still stands", file=sys.stderr)
    return INTERRUPTED - signal.SIGINT + number
