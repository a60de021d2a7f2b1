"""A pool of several shards, and the replicas that share them.

`hashing` where a task goes, `roll` who is there, `spread` who should lead which shard, `moves` how a worker gets to
another one · `submitter` `worker` `reporter` the stores of a pool, over those of its shards · `frames` the pictures of
all shards as one.
"""
