"""Workers' own door: capacity reports, and work for workers that cannot or may not reach the store.

`part` starts and stops the server, `server` what is served and how it is bounded, `credentials` TLS · `callers` who
speaks, and for whom · `pools` what is behind the door · `calls` what holds for every call: room, deadline, errors ·
`reports` packs capacity reports, `capacity` from messages to documents · `work` registers, fetches, steps and leaves ·
`proofs` that a task was given to whoever says so · `inboxes` waits for many workers at once.
"""
