"""The ledger by itself: what an inbox entry means, given what is here already."""

from __future__ import annotations

import random

from nexus_sched.model.outcome import Outcome, Receipt
from nexus_sched.runtime.ports import CompletionLine, InboxItem
from nexus_sched.worker import ledger as rules
from nexus_sched.worker.ledger import Ledger


def item(task_id: str, entry: str = "1-0", attempt: int = 1, control: str = "") -> InboxItem:
    return InboxItem(entry, control, task_id, attempt)


def line(task_id: str, attempt: int = 1, result: bytes = b"", entry: str = "1-0") -> CompletionLine:
    return CompletionLine(task_id, attempt, entry, True, Outcome.SUCCEEDED, b"fact", result)


def test_entry_read_again_means_nothing_in_any_place():
    ledger = Ledger()
    again = [item("a")]
    ledger.observe(again, 1.0)
    ledger.observe(again, 2.0)
    assert ledger.waiting["a"][1] == 1.0  # the first sight counts
    assert [start.task_id for start in ledger.claim(5)] == ["a"]
    ledger.observe(again, 3.0)
    assert not ledger.waiting
    ledger.running["a"] = ("a", 1)
    ledger.starting.clear()
    ledger.observe(again, 4.0)
    assert not ledger.waiting
    ledger.ended(line("a"))
    ledger.observe(again, 5.0)
    assert not ledger.waiting
    assert len(ledger.outbox) == 1


def test_completed_task_that_comes_again_is_told_again_under_its_new_entry():
    ledger = Ledger()
    ledger.ended(line("a"))
    ledger.receipted(ledger.next_completions(), [Receipt.ACCEPTED], 10.0)
    assert not ledger.outbox
    ledger.observe([item("a", "7-3")], 11.0)
    assert [told.inbox_entry for told in ledger.next_completions()] == ["7-3"]


def test_stale_completion_is_not_remembered():
    ledger = Ledger()
    ledger.ended(line("a"))
    ledger.receipted(ledger.next_completions(), [Receipt.STALE], 10.0)
    ledger.replay()
    assert not ledger.outbox


def test_remembered_completions_expire_by_age_number_and_size(monkeypatch):
    monkeypatch.setattr(rules, "REMEMBERED_MAX", 3)
    monkeypatch.setattr(rules, "REMEMBERED_BYTES_MAX", 1_000)

    def kept(lines: list[CompletionLine], before_s: float) -> list[str]:
        ledger = Ledger()
        for number, each in enumerate(lines):
            ledger.ended(each)
            ledger.receipted(ledger.next_completions(), [Receipt.ACCEPTED], float(number))
        ledger.expire(before_s)
        ledger.replay()
        return [task_id for task_id, _ in ledger.outbox]

    assert kept([line("a"), line("b"), line("c")], 1.0) == ["b", "c"]
    assert kept([line("a"), line("b"), line("c"), line("d")], 0.0) == ["b", "c", "d"]
    assert kept([line("a", result=bytes(600)), line("b", result=bytes(600))], 0.0) == ["b"]


def test_lost_reply_puts_starts_back_in_front():
    ledger = Ledger()
    ledger.observe([item(name, f"1-{index}") for index, name in enumerate("abc")], 1.0)
    ledger.claim(2)
    ledger.unclaim()
    assert [start.task_id for start in ledger.claim(3)] == ["a", "b", "c"]


def test_highest_attempt_wins():
    ledger = Ledger()
    ledger.observe([item("a", "1-0", 1), item("a", "2-0", 2), item("a", "1-0", 1)], 1.0)
    assert [(start.attempt, start.inbox_entry) for start in ledger.claim(9)] == [(2, "2-0")]


def test_task_runs_once_at_a_time():
    ledger = Ledger()
    ledger.running["a"] = ("a", 1)
    ledger.observe([item("a", "2-0", 2), item("b", "2-1")], 1.0)
    assert [start.task_id for start in ledger.claim(9)] == ["b"]
    ledger.ended(line("a"))
    assert [start.task_id for start in ledger.claim(9)] == ["a"]


def test_full_read_forgets_what_was_taken_back():
    ledger = Ledger()
    ledger.observe([item("a", "1-0"), item("b", "1-1")], 1.0)
    ledger.keep_only({"1-1"})
    assert list(ledger.waiting) == ["b"]


def test_stop_is_asked_once_and_acknowledged_at_the_end():
    ledger = Ledger()
    ledger.running["a"] = ("a", 1)
    stop = item("a", "3-0", control="stop")
    assert ledger.observe([stop], 1.0) == [(("a", 1), "stop")]
    assert ledger.observe([stop], 2.0) == []
    assert not ledger.acknowledgements
    ledger.ended(line("a"))
    assert [told.inbox_entry for told in ledger.acknowledgements.values()] == ["3-0"]


def test_stop_for_something_else_is_acknowledged_at_once():
    ledger = Ledger()
    ledger.running["a"] = ("a", 2)
    assert ledger.observe([item("a", "3-0", 1, "stop"), item("b", "3-1", 1, "unheard-of")], 1.0) == []
    assert set(ledger.acknowledgements) == {"3-0", "3-1"}


def test_step_is_bounded_in_number_and_bytes(monkeypatch):
    monkeypatch.setattr(rules, "COMPLETIONS_PER_STEP_MAX", 3)
    monkeypatch.setattr(rules, "COMPLETION_BYTES_PER_STEP_MAX", 100)
    ledger = Ledger()
    for name in "abcde":
        ledger.ended(line(name, result=bytes(10)))
    assert len(ledger.next_completions()) == 3
    big = Ledger()
    for name in "ab":
        big.ended(line(name, result=bytes(1_000)))
    assert len(big.next_completions()) == 1  # never none, or it would wait for ever


def test_random_losses_neither_lose_nor_repeat_a_run():
    """Against a store that forgets nothing: each task is run once and its completion accepted once."""
    for seed in range(200):
        random_ = random.Random(seed)
        ledger, runs, accepted = Ledger(), [], []
        inbox = {f"1-{number}": f"t{number}" for number in range(20)}
        for moment in range(10_000):
            if not inbox and not ledger.outbox:
                break
            if random_.random() < 0.3:
                ledger.observe([item(name, entry) for entry, name in inbox.items()], float(moment))
            starts, lines = ledger.claim(random_.randrange(4)), ledger.next_completions()
            applied, answered = random_.random() < 0.8, random_.random() < 0.7
            receipts = []
            if applied:
                for told in lines:
                    fresh = inbox.pop(told.inbox_entry, None) is not None
                    accepted += [told.task_id] * fresh
                    receipts.append(Receipt.ACCEPTED if fresh else Receipt.REPEATED)
            if not (applied and answered):
                ledger.unclaim()
                ledger.replay()
                continue
            ledger.receipted(lines, receipts, float(moment))
            for start in starts:
                ledger.began(start)
                runs.append(start.task_id)
                ledger.running[start.task_id] = (start.task_id, 1)
            for name in [name for name in ledger.running if random_.random() < 0.5]:
                ledger.ended(line(name, entry=f"1-{name[1:]}"))
        expected = sorted(f"t{number}" for number in range(20))
        assert (seed, sorted(runs), sorted(accepted)) == (seed, expected, expected)
