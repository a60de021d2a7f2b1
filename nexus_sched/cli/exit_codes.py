"""The exit codes of all commands. They are stable: scripts depend on them."""

from __future__ import annotations

OK = 0
FAILED = 1
USAGE = 2
BAD_CONFIGURATION = 3
CANNOT_REACH = 4
NOT_FOUND = 5
CONFLICT = 6
NOT_ALLOWED = 7
DEGRADED = 8
VERIFICATION_FAILED = 9
GATE_FAILED = 10
INTERRUPTED = 130

MEANINGS = {
    OK: "done",
    FAILED: "the command failed, or the task it waited for did",
    USAGE: "a mistake on the command line or in an input",
    BAD_CONFIGURATION: "the configuration, or that of the server, cannot be used",
    CANNOT_REACH: "the server cannot be reached, or cannot be written to",
    NOT_FOUND: "what was asked for does not exist",
    CONFLICT: "somebody else holds it",
    NOT_ALLOWED: "credentials or rights are missing",
    DEGRADED: "it works, but not as it should",
    VERIFICATION_FAILED: "stored state is damaged, or does not agree with itself",
    GATE_FAILED: "a budget or threshold was passed",
    INTERRUPTED: "stopped by Ctrl-C",
}
