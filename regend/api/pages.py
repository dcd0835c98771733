"""What stands beside the interface: the browser's scripts, and a text that says what this is.

Scripts are asked for again each time and answered with 304 where they are the same: so a page
never mixes those of two versions, and a restart with a newer one is seen at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterator

from aiohttp import web

from regend import __version__
from regend.web import files

Handler = Callable[[web.Request], Awaitable[web.Response]]

_GREETING = f"""\
regend {__version__} runs agent jobs on local models, on this device.

There is no page to work in here yet. In a terminal:

  regend status                     what it is doing
  regend library add ~/Documents    give it documents
  regend research "A question?"     an answer from them, with its sources
  regend jobs list                  what was asked so far
  regend --help                     everything else

For programs:

  /api/v1/openapi.json              the interface, described by itself
  /client.js                        its stream, for a page of this address
  /v1                               what speaks OpenAI's protocol
  /health                           whether it works
"""


def routes() -> Iterator[web.RouteDef]:
    """Yield the routes; they need no token, for they tell nothing of anybody."""
    yield web.get("/", _greet)
    for path, content in files().items():
        yield web.get(path, _script(content))


async def _greet(request: web.Request) -> web.Response:
    return web.Response(text=_GREETING)


def _script(content: bytes) -> Handler:
    etag = hashlib.sha256(content).hexdigest()[:32]
    headers = {"ETag": f'"{etag}"', "Cache-Control": "no-cache"}

    async def answer(request: web.Request) -> web.Response:
        if any(known.value in (etag, "*") for known in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(
            body=content, content_type="text/javascript", charset="utf-8", headers=headers
        )

    return answer
