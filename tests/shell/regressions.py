"""Seeds that once failed, each with what was wrong. They are run with every test run.

A seed finds what it found only while plans are drawn as they were then; the focused tests beside the repaired code
remain.
"""

from __future__ import annotations

from msgspec import Struct


class Regression(Struct, frozen=True):
    """One failure that was found."""

    kind: str
    seed: int
    reason: str


_LEAK = "after the store went back, the leader kept a slot booked for a task that had ended: its pointer went silently"

REGRESSIONS: tuple[Regression, ...] = (
    Regression(
        "storm", 17, "a completion named an inbox entry of a forgotten history, and took another task's pointer"
    ),
    Regression("rollback", 6, _LEAK + ", with a refused start"),
    Regression("rollback", 40, _LEAK + ", with a repeated completion"),
    Regression("storm", 209, _LEAK + ", with the inbox of a lost worker"),
    Regression("rollback", 297, _LEAK + "; all slots of the only worker, so that the queue stood still for ever"),
    Regression(
        "rollback", 306, "a leader that had not noticed wrote a snapshot ahead of the journal: nobody could lead"
    ),
    Regression(
        "storm", 424, "a store that went back twice ended a scheduler with STATE_LOST that held no lease any more"
    ),
    Regression(
        "mix", 20229, "a worker waited longer after an outage than its leader for a sign of life, and was reaped"
    ),
    Regression(
        "mix", 32361, "a leader fell in the midst of reaping; its successor had not read of it, and left the rest"
    ),
    Regression(
        "mix",
        115641,
        "a run whose copy had begun and come back was asked back as if it had not begun, and ran once more",
    ),
    Regression("pause", 117231, "such a run was lost with its worker, and did not count as one of its task's starts"),
    Regression("pause", 120693, "nor did it where its worker came back at once, and only its pointer was left"),
    Regression(
        "refuse", 123988, "time in which the store took no heartbeat counted as a worker's silence, and it was reaped"
    ),
    Regression(
        "restart", 101240, "what crossed the leaving of a worker, and had ended meanwhile, lay in its inbox for ever"
    ),
    Regression(
        "shards-crash",
        2,
        "a worker came back under another name in another shard, and its former one never had any again",
    ),
    Regression(
        "shards-network", 371, "a worker asked for the number of shards, then whether one is led; both began in between"
    ),
    Regression("shards", 9, "places of workers that had been forgotten were never entered again"),
    Regression(
        "shards-flush",
        202246,
        "a replica that had led went on with a shard that somebody new had begun anew: it had come further than before",
    ),
    Regression(
        "shards-flush",
        204388,
        "the number of shards was forgotten with all else, and nobody said it again: a new client put a task elsewhere",
    ),
    Regression("rollback", 400577, "a client took a result that went with a store that went back for an empty one"),
    Regression(
        "poison", 401515, "a message to give way, followed by one to end, lay in the inbox of a worker that had left"
    ),
    Regression("rollback", 405491, "the simulator let the store go back when the last ones were about to leave"),
    Regression("restart", 604232, "the same where its leader handed over before it had looked after that inbox"),
    Regression(
        "shards-network", 808610, "the judge did not know that a registration which comes late makes a worker a new one"
    ),
    Regression("shards-flush", 211948, "the law took an id that was submitted again after all was lost for one task"),
    Regression("storm", 215254, "the law took two workers that a store that went back took for one for two attempts"),
    Regression(
        "shards-flush", 239, "a replica that had handed a shard over led it again, when all was lost, as if it were new"
    ),
)
