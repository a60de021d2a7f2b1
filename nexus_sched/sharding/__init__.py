"""A pool of several shards, and the replicas that share them.

`hashing` where a task goes, `spread` who should lead which shard · `submitter` `worker` the stores of a pool, over
those of its shards · `frames` the pictures of all shards as one.
"""
