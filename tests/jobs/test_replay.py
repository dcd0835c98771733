"""What an attempt is told of earlier ones: all of it, however much it is."""

from __future__ import annotations

import sqlite3

from regend.jsontext import digest, dumps
from regend.limits import INLINE_PAYLOAD_BYTES, MAX_FRAME_BYTES
from tests.jobs.conftest import USER, Engine, Start


async def finish_steps(engine: Engine, job: str, results: list[str]) -> None:
    """Record these results as those of a job's first steps."""

    def write(connection: sqlite3.Connection) -> None:
        connection.executemany(
            "INSERT INTO steps (job, ordinal, name, input_hash, fence, result, started_at, "
            "duration_ms) SELECT number, ?, 'keep', ?, 0, ?, 0, 1 FROM jobs WHERE id = ?",
            [
                (ordinal, digest(["keep", [ordinal]]), result, job)
                for ordinal, result in enumerate(results, 1)
            ],
        )

    await engine.store.write(write)


async def test_a_job_goes_on_although_its_results_fill_more_than_a_frame(start: Start) -> None:
    engine = await start(concurrency=1)
    blocker = await engine.submit("count", steps=1, sleep_s=60)
    await engine.until(blocker, "running")
    texts = [dumps(str(n % 10) * (INLINE_PAYLOAD_BYTES - 2)) for n in range(2600)]
    assert sum(map(len, texts)) > MAX_FRAME_BYTES
    job = await engine.submit("hoard", steps=len(texts) + 1)
    await finish_steps(engine, job, [*texts[:-1], engine.store.blobs.pack(dumps("x" * 100_000))])
    await engine.jobs.cancel(USER, blocker)
    done = await engine.until(job, "completed", timeout_s=60)
    assert done["attempt"] == 1
    assert done["result"] == {
        "characters": (len(texts) - 1) * (INLINE_PAYLOAD_BYTES - 2) + 100_000 + len("fresh"),
        "digest": digest([text[1] for text in texts[:-1]]),
    }


async def test_the_result_of_a_step_that_is_not_finished_is_not_told(engine: Engine) -> None:
    job = await engine.submit("hostile", says="ask_ahead")
    failed = await engine.until(job, "failed", timeout_s=30)
    assert failed["error"]["code"] == "step_not_found"
