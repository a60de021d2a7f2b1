"""The API against a real gateway, a real scheduler and a real worker: what it says, and what it does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest
from msgspec import structs

from nexus_sched.adapters.redis import RedisAuditStore, RedisWorkerStore
from nexus_sched.config.schema import HttpAuthSection
from nexus_sched.control.trail import Trail
from nexus_sched.control.verify import verify
from nexus_sched.model.worker import WorkerOffer
from nexus_sched.testing.gateway import gateway_config, running_gateway
from nexus_sched.testing.servers import VALKEY
from tests.integration.application import paced
from tests.integration.shard import Shard, eventually, leading, working

BECAUSE = {"reason": "a test"}


@pytest.fixture(autouse=True)
def only_valkey(server) -> None:
    if server.kind != VALKEY:
        pytest.skip("the stores of both servers have tests of their own")


@pytest.fixture
async def api(shard: Shard) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway that lets this machine do everything."""
    config = gateway_config(shard.url, shard.pool, http_auth=HttpAuthSection(insecure_no_auth=True))
    async with running_gateway(config) as composed:
        assert composed.http is not None
        async with httpx.AsyncClient(base_url=composed.http.url, timeout=20.0) as client:
            yield client


@contextlib.asynccontextmanager
async def serving(shard: Shard, slots: int = 1) -> AsyncIterator[None]:
    async with leading(shard), working(shard, paced(1.0), "w1", slots):
        await eventually(lambda: seen(shard))
        yield


async def seen(shard: Shard) -> bool:
    frame = await shard.frame()
    return frame is not None and frame.workers_accepting > 0


async def state_of(api: httpx.AsyncClient, task_id: str) -> str:
    return (await api.get(f"/v1/tasks/{task_id}")).json()["state"]


async def ended(api: httpx.AsyncClient, task_id: str) -> bool:
    return await state_of(api, task_id) not in ("queued", "running")


async def estimated(api: httpx.AsyncClient) -> bool:
    """Whether the scheduler has learned how long such a task takes."""
    eta = (await api.post("/v1/tasks", json={"type": "work", "args": [1.0]})).json()["eta"]
    return eta is not None and eta["finish"] is not None


async def submitted(api: httpx.AsyncClient, **fields: object) -> str:
    answer = await api.post("/v1/tasks", json={"type": "work", "args": [1.0], **fields})
    assert answer.status_code == 202, answer.text
    return answer.json()["task_id"]


async def test_task_is_submitted_estimated_followed_and_explained(shard: Shard, api: httpx.AsyncClient):
    async with serving(shard):
        first = await submitted(api)
        await eventually(lambda: ended(api, first))
        await eventually(lambda: estimated(api))
        answer = (await api.post("/v1/tasks", json={"type": "work", "args": [1.0], "task_id": "mine"})).json()
        assert (answer["task_id"], answer["duplicate"]) == ("mine", False)
        assert answer["eta"]["finish"]["p50_s"] <= answer["eta"]["finish"]["p95_s"]
        await eventually(lambda: ended(api, "mine"))
        assert await state_of(api, "mine") == "succeeded"
        told = (await api.get("/v1/tasks/mine/explain")).json()
        assert told["sentence"].startswith("placed on w1")
        assert (await api.get("/v1/eta", params={"task_id": "mine"})).json()["eta"]["task_id"] == "mine"
        unknown = await api.get("/v1/tasks/nobody")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "TASK_UNKNOWN")
        assert unknown.headers["content-type"] == "application/problem+json"


async def test_same_idempotency_key_is_one_task_whichever_gateway_is_asked(shard: Shard, api: httpx.AsyncClient):
    config = gateway_config(shard.url, shard.pool, http_auth=HttpAuthSection(insecure_no_auth=True))
    async with running_gateway(config) as other:
        assert other.http is not None
        body = {"type": "work", "args": [1.0], "eta": False}
        async with httpx.AsyncClient(base_url=other.http.url) as second:
            answers = [
                (await client.post("/v1/tasks", json=body, headers={"Idempotency-Key": "order 7"})).json()
                for client in (api, second, api)
            ]
            assert len({answer["task_id"] for answer in answers}) == 1
            assert [answer["duplicate"] for answer in answers] == [False, True, True]
            both = await api.post("/v1/tasks", json={**body, "task_id": "x"}, headers={"Idempotency-Key": "k"})
            assert both.status_code == 400


