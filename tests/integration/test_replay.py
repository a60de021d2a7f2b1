"""What a real run wrote down gives the same decisions again, to the bit."""

from __future__ import annotations

import msgspec

from nexus_sched.adapters.redis import RedisLeaderStore
from nexus_sched.model.command import SetMode, encode_command
from nexus_sched.model.journal import decode_turn, encode_turn
from nexus_sched.model.settings import ROUND_ROBIN
from nexus_sched.replay.verify import Verdict, verify_store
from tests.integration.application import app, paced
from tests.integration.shard import PREDICTORS, Shard, leading, raw_client, working


async def replayed(shard: Shard) -> Verdict:
    store = RedisLeaderStore(shard.url, shard.pool)
    await store.open()
    try:
        return await verify_store(store, PREDICTORS)
    finally:
        await store.close()


async def test_journal_of_a_run_with_comings_and_goings_replays_to_the_bit_across_restarts(shard: Shard) -> None:
    async with working(shard, paced(2.0), "fast", 2):
        async with leading(shard, crash=True), working(shard, paced(1.0), "passing", 2):
            await shard.submit(40, "work", 3.0)
            await shard.submit(20, "missing")  # rejected by the workers: an end that is no success
            await shard.all_end()
            await shard.store.command(encode_command(SetMode(ROUND_ROBIN)))
            await shard.submit(20, "work", 1.0)
            await shard.all_end()
        async with leading(shard), working(shard, paced(0.5), "late", 2):
            await shard.submit(40, "work", 3.0)
            await shard.all_end()
        verdict = await replayed(shard)
        assert verdict.agrees, verdict.differences[:3]
        decisions = [dispatch.decision for dispatch in await shard.dispatches()]
        assert (verdict.first_seq, verdict.decisions) == (1, len(decisions))
        assert len({decision.task_id for decision in decisions}) == 120  # and one or two of them may have moved
        policies = {decision.policy for decision in decisions}
        assert len(policies) == 2, "both ways of placing must have been replayed"
        async with leading(shard):  # its checkpoint is the second one: the journal is cut behind the first
            await shard.submit(10, "work", 3.0)
            await shard.all_end()
    verdict = await replayed(shard)
    assert verdict.agrees, verdict.differences[:3]
    assert verdict.first_seq > 1
    assert verdict.decisions >= 10


async def test_journal_with_one_changed_bit_does_not_replay(shard: Shard) -> None:
    async with leading(shard), working(shard, app, "w-0", 2):
        await shard.submit(5, ms=5.0)
        await shard.all_end()
        await shard.submit(1, ms=5.0)
        await shard.all_end()
    assert (await replayed(shard)).agrees
    async with raw_client(shard.url) as client:
        entries = await client.call("XRANGE", shard.store.keys.journal, "-", "+")
        await client.call("DEL", shard.store.keys.journal)
        changed = 0
        for entry, (field, blob) in entries:
            turn = decode_turn(blob)
            effects = list(turn.effects)
            for index, effect in enumerate(effects):
                decision = getattr(effect, "decision", None)
                if not changed and decision is not None and decision.predicted_ms is not None:
                    raised = msgspec.structs.replace(decision, predicted_ms=decision.predicted_ms * (1 + 2**-50))
                    effects[index] = msgspec.structs.replace(effect, decision=raised)
                    changed = turn.seq
            turn = msgspec.structs.replace(turn, effects=effects)
            await client.call("XADD", shard.store.keys.journal, entry, field, encode_turn(turn))
    assert changed
    verdict = await replayed(shard)
    assert [difference.seq for difference in verdict.differences] == [changed]
