"""The shell: turn loop, guard, recovery, ownership. Asyncio around the deterministic core."""