async def test_batch_is_answered_task_by_task(shard: Shard, api: httpx.AsyncClient):
    tasks = [{"type": "work", "args": [1.0], "task_id": f"b{number % 400}"} for number in range(500)]
    answer = await api.post("/v1/tasks:batch", json={"tasks": tasks})
    assert answer.status_code == 202
    found = answer.json()
    assert (found["accepted"], found["duplicates"], found["busy"]) == (400, 100, 0)
    assert [each["task_id"] for each in found["tasks"]] == [each["task_id"] for each in tasks]
    keyed = {"tasks": [{"type": "work"}, {"type": "work"}]}
    answers = [
        (await api.post("/v1/tasks:batch", json=keyed, headers={"Idempotency-Key": "k"})).json() for _ in range(2)
    ]
    assert [each["accepted"] for each in answers] == [2, 0]


async def test_worker_is_drained_with_a_dry_run_before_and_a_record_behind(shard: Shard, api: httpx.AsyncClient):
    async with serving(shard):
        listed = (await api.get("/v1/workers")).json()
        assert [row["worker"] for row in listed["workers"]] == ["w1"]
        one = await api.get("/v1/workers/w1")
        tag = one.headers["etag"]
        dry = (await api.post("/v1/workers/w1:drain", json=BECAUSE, params={"dry_run": True})).json()
        assert (dry["dry_run"], dry["in_force"], dry["after"]) == (True, False, None)
        assert "free in" in dry["effect"]
        assert (await api.get("/v1/workers/w1")).json()["standing"] == "accepting"
        done = await api.post("/v1/workers/w1:drain", json=BECAUSE, headers={"If-Match": tag})
        assert (done.status_code, done.json()["in_force"]) == (200, True)
        stale = await api.post("/v1/workers/w1:resume", json=BECAUSE, headers={"If-Match": tag})
        assert (stale.status_code, stale.json()["code"]) == (412, "PRECONDITION_FAILED")
        for verb in ("resume", "cordon", "resume", "breaker", "resume", "evict", "resume"):
            answer = await api.post(f"/v1/workers/w1:{verb}", json=BECAUSE)
            assert answer.json()["in_force"], (verb, answer.text)
        records = (await api.get("/v1/audit")).json()["records"]
        assert [each["action"] for each in records][:2] == ["worker.drain", "worker.resume"]
        assert len(records) == 8
        assert {each["source"] for each in records} == {"api 127.0.0.1"}
        unknown = await api.post("/v1/workers/w9:drain", json=BECAUSE)
        assert (unknown.status_code, unknown.json()["code"]) == (404, "WORKER_UNKNOWN")


async def test_a_thousand_workers_are_listed_in_pages(shard: Shard, api: httpx.AsyncClient):
    names = [f"w-{number:04}" for number in range(1_030)]
    async with leading(shard):
        store = RedisWorkerStore(shard.url, shard.pool)
        await store.open()
        await asyncio.gather(*(store.register(name, msgspec.msgpack.encode(WorkerOffer(slots=2))) for name in names))

        async def live() -> bool:
            frame = await shard.frame()
            return frame is not None and frame.workers_live == len(names)

        await eventually(live)
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = (await api.get("/v1/workers", params={"cursor": cursor, "limit": 400})).json()
            assert (page["live"], page["stale"], len(page["workers"]) <= 400) == (len(names), False, True)
            found += [row["worker"] for row in page["workers"]]
            cursor = page["cursor"]
        assert found == names
        answered = await asyncio.to_thread(listed, shard)
        assert [row["worker"] for row in answered["workers"]] == names
        await store.close()


def listed(shard: Shard) -> dict:
    flags = ["--redis-url", shard.url, "--set", f"pool.name={shard.pool}", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "nexus_sched", "workers", "list", *flags], capture_output=True, check=True, timeout=30
    )
    return json.loads(done.stdout)


