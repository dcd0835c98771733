"""The Python client of the daemon: calls that return, and a stream that does not break.

    async with Client() as client:
        job = await client.jobs.create("research", {"question": "…"})
        async with client.stream(jobs=[job["id"]], after_seq=0) as stream:
            async for item in stream:
                ...

A stream survives lost connections, restarts of the daemon and its own slowness. What it keeps to
is written here once. `protocol.StreamProtocol` decides, without sockets, clock or randomness: it
is told what happened (`opened`, `received`, `closed`, `timer`, …) and returns what to do, as a
list of actions. `stream.Stream` does it with asyncio. The class of the same name in
`regend/web/client.js` follows the same rules in the browser, and `tests/client` holds both to the
same scripts. The rules:

1.  Position. `seq` of the last item handed out, in the history named `epoch`. Within one history
    it only grows. An event at or below it is a duplicate and is dropped.
2.  Hello is the first frame of every connection and carries the position. `after_seq: null`
    follows from now on, which is the `seq` of the first answer; 0 asks for all that is kept.
    Commands go out only after the daemon's hello.
3.  Gap. A hello with a gap owes a snapshot; until it comes the position stays, so a connection
    lost in between asks again. Events before the owed snapshot break the contract. With the
    snapshot the position is `gap.to`: both ends of a gap belong to it.
4.  Restart. Another epoch, or a newest `seq` below our position, means that the history is
    another one. `Restarted` is handed out and the stream connects again: from 0, or, where it
    followed from now on, from the `seq` of that hello.
5.  Commands are kept until answered, matched by `id`, and sent again with the same id and the
    same idempotency key on every new connection (see `commands`). A second answer is ignored.
6.  Subscriptions are state: hello carries the present set. `subscribe` adds jobs from the present
    position on (their earlier events are a page of REST). A refused `subscribe` is taken back.
    A stream that follows all jobs needs no `subscribe` and cannot leave one out.
7.  Close codes. 4401: fail with NotAuthenticated. 4429: wait at least `flood_s`, or what the
    reason says as `{"retry_after_s": N}`. 4008: go on from the reason's `{"after_seq": N}`, but
    never beyond our own position: what we have not seen we ask for again. 1002, 1003, 1007 to
    1010 and other codes from 4000 on: a violation. All others: connect again.
8.  Backoff. A wait is drawn evenly from `first_s` up to a ceiling that doubles from twice
    `first_s` to `last_s`. An item, an answer, or 10 s of connection begin anew.
9.  Violations (not JSON, not a frame of the contract) cut the connection; after five in a row
    without progress the stream fails, for client and daemon do not fit.
10. Unknown operations are ignored. Events of unknown type are handed on: the program that reads
    may be newer than this file.
11. Memory. A program that does not read while it waits for an answer must get the answer and
    must not make us hold events without bound: `hold` drops events without moving the position,
    `release` connects again from it. (Python only: a browser hands out at once.)
"""

from __future__ import annotations

from regend.client.backoff import Backoff
from regend.client.items import Gap, Item, Restarted, Snapshot, StreamEvent
from regend.client.rest import Client
from regend.client.stream import Stream

__all__ = [
    "Backoff",
    "Client",
    "Gap",
    "Item",
    "Restarted",
    "Snapshot",
    "Stream",
    "StreamEvent",
]
