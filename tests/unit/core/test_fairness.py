"""Virtual time of tenants: who begins where, what is charged and given back, and what is forgotten."""

from __future__ import annotations

import pytest

from nexus_sched.core.fairness import LAG_CHARGES, TENANTS_MIN, Fairness


def pair(weights: dict[str, float] | None = None) -> Fairness:
    fairness = Fairness()
    fairness.configure(weights or {})
    for name in ("a", "b"):
        fairness.waits(fairness.tenant(name))
    return fairness


def test_one_tenant_shares_with_nobody():
    fairness = Fairness()
    fairness.tenant("a")
    assert not fairness.shared
    fairness.tenant("b")
    assert fairness.shared


def test_charge_counts_by_the_weight():
    fairness = pair({"a": 4.0})
    for name in ("a", "b"):
        assert fairness.charge(fairness.tenant(name), 100.0) == 100.0
    assert [fairness.tenant(name).virtual_ms for name in ("a", "b")] == [25.0, 100.0]


def test_too_little_is_charged_later_and_too_much_is_refunded_with_the_next_charge():
    fairness = pair()
    tenant = fairness.tenant("a")
    fairness.settle("a", fairness.charge(tenant, 10.0), 30.0)
    assert (tenant.virtual_ms, tenant.refund_ms) == (30.0, 0.0)
    fairness.settle("a", fairness.charge(tenant, 50.0), 20.0)
    assert (tenant.virtual_ms, tenant.refund_ms) == (80.0, 30.0)
    fairness.charge(tenant, 40.0)
    assert (tenant.virtual_ms, tenant.refund_ms) == (90.0, 0.0)


def test_unpredicted_task_is_charged_what_is_usual():
    fairness = pair()
    for _ in range(200):
        fairness.settle("a", 20.0, 20.0)
    assert fairness.charge(fairness.tenant("a"), -1.0) == pytest.approx(20.0, rel=0.01)


def test_who_begins_to_wait_starts_now_and_has_saved_up_nothing():
    fairness = pair()
    fairness.rests(fairness.tenant("b"))
    for _ in range(10):
        fairness.charge(fairness.tenant("a"), 100.0)
    fairness.waits(fairness.tenant("b"))
    assert fairness.tenant("b").virtual_ms == fairness.tenant("a").virtual_ms == 1_000.0


def test_refund_of_a_tenant_that_had_nothing_to_do_lapses():
    fairness = pair()
    late = fairness.tenant("b")
    charged_ms = fairness.charge(late, 500.0)
    fairness.rests(late)
    for _ in range(10):
        fairness.charge(fairness.tenant("a"), 100.0)
    fairness.settle("b", charged_ms, 0.0)
    fairness.waits(late)
    assert late.virtual_ms - late.refund_ms >= fairness.snapshot().now_ms


def test_claims_of_who_cannot_be_served_are_bounded():
    fairness = pair()
    for _ in range(1_000):
        fairness.charge(fairness.tenant("a"), 10.0)
    ahead_ms = fairness.virtual_ms(fairness.tenant("a")) - fairness.virtual_ms(fairness.tenant("b"))
    assert fairness.tenant("b").virtual_ms == 0.0
    assert 0.0 < ahead_ms <= (LAG_CHARGES + 1.0) * 10.0


def test_stream_of_new_tenants_does_not_stop_the_time():
    """Each of them starts now; whoever waits since before must have his turn."""
    fairness = pair()
    old = fairness.tenant("a")
    fairness.charge(old, 10.0)
    for number in range(50):
        newcomer = fairness.tenant(f"new-{number}")
        fairness.waits(newcomer)
        fairness.charge(newcomer, 10.0)
        fairness.rests(newcomer)
    newest = fairness.tenant("newest")
    assert fairness.virtual_ms(newest) > fairness.virtual_ms(old)


def test_tenants_that_are_done_are_forgotten():
    fairness = pair()
    for number in range(20 * TENANTS_MIN):
        tenant = fairness.tenant(f"new-{number}")
        fairness.waits(tenant)
        fairness.charge(tenant, 10.0)
        fairness.rests(tenant)
    assert len(fairness.snapshot().tenants) < 4 * TENANTS_MIN