async def test_tasks_are_cancelled_boosted_reassigned_and_retried(shard: Shard, api: httpx.AsyncClient):
    async with serving(shard):
        paused = await api.post("/v1/pauses", json={"reason": "look", "type": "work"})
        assert paused.json()["in_force"], paused.text
        one, two = await submitted(api, eta=False), await submitted(api, eta=False, delay="1h")
        assert "paused" in (await api.get(f"/v1/tasks/{one}/explain")).json()["sentence"]
        boosted = await api.post(f"/v1/tasks/{one}:boost", json={"reason": "they wait", "priority": 8})
        assert (boosted.status_code, boosted.json()["in_force"]) == (200, True)
        assert (await api.post(f"/v1/tasks/{one}:retry", json=BECAUSE)).status_code == 409
        assert (await api.post(f"/v1/tasks/{two}:retry", json=BECAUSE)).json()["in_force"]
        moved = await api.post(f"/v1/tasks/{two}:reassign", json={"reason": "data", "to": "w1"})
        assert moved.json()["in_force"], moved.text
        assert (await api.delete(f"/v1/tasks/{one}")).status_code == 400  # without a reason
        dry = await api.delete(f"/v1/tasks/{one}", params={"reason": "no", "dry_run": True})
        assert dry.json()["dry_run"]
        gone = await api.delete(f"/v1/tasks/{one}", params={"reason": "nobody wants it"})
        assert gone.json()["after"]["state"] == "cancelled"
        assert (await api.delete(f"/v1/tasks/{one}", params={"reason": "again"})).status_code == 409
        ended_pause = await api.delete("/v1/pauses", params={"reason": "seen", "type": "work"})
        assert ended_pause.json()["in_force"]
        await eventually(lambda: ended(api, two))
        assert await state_of(api, two) == "succeeded"


async def test_pool_is_looked_at_and_decided_about(shard: Shard, api: httpx.AsyncClient):
    async with serving(shard):
        mode = await api.get("/v1/mode")
        assert mode.json() == {"mode": "predictive", "paused": {}}
        body = {"mode": "shadow", "reason": "compare"}
        changed = await api.put("/v1/mode", json=body, headers={"If-Match": mode.headers["etag"]})
        assert changed.json()["after"]["mode"] == "shadow"
        assert (await api.put("/v1/mode", json=body, headers={"If-Match": mode.headers["etag"]})).status_code == 412
        pinned = await api.post(
            "/v1/overrides", json={"type": "work", "estimate": "45s", "for": "1h", "reason": "new data"}
        )
        assert pinned.json()["in_force"], pinned.text
        (row,) = (await api.get("/v1/overrides")).json()["overrides"]
        assert (row["scope"], row["effect"], row["actor"]) == ({"type": "work"}, {"estimate_ms": 45_000.0}, "loopback")
        assert (await api.delete("/v1/overrides", params={"type": "work", "reason": "done"})).json()["in_force"]
        assert (await api.delete("/v1/overrides", params={"type": "work", "reason": "x"})).status_code == 404
        stats = (await api.get("/v1/stats")).json()
        assert (stats["pool"], stats["workers_live"], stats["stale"]) == (shard.pool, 1, False)
        assert (await api.get("/v1/predictors")).json()["predictor"] == "learned"
        shadow = await api.put("/v1/predictors/shadow", json={"name": "ema", "reason": "compare"})
        assert shadow.json()["after"]["shadow"] == "ema"
    trail = Trail(RedisAuditStore(shard.url, shard.pool), 1_000)
    lines = [line async for line in trail.lines()]
    assert verify(lines, await trail.head(), 1_000).findings == []
    assert len(lines) == 4
    await trail.close()


async def test_overrides_are_added_listed_and_ended_with_their_tags(shard: Shard, api: httpx.AsyncClient):
    url, hour = "/v1/overrides", {"for": "1h", "reason": "a test"}
    async with serving(shard):
        empty = await api.get(url)
        for wrong in ({"type": "work"}, {"pin": "w1"}, {"type": "work", "task": "t", "pin": "w1"}):
            assert (await api.post(url, json={**wrong, **hour})).status_code == 400
        both = await api.post(url, json={"type": "work", "pin": "w1", "avoid": "w2", **hour})
        assert (both.status_code, both.json()["code"]) == (400, "INVALID_INPUT")
        avoid = {"type": "work", "avoid": "w1", **hour}
        dry = (await api.post(url, json=avoid, params={"dry_run": True})).json()
        assert (dry["in_force"], dry["effect"]) == (False, "tasks of type work may not run on w1")
        added = await api.post(url, json=avoid, headers={"If-Match": empty.headers["etag"]})
        assert added.json()["in_force"], added.text
        stale = await api.post(url, json=avoid, headers={"If-Match": empty.headers["etag"]})
        assert (stale.status_code, stale.json()["code"]) == (412, "PRECONDITION_FAILED")
        waits = await submitted(api, eta=False)
        raised = await api.post(url, json={"task": waits, "priority": 3, **hour})
        assert raised.json()["override"]["effect"] == {"priority": 3}
        told = (await api.get(f"/v1/tasks/{waits}/explain")).json()
        assert (told["tier"], told["workers"]) == ("waiting for capacity", {"overrides": 1})
        assert told["sentence"].startswith(
            "overrides keep it from every worker: type=work avoid=w1 (by loopback: a test)"
        )
        assert len(told["overrides"]) == 2
        tag = (await api.get(url)).headers["etag"]
        assert (await api.get(url)).headers["etag"] == tag  # the time that is left does not count
        ends = {"type": "work", "effect": "avoid=w1", "reason": "new disk"}
        gone = await api.delete(url, params=ends, headers={"If-Match": tag})
        assert gone.json()["in_force"], gone.text
        assert (await api.delete(url, params=ends, headers={"If-Match": tag})).status_code == 412
        assert (await api.delete(url, params=ends)).status_code == 404
        await eventually(lambda: ended(api, waits))
        records = (await api.get("/v1/audit")).json()["records"]
        assert [each["action"] for each in records] == ["override.add", "override.add", "override.remove"]
        assert {each["reason"] for each in records} == {"a test", "new disk"}


