"""Plain Python twin of how time depends on size (`csrc/nexus_law.h`), equal to it bit for bit.

Law: as in `nexus_sched.testing.oracle_logarithm`.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from nexus_sched.testing.oracle_logarithm import float32 as _f

KEEP = 0.99


def raised(step: int) -> float:
    """2 ** (step / 1024) by the kernel's cubic, in float32."""
    part = _f((step % 1024) / 1024.0)
    cubic = _f(_f(0.30410988) + _f(_f(0.07924493) * part))
    bend = _f(_f(part * _f(part - 1.0)) * cubic)
    return _f(2.0 ** (step // 1024) * _f(_f(1.0 + part) + bend))


def lowered(value: float) -> int:
    """log2 of a positive float32 by the kernel's cubic, in steps of 1/1024."""
    bits = array("I", array("f", [value]).tobytes())[0]
    part = _f((bits & 0x7FFFFF) / 0x800000)
    cubic = _f(_f(_f(0.15922014) * part) - _f(0.42286534))
    part = _f(part + _f(_f(part * _f(part - 1.0)) * cubic))
    return ((bits >> 23) - 127) * 1024 + int(_f(part * 1024.0))


@dataclass
class PlainLaws:
    """Decayed moments of a type, and the power law and the affine law of size that follow from them."""

    weight: float = 0.0
    mean_size: float = 0.0
    mean_time: float = 0.0
    size_size: float = 0.0
    size_time: float = 0.0
    affine_weight: float = 0.0
    affine_size: float = 0.0
    affine_time: float = 0.0
    affine_size_size: float = 0.0
    affine_size_time: float = 0.0

    def take(self, size_step: int, time_step: int) -> None:
        """One run, into both laws."""
        size, time = size_step / 1024.0, time_step / 1024.0
        self.weight = KEEP * self.weight + 1.0
        share = 1.0 / self.weight
        size_off, time_off = size - self.mean_size, time - self.mean_time
        self.mean_size += share * size_off
        self.mean_time += share * time_off
        self.size_size = KEEP * self.size_size + size_off * (size - self.mean_size)
        self.size_time = KEEP * self.size_time + size_off * (time - self.mean_time)
        self.take_affine(size_step, time_step)

    def take_affine(self, size_step: int, time_step: int) -> None:
        """One run, into the affine law alone; it weighs 1 / time^2, as if it took at least half of what that says."""
        size, time = raised(size_step), raised(time_step)
        fixed, per_byte = self.affine()
        least = 0.5 * (fixed + per_byte * size) if self.affine_weight > 0.0 else 0.0
        weight = 1.0 / (max(time, least) * max(time, least))
        self.affine_weight = KEEP * self.affine_weight + weight
        share = weight / self.affine_weight
        size_off, time_off = size - self.affine_size, time - self.affine_time
        self.affine_size += share * size_off
        self.affine_time += share * time_off
        left = weight * size_off
        self.affine_size_size = KEEP * self.affine_size_size + left * (size - self.affine_size)
        self.affine_size_time = KEEP * self.affine_size_time + left * (time - self.affine_time)

    def slope(self) -> int:
        """Exponent of the power law, in 1/1024."""
        slope = (self.size_time + 0.3 * 1.0) / (self.size_size + 0.3)
        return int(min(max(slope, -0.5), 2.0) * 1024.0)

    def affine(self) -> tuple[float, float]:
        """What is fixed and what a byte costs, in ms, as float32."""
        size, time = self.affine_size, self.affine_time
        if self.affine_size_time <= 0.0:
            return _f(time), 0.0
        proportional = self.affine_weight * size * size
        per_byte = self.affine_size_time / (self.affine_size_size + 1e-3 * proportional)
        fixed = time - per_byte * size
        if fixed < 1e-6 * time:
            fixed = 0.0
            per_byte = (self.affine_size_time + self.affine_weight * size * time) / (
                self.affine_size_size + proportional
            )
        return (_f(time), 0.0) if per_byte * size < 1e-6 * time else (_f(fixed), _f(per_byte))

    def off(self, law: str, asked: int, size: int) -> int:
        """Steps by which a run of one size is moved to stand for the asked size."""
        if law == "power":
            return (self.slope() * (asked - size)) >> 10
        if law == "affine":
            fixed, per_byte = self.affine()
            then, now = (_f(fixed + _f(per_byte * raised(step))) for step in (size, asked))
            return lowered(now) - lowered(then)
        return 0
