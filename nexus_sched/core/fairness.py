"""Shares of tenants: weighted fair queuing in worker-milliseconds (decision 0031).

A tenant's virtual time is the worker time it was given, divided by its weight. Among tenants that wait, the least goes
first; so over any time in which they wait, they get shares by weight, whatever their tasks take.

Laws
* It is charged what is predicted when a task is handed out, and put right by what it took when that has ended. It
  never decreases: what was charged too much becomes a refund, which the next charges use first.
* The virtual time of now is at least that of the tenant that was served last, and grows by the work handed out over
  the weights that wait, so it goes on even if every task comes from a new tenant. Who begins to wait starts there:
  nobody saves up shares by having nothing to do.
* Who waits and cannot be served (its workers are busy, its level has no turn) falls behind by at most `LAG_CHARGES`
  of the longest recent charge; older claims lapse, else it would keep all others waiting for as long.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

LAG_CHARGES = 16.0
LONGEST_DECAY = 1.0 - 1.0 / 1_024.0  # a charge, so that one long task does not count for ever
TYPICAL_ALPHA = 0.05  # share of the newest run in what an unpredicted task is charged
TYPICAL_MS = 1.0  # before any run has ended
TENANTS_MIN = 64  # idle tenants that may always be remembered
WEIGHT_MIN = 1e-3


class TenantState(Struct, array_like=True, gc=False):
    """What a snapshot keeps of a tenant."""

    name: str
    virtual_ms: float
    refund_ms: float


class FairnessState(Struct, array_like=True, gc=False):
    """What a snapshot keeps; whether a tenant waits follows from the tasks."""

    now_ms: float = 0.0
    floor_ms: float = 0.0
    longest_ms: float = 0.0
    typical_ms: float = TYPICAL_MS
    waiting_weight: float = 0.0
    sweep_at: int = TENANTS_MIN
    tenants: list[TenantState] = []


class Tenant:
    """One of those who share the pool."""

    __slots__ = ("lanes", "name", "refund_ms", "virtual_ms", "waiting", "weight")

    def __init__(self, name: str, weight: float, virtual_ms: float) -> None:
        self.name = name
        self.weight = weight
        self.virtual_ms = virtual_ms
        self.refund_ms = 0.0
        self.lanes = 0  # where its tasks stand
        self.waiting = 0  # its lanes that hold tasks and are not parked


class Fairness:
    """All tenants that wait, or are ahead of the virtual time of now."""

    def __init__(self) -> None:
        self._weights: Mapping[str, float] = {}
        self._tenants: dict[str, Tenant] = {}
        self._state = FairnessState()

    @property
    def shared(self) -> bool:
        """Whether there is more than one tenant: with one there is nothing to share, and nothing is charged."""
        return len(self._tenants) > 1

    def configure(self, weights: Mapping[str, float]) -> None:
        """Other weights; what was charged stays."""
        self._weights = weights
        for tenant in self._tenants.values():
            if tenant.waiting:
                self._state.waiting_weight -= tenant.weight
            tenant.weight = self._weight(tenant.name)
            if tenant.waiting:
                self._state.waiting_weight += tenant.weight

    def _weight(self, name: str) -> float:
        return max(self._weights.get(name, 1.0), WEIGHT_MIN)

    def tenant(self, name: str) -> Tenant:
        """The tenant of this name; a new one starts now."""
        tenant = self._tenants.get(name)
        if tenant is None:
            if len(self._tenants) >= self._state.sweep_at:
                self._sweep()
            tenant = self._tenants[name] = Tenant(name, self._weight(name), self._state.now_ms)
        return tenant

    def _sweep(self) -> None:
        """Forget tenants that would start where they stand now anyway."""
        kept = [each for each in self._tenants.values() if each.lanes or each.virtual_ms > self._state.now_ms]
        self._tenants = {each.name: each for each in kept}
        self._state.sweep_at = TENANTS_MIN + 2 * len(kept)

    def virtual_ms(self, tenant: Tenant) -> float:
        """What its turn goes by."""
        floor_ms = self._state.floor_ms
        return tenant.virtual_ms if tenant.virtual_ms > floor_ms else floor_ms

    def waits(self, tenant: Tenant) -> None:
        """One more of its lanes has something that may be handed out."""
        tenant.waiting += 1
        if tenant.waiting == 1:
            state = self._state
            state.waiting_weight += tenant.weight
            if tenant.virtual_ms < state.now_ms:
                tenant.virtual_ms = state.now_ms
            if tenant.refund_ms > 0.0:
                tenant.refund_ms = min(tenant.refund_ms, tenant.virtual_ms - state.now_ms)

    def rests(self, tenant: Tenant) -> None:
        """One lane less."""
        tenant.waiting -= 1
        if not tenant.waiting:
            self._state.waiting_weight -= tenant.weight

    def charge(self, tenant: Tenant, predicted_ms: float) -> float:
        """A task of this tenant is handed out; gives what it was charged, in worker-milliseconds."""
        state = self._state
        charged_ms = predicted_ms if predicted_ms > 0.0 else state.typical_ms
        share_ms = charged_ms / tenant.weight
        refund_ms = min(tenant.refund_ms, share_ms)
        before_ms = self.virtual_ms(tenant)
        tenant.refund_ms -= refund_ms
        tenant.virtual_ms = before_ms + (share_ms - refund_ms)
        state.longest_ms = max(share_ms, state.longest_ms * LONGEST_DECAY)
        self._advance(tenant, share_ms - refund_ms)
        state.now_ms = max(state.now_ms, before_ms)
        state.floor_ms = max(state.floor_ms, state.now_ms - LAG_CHARGES * state.longest_ms)
        return charged_ms

    def _advance(self, tenant: Tenant, share_ms: float) -> None:
        """The virtual time of a tenant has grown; that of now grows by as much on average over all that wait."""
        self._state.now_ms += share_ms * tenant.weight / max(self._state.waiting_weight, tenant.weight)

    def settle(self, name: str, charged_ms: float, used_ms: float) -> None:
        """What was handed out has ended, or come back."""
        state = self._state
        if used_ms > 0.0:
            state.typical_ms += TYPICAL_ALPHA * (used_ms - state.typical_ms)
        tenant = self.tenant(name)
        more_ms = (used_ms - charged_ms) / tenant.weight
        if more_ms > 0.0:
            back_ms = min(tenant.refund_ms, more_ms)
            tenant.refund_ms -= back_ms
            tenant.virtual_ms += more_ms - back_ms
            if tenant.waiting:
                self._advance(tenant, more_ms - back_ms)
        else:
            tenant.refund_ms -= more_ms

    def snapshot(self) -> FairnessState:
        """Everything but who waits."""
        self._state.tenants = [
            TenantState(each.name, each.virtual_ms, each.refund_ms) for each in self._tenants.values()
        ]
        return self._state

    def restore(self, state: FairnessState) -> None:
        """The opposite of `snapshot`, once everybody waits again."""
        known, self._tenants, self._state = self._tenants, {}, state
        for each in state.tenants:
            tenant = known.get(each.name) or Tenant(each.name, self._weight(each.name), 0.0)
            tenant.virtual_ms, tenant.refund_ms = each.virtual_ms, each.refund_ms
            self._tenants[each.name] = tenant
