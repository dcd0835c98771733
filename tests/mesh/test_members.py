"""A device is found by its name or by the beginning of its id, or it is said what to write."""

from __future__ import annotations

import pytest

from regend.errors import Conflict, NotFound
from regend.mesh.members import named
from regend.sync.authoring import revoke
from tests.sync.persons import AT_MS, entropy, identity, mesh


def test_a_device_is_named_by_its_name_or_its_id() -> None:
    roster = mesh("Laptop", "Phone")
    phone = identity("Phone").id
    assert named(roster, "phone") == named(roster, phone.hex()[:8].upper()) == phone


def test_the_name_of_a_device_that_is_out_names_it_no_more() -> None:
    roster = mesh("Laptop", "Phone")
    phone = identity("Phone").id
    out = revoke(roster, identity("Laptop"), phone, {}, AT_MS, entropy("out"))
    roster = roster.merged([out])
    assert named(roster, phone.hex()) == phone
    with pytest.raises(NotFound) as refused:
        named(roster, "Phone")
    assert "regend devices list" in (refused.value.hint or "")


def test_an_id_that_several_begin_with_is_asked_for_again() -> None:
    names = [f"device {number}" for number in range(17)]  # two of them begin with one digit
    roster = mesh(*names)
    firsts = [identity(name).id.hex()[0] for name in names]
    shared = next(one for one in firsts if firsts.count(one) > 1)
    with pytest.raises(Conflict) as refused:
        named(roster, shared)
    assert "regend devices list" in (refused.value.hint or "")