async def test_change_of_something_that_is_no_longer_what_was_read_is_refused(shard: Shard, api: httpx.AsyncClient):
    async with serving(shard):
        task = await submitted(api, eta=False, delay="1h")
        why = {"reason": "a test"}
        changes = (
            ("POST", f"/v1/tasks/{task}:boost", {}, why),
            ("POST", f"/v1/tasks/{task}:retry", {}, why),
            ("POST", f"/v1/tasks/{task}:reassign", {}, {**why, "to": "w1"}),
            ("DELETE", f"/v1/tasks/{task}", why, None),
            ("PUT", "/v1/mode", {}, {**why, "mode": "shadow"}),
            ("POST", "/v1/pauses", {}, why),
            ("DELETE", "/v1/pauses", why, None),
            ("PUT", "/v1/predictors/active", {}, {**why, "name": "ema"}),
            ("PUT", "/v1/predictors/shadow", {}, {**why, "name": "ema"}),
            ("POST", "/v1/workers/w1:cordon", {}, why),
            ("POST", "/v1/config:reload", {}, why),
        )
        for method, path, params, body in changes:
            stale = await api.request(method, path, params=params, json=body, headers={"If-Match": '"0"'})
            assert (stale.status_code, stale.json()["code"]) == (412, "PRECONDITION_FAILED"), (method, path)
        assert (await api.get("/v1/audit")).json()["records"] == []
        tag = (await api.get(f"/v1/tasks/{task}")).headers["etag"]
        gone = await api.delete(f"/v1/tasks/{task}", params=why, headers={"If-Match": tag})
        assert (gone.json()["in_force"], gone.json()["outcome"]) == (True, "in_force")
        for path in ("/v1/predictors", "/v1/config", "/v1/mode"):
            read = await api.get(path)
            assert (await api.get(path)).headers["etag"] == read.headers["etag"], path


async def test_without_a_scheduler_questions_wait_and_are_told_so(shard: Shard, api: httpx.AsyncClient):
    assert (await api.get("/v1/stats")).json()["code"] == "POOL_UNKNOWN"
    assert (await api.get("/v1/dead-letters")).json() == {"letters": [], "cursor": None}
    answer = await api.post("/v1/tasks", json={"type": "work"})  # taken all the same; nobody can say when it will run
    assert (answer.status_code, answer.json()["eta"]) == (202, None)


async def test_all_viewers_get_the_same_small_frame(shard: Shard, api: httpx.AsyncClient):
    async def first_frame() -> bytes:
        async with api.stream("GET", "/v1/stream") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            found = b""
            async for chunk in stream.aiter_bytes():
                found += chunk
                if found.count(b"\n\n") >= 2:
                    return found
        raise AssertionError("the stream ended")

    async with serving(shard):
        frames = await asyncio.gather(*(first_frame() for _ in range(5)))
    newest = {frame.split(b"\n\n")[1] for frame in frames}
    assert len(newest) == 1
    data = json.loads(newest.pop().partition(b"data: ")[2])
    assert (data["workers_live"], data["cells"][:1]) == (1, "a")


async def test_viewer_may_look_and_not_change(shard: Shard):
    async with running_gateway(gateway_config(shard.url, shard.pool)) as composed:
        assert composed.http is not None
        async with httpx.AsyncClient(base_url=composed.http.url) as client:
            refused = await client.post("/v1/tasks", json={"type": "work"})
            assert (refused.status_code, refused.json()["code"]) == (403, "NOT_ALLOWED")
            assert (await client.get("/v1/dead-letters")).status_code == 200
            assert (await client.get("/v1/config")).status_code == 403
            config = gateway_config(shard.url, shard.pool)
            assert structs.asdict(config.http)["port"] == 0
