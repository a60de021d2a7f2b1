"""What twenty times its capacity does to a scheduler: `python -m benchmarks.flood [--duration S] [--json]`.

Real processes and a real server; workers that take as long as they say. Three times the same urgent tasks are
submitted, a few a second, and only what goes on beside them differs:

* calm: other tasks for seven tenths of the capacity;
* flood: other tasks for twenty times the capacity, which the bound on the queue's length has to keep out;
* bytes: the same with larger payloads, which the bound on bytes has to keep out.

Then, with nobody else submitting, a full queue refuses a submission some times; each answer says when there will be
room, and that is held against when there is. Waits are from a submission until a worker starts the task.

`site` workers and producers · `__main__` the phases, the figures and their goals.
"""
