"""The 64-bit digest: golden values, its plain Python twin, and what it must notice."""

from __future__ import annotations

import random

import pytest

from nexus_sched._kernel.digest import digest64
from nexus_sched.testing import oracle

# Never to change: journals and snapshots in the field hold digests.
GOLDEN = (
    (b"", 0, 0xAE2F5B1512D32CE6),
    (b"", 1, 0x32491453DB936E3C),
    (b"a", 0, 0x19EC44861A02F28A),
    (b"nexus", 0, 0xDBAA8C949237485B),
    (bytes(32), 0, 0x13C66665B19C5B31),
    (bytes(33), 0, 0xF32C5E0FDE143BBC),
    (b"0123456789abcdef" * 8, 0, 0xE546A13E1DA45F77),
    (b"0123456789abcdef" * 8 + b"tail", 2**64 - 1, 0xFE0EBF919F643412),
)


@pytest.mark.parametrize(("data", "seed", "expected"), GOLDEN, ids=range(len(GOLDEN)))
def test_digest_keeps_its_golden_values(data: bytes, seed: int, expected: int):
    assert digest64(data, seed) == expected


def test_digest_agrees_with_its_twin_at_every_length():
    dice = random.Random(1)
    for size in range(300):
        data, seed = dice.randbytes(size), dice.getrandbits(64)
        assert digest64(data, seed) == oracle.digest64(data, seed), f"size {size}"


def test_digest_notices_every_flipped_bit():
    data = random.Random(2).randbytes(100)
    digests = {digest64(data)}
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        digests.add(digest64(bytes(changed)))
    assert len(digests) == 8 * len(data) + 1


def test_flipped_bit_changes_about_half_of_the_digest():
    dice = random.Random(3)
    changed_bits = []
    for _ in range(500):
        data = bytearray(dice.randbytes(dice.randrange(1, 120)))
        before = digest64(bytes(data))
        bit = dice.randrange(8 * len(data))
        data[bit // 8] ^= 1 << bit % 8
        changed_bits.append((before ^ digest64(bytes(data))).bit_count())
    assert 31 < sum(changed_bits) / len(changed_bits) < 33
    assert min(changed_bits) > 12


def test_zeros_of_different_lengths_differ():
    assert len({digest64(bytes(size)) for size in range(200)}) == 200


def test_seeds_and_word_order_matter():
    one, other = bytes(range(32)), bytes(range(32, 64))
    assert digest64(one + other) != digest64(other + one)
    assert digest64(one[8:16] + one[:8]) != digest64(one[:16])
    assert len({digest64(one, seed) for seed in range(1000)}) == 1000


@pytest.mark.parametrize("seed", [-1, 1 << 64])
def test_seed_of_more_than_64_bits_is_refused(seed: int):
    with pytest.raises(OverflowError):
        digest64(b"", seed)
