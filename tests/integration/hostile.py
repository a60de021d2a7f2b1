"""Two hundred strings that mean ill: pages, queries, paths, headers, escapes of terminals, numbers that are none."""

from __future__ import annotations

SEEDS = (
    *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"><svg onload=alert(1)>', "javascript:alert(1)"),
    *(
        "'; DROP TABLE tasks; --",
        "{{7*7}}",
        "${jndi:ldap://x}",
        "%0d%0aSet-Cookie: a=b",
        "\r\nSet-Cookie: a=b",
        "../../etc",
    ),
    *(
        "\x00",
        "\x1b[31mred",
        "\x1b]0;title\x07",
        "\u202egnp.exe",
        "\x9b31m",
        "\x7f",
        "\ufeff",
        "\u2028\u2029",
        "💥" * 20,
        "a" * 5_000,
    ),
    *("\\", '"', "'", "`id`", "$(id)", "|id", "&&id", "\t", "\n", " ", "", "null", "NaN", "-1", "1e999", "[]", "{}"),
    *(
        "__proto__",
        "constructor",
        "%s%s%n",
        "{0}",
        "\ud83d".encode("utf-16", "surrogatepass").decode("utf-16", "replace"),
    ),
)
HOSTILE = [*SEEDS, *(f"w{seed}" for seed in SEEDS), *(f"{seed}%" for seed in SEEDS), *(f"{seed}:x" for seed in SEEDS)]
HOSTILE += [f"{seed}\u0301" for seed in SEEDS]
