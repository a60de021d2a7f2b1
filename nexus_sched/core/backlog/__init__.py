"""The central queue of a pool: `backlog` (the whole), `queue` (one level), `lane` (tasks that are alike), `ranking`."""
