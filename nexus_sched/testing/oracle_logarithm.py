"""Plain Python twin of the kernel's logarithms (`csrc/nexus_logarithm.h`), equal to them bit for bit.

Law: nothing here is shared with the kernel, neither code nor constants. float32 is float64 rounded after every
operation, as in `nexus_sched.testing.oracle`; integers are exact.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable


def rounded(values: Iterable[float]) -> list[float]:
    """To float32, each."""
    return array("f", values).tolist()


def float32(value: float) -> float:
    """The nearest float32."""
    return rounded([value])[0]


def log2(value: float) -> float:
    """The kernel's own series, in float64."""
    fraction, exponent = math.frexp(value)
    fraction, exponent = 2.0 * fraction, exponent - 1
    if fraction >= float.fromhex("0x1.6a09e667f3bcdp+0"):
        fraction, exponent = 0.5 * fraction, exponent + 1
    f = fraction - 1.0
    s = f / (2.0 + f)
    t = s * s
    series = 2.0 / 19.0
    for odd in range(17, 1, -2):
        series = series * t + 2.0 / odd
    series *= t
    half_square = 0.5 * f * f
    high = _without_low_half(f - half_square)
    low = (f - high) - half_square + s * (half_square + series)
    inverse_high, inverse_low = 1.4426950407214463, 1.6751713164886512e-10
    product = high * inverse_high
    whole = exponent + product
    return ((exponent - whole) + product) + ((low + high) * inverse_low + low * inverse_high) + whole


def _without_low_half(value: float) -> float:
    words = array("Q", array("d", [value]).tobytes())
    words[0] &= 0xFFFFFFFF00000000
    return array("d", words.tobytes())[0]


def exp2(exponent: float) -> float:
    """The kernel's own series, in float64."""
    whole = (exponent + 6755399441055744.0) - 6755399441055744.0
    x = (exponent - whole) * 0.6931471805599453
    series = 1.0 / math.factorial(14)
    for power in range(13, -1, -1):
        series = series * x + 1.0 / math.factorial(power)
    return series * 2.0 ** int(whole)


def step_of(octaves: float) -> int:
    """log2 in steps of 1/1024, the nearest, within 31.9 octaves."""
    step = octaves * 1024.0
    most = int(31.9 * 1024.0)
    if abs(step) >= 31.9 * 1024.0:
        return most if step > 0 else -most
    return int(step + 0.5 if step >= 0.0 else step - 0.5)
