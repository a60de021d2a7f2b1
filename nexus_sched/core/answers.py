"""Questions to the engine: answered at the end of their turn, so that what the same turn did is in the answer."""

from __future__ import annotations

from msgspec.structs import asdict

from nexus_sched.core.explanation import about_task
from nexus_sched.core.state import EngineState
from nexus_sched.core.worker_answer import about_worker, about_workers
from nexus_sched.model.answer import Answer, EtaAnswer, Unanswered, encode_answer
from nexus_sched.model.effects import Answered
from nexus_sched.model.events import QuestionAsked
from nexus_sched.model.question import AskEta, AskWhy, AskWorker, AskWorkers, Question


class Answers:
    """The one place that turns a question into an answer. Each kind of answer has a module of its own."""

    def __init__(self, state: EngineState) -> None:
        self._state = state

    def asked(self, event: QuestionAsked) -> None:
        """Somebody wants to know something."""
        self._state.questions.append(event)

    def give(self) -> None:
        """Answer what was asked in this turn. Questions change nothing."""
        state = self._state
        for event in state.questions:
            state.effects.append(Answered(event.reply, encode_answer(self.answer(event.question))))
        state.questions.clear()

    def answer(self, question: Question) -> Answer:
        """The answer as a value."""
        match question:
            case AskWorker():
                return about_worker(self._state, question.worker)
            case AskWorkers():
                return about_workers(self._state, question.after, question.count)
            case AskEta():
                return self._eta(question.task_id)
            case AskWhy():
                return about_task(self._state, question.task_id, question.worker)

    def _eta(self, task_id: str) -> Answer:
        record = self._state.tasks.get(task_id)
        if record is None:
            return Unanswered(task_id, f"no task {task_id!r} waits or runs")
        standing = "waiting" if record.waiting else "placed"
        return EtaAnswer(task_id, standing, record.worker, asdict(self._state.etas.eta_of(record)))
