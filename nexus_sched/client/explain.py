"""Finding out why a task is where it is: the scheduler says it of live tasks, the journal of what was decided.

A decision is in the turn that the inbox entry of its run names (`<seq>-<index>`). The journal is cut at checkpoints, so
what was decided long ago is no longer there; that is said, not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from nexus_sched.errors import AnswerMissing, SnapshotUnreadable, TaskUnknown
from nexus_sched.model.answer import Answer, WhyAnswer
from nexus_sched.model.effects import Dispatch
from nexus_sched.model.events import TaskFinished
from nexus_sched.model.explanation import Actual, DecisionStory, Explanation, actual_of, sentence_of, story_of
from nexus_sched.model.ids import check_task_id
from nexus_sched.model.journal import Turn, decode_turn
from nexus_sched.model.question import AskWhy, Question
from nexus_sched.runtime.ports import SubmitterStore, TaskRecord
from nexus_sched.units import NS_PER_MS

TURNS_A_READ = 256
TURNS_SEARCHED_MAX = 200_000  # for the end of a run; the journal keeps fewer
NOT_KEPT = "its decision is no longer kept: the journal has been cut at a checkpoint since then"
_ENTRY = re.compile(r"([0-9]{1,15})-([0-9]{1,9})")

Ask = Callable[[Question], Awaitable[Answer]]


async def explain(store: SubmitterStore, ask: Ask, task_id: str, worker: str = "") -> Explanation:
    """Why a task waits, or why it went where it went; with `worker`, why not there.

    Raises `TaskUnknown` if no such task is known any more, `AnswerMissing` if it waits and no scheduler answers.
    """
    store = await store.of_task(check_task_id(task_id))  # the journal of its shard is what is read
    record = await store.record(task_id)
    if record is None:
        raise TaskUnknown(f"no task {task_id} is known, or it ended longer ago than results are kept")
    if record.state in ("Q", "R"):
        return await _live(store, ask, task_id, worker, record)
    return await _ended(store, task_id, worker, record)


async def _live(store: SubmitterStore, ask: Ask, task_id: str, worker: str, record: TaskRecord) -> Explanation:
    try:
        said = await ask(AskWhy(task_id, worker))
    except AnswerMissing:
        if not record.decision:
            raise
        return await _recorded(store, task_id, "running", record.decision, worker)
    if not isinstance(said, WhyAnswer):  # it has just ended, or the scheduler has not read its submission yet
        again = await store.record(task_id)
        if again is None or again.state in ("Q", "R"):
            return Explanation(
                task_id=task_id, type="", state="waiting", sentence="the scheduler has not read its submission yet"
            )
        return await _ended(store, task_id, worker, again)
    story, sentence, missing = None, said.reason, ""
    if said.decision:
        found = await _decision(store, task_id, said.decision)
        story = None if found is None else found[0]
        sentence = said.reason if story is None else f"{sentence_of(story)}; {said.reason}"
        missing = NOT_KEPT if story is None else ""
    running = said.state == "placed" and record.state == "R"
    return Explanation(
        task_id=task_id,
        type=said.type,
        state="running" if running else said.state,
        sentence=sentence,
        tier=said.tier,
        remedies=said.remedies,
        workers=said.funnel,
        ahead=said.ahead,
        ahead_ms=said.ahead_ms,
        eta=said.eta,
        why_not=said.why_not,
        overrides=said.overrides if story is None else story.overrides,
        decision=story,
        missing=missing,
    )


async def _ended(store: SubmitterStore, task_id: str, worker: str, record: TaskRecord) -> Explanation:
    state = record.outcome or {"C": "cancelled", "D": "dead"}.get(record.state, record.state)
    if not record.decision:
        return Explanation(task_id=task_id, type="", state=state, sentence="it ended without having run")
    return await _recorded(store, task_id, state, record.decision, worker)


async def _recorded(store: SubmitterStore, task_id: str, state: str, entry: str, worker: str) -> Explanation:
    """What the journal has of a decision, and of the end of its run."""
    found = await _decision(store, task_id, entry)
    if found is None:
        return Explanation(task_id=task_id, type="", state=state, sentence=NOT_KEPT, missing=NOT_KEPT)
    story, task_type = found
    actual = None if state == "running" else await _actual(store, task_id, story)
    return Explanation(
        task_id=task_id,
        type=task_type,
        state=state,
        sentence=sentence_of(story),
        why_not=_why_not(story, worker),
        overrides=story.overrides,
        decision=story,
        actual=actual,
        missing="" if actual is not None or state == "running" else "the end of its run is not in the journal",
    )


async def _decision(store: SubmitterStore, task_id: str, entry: str) -> tuple[DecisionStory, str] | None:
    """The decision behind an inbox entry with the type of its task, `None` if it is not kept."""
    match = _ENTRY.fullmatch(entry)
    if match is None:
        return None
    seq, index = int(match[1]), int(match[2])
    turns = await store.journal(seq - 1, 1) if seq else []
    if not turns or turns[0][0] != seq:
        return None
    turn = decode_turn(turns[0][1])
    dispatches = [effect.decision for effect in turn.effects if isinstance(effect, Dispatch)]
    if index >= len(dispatches) or dispatches[index].task_id != task_id:
        return None
    story = story_of(dispatches[index], seq, index, turn.epoch, turn.at_ns // NS_PER_MS)
    return story, dispatches[index].task_type


async def _actual(store: SubmitterStore, task_id: str, story: DecisionStory) -> Actual | None:
    """The end of a run: looked for in the turns behind its decision."""
    after, name = story.seq, task_id.encode()
    while after < story.seq + TURNS_SEARCHED_MAX:
        turns = await store.journal(after, TURNS_A_READ)
        for _, blob in turns:
            if name not in blob:
                continue
            actual = _ended_in(_turn(blob), task_id, story)
            if actual is not None:
                return actual
        if len(turns) < TURNS_A_READ:
            return None
        after = turns[-1][0]
    return None


def _turn(blob: bytes) -> Turn | None:
    try:
        return decode_turn(blob)
    except SnapshotUnreadable:  # one damaged turn hides what is in it, not what is behind it
        return None


def _ended_in(turn: Turn | None, task_id: str, story: DecisionStory) -> Actual | None:
    for event in () if turn is None else turn.events:
        if isinstance(event, TaskFinished) and event.task_id == task_id and event.attempt == story.attempt:
            at_ms = 0 if turn is None else turn.at_ns // NS_PER_MS
            return actual_of(story, event.outcome.value, event.run_ms, at_ms)
    return None


def _why_not(story: DecisionStory, worker: str) -> str:
    """Why an ended task had not gone to another worker, as far as that was recorded."""
    if not worker:
        return ""
    if worker == story.worker:
        return "it was there"
    row = None if story.bill is None else story.bill.row_of(worker)
    if story.bill is None or row is None:
        return "it was not among the best workers that were recorded with the decision"
    if not row.is_open:
        return "it was not open to the task then: full, or held for another one"
    chosen = story.bill.rows[0]
    more_ms = row.total_ms - chosen.total_ms
    if abs(more_ms) <= story.bill.margin_ms:
        return (
            f"it was as good, to within {story.bill.margin_ms:.1f} ms; the less busy one was taken, or it was its turn"
        )
    return f"its score was {more_ms:.1f} ms higher"
