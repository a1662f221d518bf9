"""The files that a browser loads for a page: known by name when the server starts, and never from elsewhere."""

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from aiohttp import web

PREFIX: Final = "/assets/"
"""Where such files stand. They are programs of ours and no secret: whoever may not log in gets them too."""
PARTS: Final = PREFIX + "parts/"
"""Where the parts of this package stand."""
PARTS_FOLDER: Final = Path(__file__).parent / "assets"

_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def add_assets(application: web.Application, folder: Path, prefix: str = PREFIX) -> None:
    """Serve each file of `folder` as `prefix` and its name. Nothing else of the disk can be asked for."""
    for path in sorted(folder.iterdir()):
        if path.suffix in _TYPES:
            application.router.add_get(prefix + path.name, _giver_of(path))


def _giver_of(path: Path) -> Callable[[web.Request], Awaitable[web.Response]]:
    content = path.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    # Asked for each time, answered with 304: after an update no browser mixes new and old files.
    headers = {"ETag": tag, "Cache-Control": "no-cache"}

    async def give(request: web.Request) -> web.Response:
        if tag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        return web.Response(body=content, content_type=_TYPES[path.suffix], charset="utf-8", headers=headers)

    return give
