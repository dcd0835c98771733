"""How long a failed attempt waits before the next."""

from __future__ import annotations

BASE_S = 0.5
CAP_S = 60.0


def delay_s(tries: int, random: float) -> float:
    """Return the seconds to wait after `tries` failures: doubling, capped, with jitter.

    Args:
        tries: failures so far, from 1.
        random: a number in [0, 1); spreads the delay over its upper half, so that jobs that
            failed together do not come back together.
    """
    full: float = min(CAP_S, BASE_S * 2.0 ** min(max(tries, 1) - 1, 16))
    return full * (0.5 + random / 2)
