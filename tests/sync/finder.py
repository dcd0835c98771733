"""A device that only looks: runs `Discovery` in a host of a test and tells what it finds.

One JSON line goes out for each change; a JSON line in (`{"advertise": …}`, `{"know": …}`,
`"withdraw"`, `"report"`) is carried out. The end of its input ends it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from regend.clock import SystemClock
from regend.sync.discovery import Discovery


def tell(**values: Any) -> None:
    print(json.dumps(values), flush=True)


def told(discovery: Discovery) -> list[dict[str, Any]]:
    return [
        {
            "instance": one.instance,
            "addresses": list(one.addresses),
            "port": one.port,
            "device": one.device.hex() if one.device else None,
            "invite": one.invite,
        }
        for one in discovery.found
    ]


async def main() -> None:
    discovery = Discovery(SystemClock(), lambda: tell(found=told(discovery)), look_s=0.5)
    await discovery.start()
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    while line := await lines.readline():
        match json.loads(line):
            case {"advertise": {"port": port, "device": device, "invite": invite}}:
                discovery.advertise(port, bytes.fromhex(device) if device else None, invite)
            case {"know": {"devices": devices, "keys": keys}}:
                discovery.know(
                    [bytes.fromhex(one) for one in devices], [bytes.fromhex(one) for one in keys]
                )
            case "withdraw":
                discovery.withdraw()
            case "report":
                tell(report=discovery.report().to_dict())
    await discovery.stop()


if __name__ == "__main__":
    asyncio.run(main())
