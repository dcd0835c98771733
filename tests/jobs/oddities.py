"""An agent whose results stand at the edge of JSON."""

from __future__ import annotations

from typing import Any

from regend.worker.runtime import Runtime


def odd_value(name: str) -> Any:
    """Return the value that is called so; `deep-N` is a list in a list, N times."""
    if name.startswith("deep-"):
        value: Any = 1
        for _ in range(int(name.removeprefix("deep-"))):
            value = [value]
        return value
    return VALUES[name]


VALUES: dict[str, Any] = {
    "2**64": 2**64,
    "-2**64": -(2**64),
    "2**53+1": 2**53 + 1,
    "a hundred digits": 10**99 + 1,
    "smallest": 5e-324,
    "text": "a\x00b \x7f \u2028 \uffff \U0001f600 नमस्ते \u202e",
    "keys": {"": 1, "\x00": 2, "__proto__": 3, "constructor": 4},
}


def returns(context: Runtime) -> dict[str, Any]:
    """Return the value that the input names from a step and from the job; `tell` says it too."""
    value = odd_value(context.input["name"])
    if context.input.get("tell"):
        context.emit("tool:result:v1", {"value": value})
    return {"value": context.step("make", lambda: value)}


def lengthy(context: Runtime) -> dict[str, Any]:
    """Return a short text from one step, and one of so many characters from the next."""
    context.step("short", lambda: "short")
    context.step("long", lambda: "x" * context.input["characters"])
    return {}
