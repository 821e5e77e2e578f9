"""The templates: text is laid out there, and decided elsewhere."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from jinja2 import Environment, Template

Filter: TypeAlias = "Callable[[Any], object]"


def render(template: str, context: object, filters: tuple[Filter, ...], shown: Filter | None = None) -> str:
    """Fill a template of ``templates/`` with the fields of a dataclass; a name that is missing is an error.

    A filter is called in the template as it is here. In templates of HTML every value is escaped; ``shown`` is asked
    before for what stands for it.
    """
    return compiled(template, filters, shown).render(vars(context))


def compiled(template: str, filters: tuple[Filter, ...], shown: Filter | None = None) -> Template:
    """Return a template, which is compiled once."""
    return _environment(folder(), filters, shown).get_template(template)


def folder() -> Path:
    """Return the folder of the templates: in the installed package, or at the root of a checkout."""
    package = Path(__file__).parent
    installed = package / "templates"
    return installed if installed.is_dir() else package.parent / "templates"


@functools.cache
def _environment(templates: Path, filters: tuple[Filter, ...], shown: Filter | None) -> Environment:
    """Return what holds the compiled templates: compiling takes a hundred times as long as filling them."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(templates),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=select_autoescape(("html.j2",)),  # texts for protobuf quote by its rules
        finalize=shown,
    )
    environment.filters.update({found.__name__: found for found in filters})
    return environment
