"""Endpoints and the module outputs that stand for them.

edgeHub routes the gateway's outputs on: `$upstream` leaves by the output `upstream`, the input I of module M by the
output `M.I`:

    FROM /messages/modules/gateway/outputs/upstream INTO $upstream
    FROM /messages/modules/gateway/outputs/detector.raw INTO BrokeredEndpoint("/modules/detector/inputs/raw")

The name must be writable in such a route (edgehub.md §2.2), and two endpoints must never share one. So all but
letters, digits and `_ - ~` (and `.` in the input) is written as `%` and two hex digits of its UTF-8; the first dot
parts the two names. A name that would read as a number (module `1`, input `5`) has its last character escaped.
"""

import re
from typing import Final
from urllib.parse import quote, unquote

from edgewire.errors import UsageError
from edgewire.message import UPSTREAM, Endpoint, EndpointKind, module_input

UPSTREAM_OUTPUT: Final = "upstream"
_NUMBER: Final = re.compile(r"-?[0-9]*\.[0-9]+([eE][+-]?[0-9]+)?")


def output_name(endpoint: Endpoint) -> str:
    """The output that stands for `endpoint`. Raises UsageError for one that is not reached through edgeHub."""
    if endpoint == UPSTREAM:
        return UPSTREAM_OUTPUT
    if endpoint.kind is not EndpointKind.MODULE:
        raise UsageError(f"{endpoint} is not reached through edgeHub")
    name = f"{quote(endpoint.name or '', safe='').replace('.', '%2E')}.{quote(endpoint.input or '', safe='')}"
    return f"{name[:-1]}%{ord(name[-1]):02X}" if _NUMBER.fullmatch(name) else name


def read_output_name(name: str) -> Endpoint:
    """The endpoint that an output stands for: the inverse of `output_name`. Raises UsageError for any other name."""
    if name == UPSTREAM_OUTPUT:
        return UPSTREAM
    module, dot, input_name = name.partition(".")
    if not dot:
        raise UsageError(f"'{name}' is no output of the gateway: it is neither '{UPSTREAM_OUTPUT}' nor 'module.input'")
    return module_input(unquote(module), unquote(input_name))
