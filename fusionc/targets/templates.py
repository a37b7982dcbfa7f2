"""The templates of generated files."""

from __future__ import annotations

from functools import cache

import jinja2

from fusionc.resources import resource


@cache
def template(name: str) -> jinja2.Template:
    """A template, by its path in `templates/`. A name that it does not define is a mistake."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(resource("templates"))),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    return environment.get_template(name)
