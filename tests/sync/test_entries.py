"""Entries: whatever was changed, cut, forged or is of another mesh is refused by itself."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from regend.errors import BadInput, Refused, RegendError, TooLarge
from regend.sync import authoring
from regend.sync.entries import ENTRY_BYTES, VERSION, Entry, sign, verify
from regend.sync.payloads import Cut, Rename
from tests.sync.persons import AT_MS, added, entropy, identity, mesh

ANNA, BEN = identity("anna"), identity("ben")


def one_of_each() -> list[Entry]:
    roster = mesh("anna", "ben")
    cuts = {b"12345678": Cut(7, b"h" * 32), b"01234567": Cut(0, bytes(32))}
    made = [
        added(roster, "anna", "cara"),
        authoring.revoke(roster, ANNA, BEN.id, cuts, AT_MS, entropy()),
        authoring.rename(roster, ANNA, BEN.id, "बेन का फ़ोन", AT_MS),
        authoring.rekey(roster, BEN, AT_MS, entropy()),
    ]
    return [*mesh("anna").entries.values(), *(entry for entry in made if entry)]


ENTRIES = one_of_each()


def signed(fields: Any, key: SigningKey = ANNA.signing_key) -> bytes:
    """Return an entry with any body, signed as entries are."""
    body = msgpack.packb(fields)
    packed: bytes = msgpack.packb((body, key.sign(b"regend roster entry\0" + body).signature))
    return packed


def fields_of(entry: Entry) -> list[Any]:
    fields: list[Any] = msgpack.unpackb(msgpack.unpackb(entry.blob)[0])
    return fields


def refusal(blob: bytes, mesh: bytes | None = None) -> str:
    with pytest.raises(RegendError) as refused:
        verify(blob, mesh)
    return refused.value.code


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: type(entry.payload).__name__)
def test_what_was_signed_is_read_the_same(entry: Entry) -> None:
    assert verify(entry.blob, entry.mesh) == entry
    assert (
        signed(fields_of(entry), BEN.signing_key if entry.author_id == BEN.id else ANNA.signing_key)
        == entry.blob
    )


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ENTRIES), st.data())
def test_any_flipped_bit_is_noticed(entry: Entry, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, 8 * len(entry.blob) - 1))
    changed = bytearray(entry.blob)
    changed[place // 8] ^= 1 << place % 8
    assert refusal(bytes(changed)) in ("entry_forged", "entry_malformed", "entry_newer")


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: type(entry.payload).__name__)
def test_any_cut_is_noticed(entry: Entry) -> None:
    for length in range(0, len(entry.blob), 5):
        assert refusal(entry.blob[:length]) == "entry_malformed"
    assert refusal(entry.blob + b"\0") == "entry_malformed"


@given(st.binary(max_size=200))
def test_what_is_no_entry_is_refused(blob: bytes) -> None:
    assert refusal(blob) in ("entry_malformed", "entry_newer")


def test_an_entry_signed_by_another_is_forged() -> None:
    assert refusal(signed(fields_of(ENTRIES[1]), BEN.signing_key)) == "entry_forged"


def test_an_entry_of_another_mesh_is_refused() -> None:
    other = mesh("ben").mesh
    assert refusal(ENTRIES[1].blob, other) == "entry_of_another_mesh"
    assert refusal(ENTRIES[0].blob, other) == "entry_of_another_mesh"


def test_an_entry_over_the_bound_is_refused_before_it_is_read() -> None:
    with pytest.raises(TooLarge) as refused:
        verify(b"\x92" * (ENTRY_BYTES + 1))
    assert refused.value.code == "entry_too_large"


def test_an_entry_of_a_newer_program_says_to_upgrade() -> None:
    fields = fields_of(ENTRIES[1])
    for newer in ([VERSION + 1, "anything"], [fields[0], "promote", *fields[2:]]):
        with pytest.raises(Refused) as refused:
            verify(signed(newer))
        assert refused.value.code == "entry_newer" and "Upgrade" in refused.value.hint


def odd_bodies() -> list[tuple[str, Any]]:
    first, add, revoke, rename, rekey = (fields_of(entry) for entry in ENTRIES)

    def put(fields: list[Any], value: Any, *place: int) -> list[Any]:
        whole: list[Any] = msgpack.unpackb(msgpack.packb(fields))
        target = whole
        for step in place[:-1]:
            target = target[step]
        target[place[-1]] = value
        return whole

    boxes = rekey[6][0][1]
    return [
        ("parents of a genesis", put(first, [bytes(16)], 4)),
        ("a mesh in a genesis", put(first, bytes(16), 2)),
        ("a genesis for another", put(first, add[6][0], 6, 0)),
        ("no parents", put(add, [], 4)),
        ("a parent twice", put(add, add[4] * 2, 4)),
        ("unsorted parents", put(add, [b"b" * 16, b"a" * 16], 4)),
        ("a time before 1970", put(add, -1, 5)),
        ("a time that is a truth value", put(add, True, 5)),
        ("another's certificate", put(add, BEN.certificate, 6, 0, 2)),
        ("a sealing key that is none", put(add, bytes(32), 6, 0, 1)),
        ("an empty name", put(add, "", 6, 0, 3)),
        ("a name that is no text", put(add, b"name", 6, 0, 3)),
        ("a name that moves the cursor", put(rename, "a\x1b[2J", 6, 1)),
        ("a long name", put(rename, "x" * 257, 6, 1)),
        ("version 0", put(rename, 0, 6, 2)),
        ("too few sealed keys", put(add, b"", 6, 2)),
        ("an epoch key twice", put(add, add[6][1] * 2, 6, 1)),
        ("unsorted cuts", put(revoke, revoke[6][1][::-1], 6, 1)),
        ("a short head", put(revoke, b"", 6, 1, 0, 2)),
        ("a negative cut", put(revoke, -1, 6, 1, 0, 1)),
        ("no boxes", put(rekey, [], 6, 0, 1)),
        ("unsorted boxes", put(rekey, boxes[::-1], 6, 0, 1)),
        ("a short box", put(rekey, b"box", 6, 0, 1, 0, 1)),
        ("a map", {"version": 1}),
        ("an eighth field", [*add, 1]),
        ("a kind that is no text", put(add, 3, 1)),
    ]


ODD = odd_bodies()


@pytest.mark.parametrize("body", [body for _, body in ODD], ids=[what for what, _ in ODD])
def test_a_signed_entry_of_another_form_is_refused(body: Any) -> None:
    key = BEN.signing_key if isinstance(body, list) and body[3] == BEN.device.verify_key else None
    assert refusal(signed(body, key or ANNA.signing_key)) == "entry_malformed"


def test_what_others_would_refuse_cannot_be_made() -> None:
    with pytest.raises(BadInput) as refused:
        sign(ANNA.signing_key, bytes(16), (bytes(16),), AT_MS, Rename(BEN.id, "x" * 300, 1))
    assert refused.value.code == "entry_unfit"


def test_an_entry_shows_no_key_when_it_is_printed() -> None:
    assert repr(ENTRIES[0].payload) not in repr(ENTRIES[0])
    assert "blob" not in repr(dataclasses.replace(ENTRIES[0], blob=b""))
