"""From commands of people to events: names are checked, spans become instants.

Law: the command line and the API check what they send by the same words, so what they accept is not refused here; but
anybody may append to the stream.
"""

from __future__ import annotations

from nexus_sched.errors import InvalidInput
from nexus_sched.model.command import (
    AddOverride,
    Ask,
    BoostTask,
    CancelTask,
    ChoosePredictor,
    Command,
    CordonWorker,
    EvictWorker,
    PauseTasks,
    PinEstimate,
    ReassignTask,
    ReloadConfiguration,
    RemoveOverride,
    ResumeTasks,
    ResumeWorker,
    RetryTask,
    SetMode,
    ShadowPredictor,
    TripWorker,
    UnpinEstimate,
)
from nexus_sched.model.demands import instant_after
from nexus_sched.model.events import (
    AnyEvent,
    CancelRequested,
    EstimatePinned,
    EstimateUnpinned,
    ModeChanged,
    OverrideAdded,
    OverrideRemoved,
    PredictorChosen,
    QuestionAsked,
    ReloadRequested,
    RetryRequested,
    TaskBoosted,
    TaskReassigned,
    TasksPaused,
    TasksResumed,
    WorkerCordoned,
    WorkerEvicted,
    WorkerResumed,
    WorkerTripped,
)
from nexus_sched.model.ids import check_task_id, check_task_type, check_worker_id
from nexus_sched.model.overrides import AVOID, PRIORITY, TASK, TYPE, check_effect, check_known_effect
from nexus_sched.model.question import AskEta, AskWhy, AskWorker, AskWorkers, Question
from nexus_sched.model.settings import MODES


def decided(command: Command, at_ms: int) -> AnyEvent:
    """The event of a command that was given at this instant. Raises `InvalidInput`."""
    match command:
        case CancelTask():
            return CancelRequested(check_task_id(command.task_id), command.reason, command.actor)
        case SetMode():
            if command.mode not in MODES:
                raise InvalidInput(f"{command.mode[:40]!r} is no mode: one of {', '.join(MODES)}")
            return ModeChanged(command.mode, command.reason, command.actor)
        case ChoosePredictor():
            return PredictorChosen(check_worker_id(command.name), False, command.reason, command.actor)
        case ShadowPredictor():
            name = check_worker_id(command.name) if command.name else ""
            return PredictorChosen(name, True, command.reason, command.actor)
        case UnpinEstimate():
            return EstimateUnpinned(check_task_type(command.task_type), command.reason, command.actor)
        case PinEstimate():
            return _pinned(command, at_ms)
        case AddOverride():
            return _overridden(command, at_ms)
        case RemoveOverride():
            return _no_longer_overridden(command)
        case CordonWorker():
            return WorkerCordoned(check_worker_id(command.worker), command.drain, command.reason, command.actor)
        case ResumeWorker():
            return WorkerResumed(check_worker_id(command.worker), command.reason, command.actor)
        case TripWorker():
            return WorkerTripped(check_worker_id(command.worker), command.reason, command.actor)
        case EvictWorker():
            return WorkerEvicted(check_worker_id(command.worker), command.reason, command.actor)
        case BoostTask():
            return TaskBoosted(check_task_id(command.task_id), command.priority, command.reason, command.actor)
        case ReassignTask():
            worker = check_worker_id(command.worker) if command.worker else ""
            return TaskReassigned(check_task_id(command.task_id), worker, command.reason, command.actor)
        case RetryTask():
            return RetryRequested(check_task_id(command.task_id), command.reason, command.actor)
        case PauseTasks():
            task_type = check_task_type(command.task_type) if command.task_type else ""
            return TasksPaused(task_type, command.reason, command.actor)
        case ResumeTasks():
            task_type = check_task_type(command.task_type) if command.task_type else ""
            return TasksResumed(task_type, command.reason, command.actor)
        case ReloadConfiguration():
            return ReloadRequested(command.reason, command.actor)
        case Ask():
            return QuestionAsked(check_task_id(command.reply), _checked(command.question))


def _pinned(command: PinEstimate, at_ms: int) -> EstimatePinned:
    return EstimatePinned(
        check_task_type(command.task_type),
        command.value_ms,
        command.factor,
        instant_after(at_ms, command.for_ms),
        command.reason,
        command.actor,
    )


def _overridden(command: AddOverride, at_ms: int) -> OverrideAdded:
    check_effect(command.effect, command.target, command.levels)
    return OverrideAdded(
        *_scope(command),
        command.effect,
        check_worker_id(command.target) if command.effect != PRIORITY else "",
        command.levels,
        instant_after(at_ms, command.for_ms),
        command.reason,
        command.actor,
    )


def _no_longer_overridden(command: RemoveOverride) -> OverrideRemoved:
    check_known_effect(command.effect)
    target = check_worker_id(command.target) if command.effect == AVOID else ""
    return OverrideRemoved(*_scope(command), command.effect, target, command.reason, command.actor)


def _scope(command: AddOverride | RemoveOverride) -> tuple[str, str]:
    """What an override concerns: scope and subject. Raises `InvalidInput` unless it is one thing."""
    if bool(command.task_type) == bool(command.task_id):
        raise InvalidInput("an override is for a type or for a task: one of the two")
    if command.task_id:
        return TASK, check_task_id(command.task_id)
    return TYPE, check_task_type(command.task_type)


def _checked(question: Question) -> Question:
    match question:
        case AskEta():
            check_task_id(question.task_id)
        case AskWhy():
            check_task_id(question.task_id)
            if question.worker:
                check_worker_id(question.worker)
        case AskWorkers():
            if question.after:
                check_worker_id(question.after)
        case AskWorker():
            check_worker_id(question.worker)
    return question
