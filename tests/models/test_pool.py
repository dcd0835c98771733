"""Slots, memory and lives of model hosts."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import msgpack
import pytest

from regend import limits
from regend.clock import SystemClock
from regend.errors import Busy, NotFound, Refused, RegendError, Retryable
from regend.home import Home
from regend.models import catalogue, planning, pull
from regend.models.lease import Lease
from regend.models.pool import ModelPool
from tests.models.attempts import kill_host
from tests.models.conftest import small_config
from tests.models.gguf_files import write_gguf

MODEL = "smollm2-135m"


def second_model(home: Home, name: str = "second") -> str:
    """Install the same model under a second name."""
    source = catalogue.find_installed(MODEL, home)
    assert source is not None
    target = catalogue.model_path(home, name)
    os.link(source.path, target)
    record = catalogue.record_path(source.path).read_text().replace(MODEL, name, 1)
    catalogue.record_path(target).write_text(record)
    return name


async def test_a_lease_survives_its_way_to_a_worker(pool: ModelPool) -> None:
    lease = await pool.acquire("")
    packed = msgpack.unpackb(msgpack.packb(lease.to_dict()))
    assert Lease.from_dict(packed) == lease
    assert lease.api_key not in repr(lease) and len(lease.api_key) > 30
    pool.release(lease)


async def test_the_host_is_recognisable_and_holds_no_secret_that_others_could_read(
    pool: ModelPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "of another service")
    lease = await pool.acquire(MODEL, owner="job-1")
    (row,) = pool.running()
    arguments = Path(f"/proc/{row['pid']}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    environment = Path(f"/proc/{row['pid']}/environ").read_bytes().decode()
    assert f"regend model {MODEL}" in arguments
    assert lease.api_key not in arguments + environment
    assert "SOME_API_KEY" not in environment and "PATH=" in environment
    assert row["users"] == ["job-1"] and row["busy_slots"] == 1 and row["state"] == "ready"
    pool.release(lease)


async def test_slots_go_to_the_highest_priority_then_to_the_first(pool: ModelPool) -> None:
    held = [await pool.acquire(""), await pool.acquire("")]
    assert {lease.slot for lease in held} == {0, 1}
    served: list[str] = []

    async def want(name: str, priority: int) -> None:
        lease = await pool.acquire("", priority=priority)
        served.append(name)
        pool.release(lease)

    tasks = []
    for name, priority in (("low 1", 0), ("low 2", 0), ("high", 5)):
        tasks.append(asyncio.create_task(want(name, priority)))
        await asyncio.sleep(0.05)
    assert served == []
    pool.release(held[0])
    await asyncio.gather(*tasks)
    assert served == ["high", "low 1", "low 2"]
    pool.release(held[1])


async def test_a_waiter_that_gives_up_takes_no_slot_with_it(pool: ModelPool) -> None:
    held = [await pool.acquire(""), await pool.acquire("")]
    waiting = asyncio.create_task(pool.acquire(""))
    await asyncio.sleep(0.05)
    waiting.cancel()
    pool.release(held[0])
    await asyncio.wait([waiting])
    async with asyncio.timeout(20):
        pool.release(await pool.acquire(""))
    pool.release(held[1])
    pool.release(held[1])
    assert pool.running()[0]["busy_slots"] == 0


async def until_no_host_runs(pool: ModelPool) -> None:
    async with asyncio.timeout(20):
        while pool.running():
            await asyncio.sleep(0.02)


async def test_a_dead_host_is_noticed_and_its_leases_are_void(pool: ModelPool) -> None:
    lease = await pool.acquire("")
    kill_host(pool)
    await until_no_host_runs(pool)
    fresh = await pool.acquire("")
    assert fresh.host_id != lease.host_id
    pool.release(lease)
    assert pool.running()[0]["busy_slots"] == 1, "a void lease takes nothing from its successor"
    pool.release(fresh)


async def test_a_child_that_is_no_model_host_fails_all_who_wait_and_its_words_are_told(
    pool: ModelPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "python"
    monkeypatch.setattr(sys, "executable", str(child))
    for said in ("Hello, how are you?", "{}", "[]", '{"port": null}', "x" * 100_000, r"\377"):
        child.write_text(f"#!/bin/sh\necho 'wrong door' >&2; printf '{said}\\n'; exec sleep 60\n")
        child.chmod(0o700)
        async with asyncio.timeout(20):
            results = await asyncio.gather(
                pool.acquire(""), pool.acquire(""), return_exceptions=True
            )
        for result in results:
            assert isinstance(result, RegendError) and result.code == "model_host_broken"
            assert "wrong door" in result.message
        assert pool.running() == []


async def test_a_machine_without_a_library_that_llama_needs_is_told_what_to_install(
    pool: ModelPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken" / "xllamacpp.py"
    broken.parent.mkdir()
    broken.write_text("raise ImportError('libgomp.so.1: cannot open shared object file')\n")
    start = "import sys; sys.path.insert(0, sys.argv.pop(1)); from regend.models import host; "
    child = tmp_path / "python"
    child.write_text(
        f"#!/bin/sh\nshift 3\nexec {sys.executable} -c "
        f"'{start}sys.exit(host.main(sys.argv[1:]))' {broken.parent} \"$@\"\n"
    )
    child.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(child))
    with pytest.raises(RegendError) as caught:
        await pool.acquire("")
    assert caught.value.code == "model_engine_broken"
    assert "libgomp.so.1" in caught.value.message
    assert "apt install libgomp1" in (caught.value.hint or "")


def plan_little(monkeypatch: pytest.MonkeyPatch, planned_bytes: int) -> None:
    """Make hosts take more than was planned for them, as one that leaks does."""
    monkeypatch.setattr(limits, "HOST_MEMORY_LOOK_S", 0.05)
    monkeypatch.setattr(limits, "HOST_MEMORY_MARGIN_BYTES", 0)
    monkeypatch.setattr(planning, "plan_memory", lambda *_: planned_bytes)


async def test_a_host_that_holds_beyond_all_measure_is_ended_under_its_users(
    pool: ModelPool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    plan_little(monkeypatch, limits.MIB)
    lease = await pool.acquire("")
    await until_no_host_runs(pool)
    assert "ends at once" in caplog.text
    pool.release(lease)


async def test_a_host_that_holds_too_much_is_lent_no_more_and_ends_with_its_last_lease(
    pool: ModelPool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lease = await pool.acquire("")
    held = int(Path(f"/proc/{pool.running()[0]['pid']}/statm").read_text().split()[1])
    kill_host(pool)
    await until_no_host_runs(pool)
    plan_little(monkeypatch, held * os.sysconf("SC_PAGE_SIZE") // 2)

    lease = await pool.acquire("")
    async with asyncio.timeout(20):
        while "ends when nobody uses it" not in caplog.text:
            await asyncio.sleep(0.02)
    waiting = asyncio.create_task(pool.acquire(""))
    await asyncio.sleep(0.3)
    assert not waiting.done() and pool.running()[0]["busy_slots"] == 1
    pool.release(lease)
    async with asyncio.timeout(20):
        fresh = await waiting
    assert fresh.host_id != lease.host_id
    pool.release(fresh)


async def test_a_frozen_host_is_replaced(pool: ModelPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regend.limits.HOST_CONNECT_TIMEOUT_S", 0.5)
    lease = await pool.acquire("")
    pool.release(lease)
    (row,) = pool.running()
    os.kill(row["pid"], signal.SIGSTOP)
    await asyncio.sleep(0.2)  # its threads stop one by one, and one of them may still answer
    fresh = await pool.acquire("")
    assert fresh.host_id != lease.host_id
    pool.release(fresh)


async def test_an_idle_model_is_unloaded_and_loaded_again_by_need(model_home: Home) -> None:
    pool = ModelPool(model_home, small_config(idle_unload_s=0.2), SystemClock())
    lease = await pool.acquire("")
    await asyncio.sleep(0.6)
    assert len(pool.running()) == 1, "a model in use is never unloaded"
    pool.release(lease)
    async with asyncio.timeout(10):
        while pool.running():
            await asyncio.sleep(0.02)
    pool.release(await pool.acquire(""))
    await pool.close()


async def test_two_models_share_the_budget_by_turns(model_home: Home) -> None:
    other = second_model(model_home)
    config = small_config(memory_mb=800, slots=1)
    pool = ModelPool(model_home, config, SystemClock())
    first = await pool.acquire(MODEL)
    waiting = asyncio.create_task(pool.acquire(other))
    await asyncio.sleep(0.3)
    assert not waiting.done() and [row["name"] for row in pool.running()] == [MODEL]
    pool.release(first)
    async with asyncio.timeout(30):
        second = await waiting
    assert [row["name"] for row in pool.running()] == [other]
    pool.release(second)
    await pool.close()


async def test_whoever_gives_up_waiting_for_memory_lets_those_behind_it_have_their_turn(
    model_home: Home,
) -> None:
    other = second_model(model_home)
    pool = ModelPool(model_home, small_config(memory_mb=800), SystemClock())
    pool.release(await pool.acquire(other))  # looked through once, it is in line at once
    held = await pool.acquire(MODEL)
    first = asyncio.create_task(pool.acquire(other))
    await asyncio.sleep(0.3)
    behind = asyncio.create_task(pool.acquire(MODEL))
    await asyncio.sleep(0.3)
    assert not first.done() and not behind.done()
    first.cancel()
    async with asyncio.timeout(20):
        pool.release(await behind)
    pool.release(held)
    await pool.close()


async def test_no_more_idle_models_are_ended_than_make_the_room_that_is_needed(
    model_home: Home,
) -> None:
    names = [MODEL, second_model(model_home), second_model(model_home, "third")]
    pool = ModelPool(model_home, small_config(memory_mb=1100, slots=1), SystemClock())
    held = [await pool.acquire(name) for name in names[:2]]
    for lease in held:
        pool.release(lease)
    waiting = [asyncio.create_task(pool.acquire(names[2])) for _ in range(2)]
    async with asyncio.timeout(30):  # either: whose file was checked first
        done, left = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert [row["name"] for row in pool.running()] == names[1:]
    for one in (*done, *left):
        pool.release(await one)
    await pool.close()


async def test_a_host_that_is_ended_before_its_process_runs_does_not_live_on(
    model_home: Home,
) -> None:
    pool = ModelPool(model_home, small_config(), SystemClock())
    waiting = asyncio.create_task(pool.acquire(""))
    while not pool.running():
        await asyncio.sleep(0)
    assert pool.running()[0]["pid"] is None
    await pool.unload(MODEL)
    async with asyncio.timeout(20):
        with pytest.raises(Retryable):
            await waiting
        await until_no_host_runs(pool)
    await pool.close()


async def test_two_models_run_at_once_where_memory_allows(model_home: Home) -> None:
    other = second_model(model_home)
    pool = ModelPool(model_home, small_config(memory_mb=3000, slots=1), SystemClock())
    leases = await asyncio.gather(pool.acquire(MODEL), pool.acquire(other))
    assert len(pool.running()) == 2
    for lease in leases:
        pool.release(lease)
    await pool.close()


async def test_the_context_shrinks_to_fit_and_a_model_beyond_the_budget_is_refused(
    model_home: Home,
) -> None:
    pool = ModelPool(model_home, small_config(memory_mb=500), SystemClock())
    lease = await pool.acquire("")
    assert lease.context_tokens == 2048
    pool.release(lease)
    await pool.close()
    tiny = ModelPool(model_home, small_config(memory_mb=100), SystemClock())
    with pytest.raises(Refused) as caught:
        await tiny.acquire("")
    assert caught.value.code == "model_too_large"
    await tiny.close()


async def test_a_model_that_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.make()
    pool = ModelPool(home, small_config(), SystemClock())
    with pytest.raises(NotFound) as missing:
        await pool.acquire(MODEL)
    assert missing.value.code == "model_not_installed" and f"pull {MODEL}" in missing.value.hint
    await pool.require(MODEL)  # known, though it has to be pulled first
    with pytest.raises(NotFound) as unknown:
        await pool.acquire("smolm2")
    assert unknown.value.code == "model_unknown" and MODEL in unknown.value.hint
    await pool.close()


async def test_a_file_that_llama_cannot_load_fails_all_who_wait_and_nothing_loops(
    tmp_path: Path,
) -> None:
    home = Home.at(tmp_path / "home")
    home.make()
    entry = catalogue.resolve(str(write_gguf(tmp_path / "hollow.gguf")), home)
    await pull.pull(entry, home)
    pool = ModelPool(home, small_config(), SystemClock())
    results = await asyncio.gather(
        pool.acquire("hollow"), pool.acquire("hollow"), return_exceptions=True
    )
    for result in results:
        assert isinstance(result, RegendError)
        assert result.code in ("model_load_failed", "model_host_died")
    await asyncio.sleep(0.2)
    assert pool.running() == []
    await pool.close()


async def test_a_tampered_model_is_refused_before_it_is_loaded(model_home: Home) -> None:
    path = catalogue.model_path(model_home, MODEL)
    content = bytearray(path.read_bytes())
    path.unlink()
    content[50_000_000] ^= 0x40
    path.write_bytes(content)
    pool = ModelPool(model_home, small_config(), SystemClock())
    with pytest.raises(Refused) as caught:
        await pool.acquire("")
    assert caught.value.code == "model_tampered" and pool.running() == []
    await pool.close()


async def test_closing_ends_hosts_that_are_still_loading_and_refuses_who_waits(
    model_home: Home,
) -> None:
    pool = ModelPool(model_home, small_config(), SystemClock())
    waiting = asyncio.create_task(pool.acquire(""))
    while not pool.running():
        await asyncio.sleep(0.01)
    await pool.close()
    with pytest.raises(Busy):
        await waiting
    assert pool.running() == []
    with pytest.raises(Busy):
        await pool.acquire("")


async def test_a_host_dies_with_its_parent(model_home: Home) -> None:
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from regend.home import Home\n"
        "from regend.clock import SystemClock\n"
        "from regend.models.pool import ModelPool\n"
        "from tests.models.conftest import small_config\n"
        "async def main():\n"
        "    pool = ModelPool(Home.at(Path(sys.argv[1])), small_config(), SystemClock())\n"
        "    await pool.acquire('')\n"
        "    print(pool.running()[0]['pid'], flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, str(model_home.data_dir)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(10):
        while Path(f"/proc/{child}/cmdline").exists() and _runs(child):
            await asyncio.sleep(0.02)


def _runs(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
