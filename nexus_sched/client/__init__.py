"""Submit tasks and await their results, with or without asyncio.

`asynchronous` and `synchronous` are the two clients · `submission` one task, `demands` what it may ask for,
`batch` many · `announcements` and `endings` how the end of a task becomes a value or an error · `estimate` when
that will be · `connect`.
"""

from nexus_sched.client.asynchronous import AsyncClient, AsyncTaskHandle
from nexus_sched.client.batch import BatchInterrupted, BatchRefused
from nexus_sched.client.demands import Demands
from nexus_sched.client.estimate import Estimate, Expected
from nexus_sched.client.submission import Submission, submission
from nexus_sched.client.synchronous import Client, ClientClosed, TaskHandle

__all__ = [
    "AsyncClient",
    "AsyncTaskHandle",
    "BatchInterrupted",
    "BatchRefused",
    "Client",
    "ClientClosed",
    "Demands",
    "Estimate",
    "Expected",
    "Submission",
    "TaskHandle",
    "submission",
]
