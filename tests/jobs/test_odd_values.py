"""Values at the edge of JSON, from clients: kept without loss, or refused with their place."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regend.errors import BadInput
from regend.jsontext import canonical, check, digest, dumps, loads
from regend.limits import MAX_INTEGER, MAX_JSON_DEPTH
from tests.jobs.conftest import Engine

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=30,
)


@given(VALUES)
def test_what_json_can_carry_comes_back_the_same(value: Any) -> None:
    assert loads(dumps(value)) == value
    assert loads(canonical(value)) == value
    check(value)


@given(st.dictionaries(TEXTS, VALUES))
def test_a_digest_does_not_depend_on_the_order_of_keys(value: dict[str, Any]) -> None:
    assert digest(value) == digest(dict(reversed(value.items())))


@settings(max_examples=300)
@given(st.binary())
def test_any_bytes_are_parsed_or_refused_and_never_raise_otherwise(body: bytes) -> None:
    try:
        check(loads(body))
    except BadInput as error:
        assert error.code.startswith("json_")


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": NaN}',
        b'{"a": [1, -Infinity]}',
        b'{"a": 1e400}',
        b'{"a": 18446744073709551616}',
        b'{"a": -9223372036854775809}',
        b'{"a": ' + b"9" * 10_000 + b"}",
        b'"\\ud800"',
        b'{"\\udfff": 1}',
        b'"\xff\xfe"',
        b'"\xe0\xa4"',
        b'{"a": 1',
        b"",
        b"\x00",
        b"[" * 10_000 + b"]" * 10_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b"[" * (MAX_JSON_DEPTH + 2) + b"]" * (MAX_JSON_DEPTH + 2),
    ],
)
def test_what_would_be_lost_on_its_way_is_refused(body: bytes) -> None:
    with pytest.raises(BadInput) as refused:
        loads(body)
    assert refused.value.message


def test_what_no_json_can_hold_is_refused_before_it_is_stored() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    for value in (math.nan, math.inf, "\ud800", {"a": "\udfff"}, object(), {1, 2}, b"x", deep):
        for write in (dumps, canonical):
            with pytest.raises(BadInput):
                write(value)


async def test_the_edges_of_json_survive_a_job_from_its_input_to_its_history(
    engine: Engine,
) -> None:
    odd = {
        "text": "a\u0000b \u2028 \U0001f600 नमस्ते \uffff",
        "largest": MAX_INTEGER,
        "smallest": -MAX_INTEGER,
        "tiny": 5e-324,
        "": [],
        "deep": json.loads("[" * 80 + "]" * 80),
    }
    job = await engine.submit("count", steps=1, odd=odd)
    done = await engine.until(job, "completed")
    assert done["input"]["odd"] == odd
    large = await engine.submit("count", steps=1, odd=odd, ballast="अ" * 50_000)
    assert (await engine.until(large, "completed"))["input"]["odd"] == odd
