"""The tree of commands. Each is imported when it is used, so that help costs next to nothing.

No module that `--help` touches may import redis, numpy or the scheduler itself; a test checks it.
"""

from __future__ import annotations

from cyclopts import App, Parameter

from nexus_sched.version import VERSION

# name -> (module:function, one line)
COMMANDS = {
    "demo": ("nexus_sched.cli.demo:demo", "Run one workload twice, round robin and predictive, and compare."),
    "run": ("nexus_sched.cli.run_command:run", "Run the scheduler of a pool."),
    "worker": ("nexus_sched.cli.worker:worker", "Run tasks with the functions of an application."),
    "submit": ("nexus_sched.cli.submit:submit", "Submit a task, and wait for its result if asked to."),
    "simulate": ("nexus_sched.cli.simulate:simulate", "Compare policies on the same tasks, in virtual time."),
    "explain": ("nexus_sched.cli.explain:explain", "Say why a task waits, or why it went where it went."),
    "what-if": ("nexus_sched.cli.what_if:run_what_if", "Simulate a recorded hour with changes, beside what happened."),
    "status": ("nexus_sched.cli.status:status", "Show where a pool stands."),
    "fsck": ("nexus_sched.cli.fsck:fsck", "Prove that a shard is whole, and repair what is safe to repair."),
    "doctor": ("nexus_sched.cli.doctor:doctor", "Check server, configuration and pool, and say what to do."),
    "version": ("nexus_sched.cli.version:version", "Print the version."),
}
TASK_COMMANDS = {
    "get": ("nexus_sched.cli.task:get", "Show where a task stands."),
    "eta": ("nexus_sched.cli.task:eta", "Say when a task will start and finish."),
    "cancel": ("nexus_sched.cli.task_change:cancel", "Take a task out of the queue, or stop it."),
    "boost": ("nexus_sched.cli.task_change:boost", "Give a waiting task another priority."),
    "reassign": ("nexus_sched.cli.task_change:reassign", "Let a task that has not begun run elsewhere."),
    "retry": ("nexus_sched.cli.task_change:retry", "Send a dead task again, or end its back-off."),
}
CONFIG_COMMANDS = {
    "check": ("nexus_sched.cli.config:check", "Check the configuration and report everything that is wrong."),
    "show": ("nexus_sched.cli.config:show", "Print the configuration in force."),
    "schema": ("nexus_sched.cli.config:schema", "Print the JSON Schema of nexus.toml."),
    "explain": ("nexus_sched.cli.config:explain", "Say what a key means and takes."),
}
JOURNAL_COMMANDS = {
    "export": ("nexus_sched.cli.journal:export", "Keep a shard's journal in a file."),
}
BENCH_COMMANDS = {
    "predict": ("nexus_sched.cli.bench:predict", "Measure how right predictions are on a recorded trace."),
    "report": ("nexus_sched.cli.bench:report", "Measure all traces of a folder and write a page."),
}
OVERRIDE_COMMANDS = {
    "add": ("nexus_sched.cli.override:add", "Pin, avoid, raise, or correct an estimate, until it expires."),
    "list": ("nexus_sched.cli.override:list_overrides", "Show the overrides in force."),
    "remove": ("nexus_sched.cli.override:remove", "End an override before its time."),
}
PREDICTOR_COMMANDS = {
    "list": ("nexus_sched.cli.predictor:list_predictors", "List the predictors that are installed."),
    "show": ("nexus_sched.cli.predictor:show", "Show who predicts and how right it is, or what a model holds."),
    "train": ("nexus_sched.cli.predictor_train:train", "Train gradient boosting on finished runs."),
    "compare": ("nexus_sched.cli.predictor_compare:compare", "Compare two predictors on a recorded trace."),
    "load": ("nexus_sched.cli.predictor:load", "Let a trained model learn and be scored in the shadow."),
    "shadow": ("nexus_sched.cli.predictor:shadow", "Let a predictor learn and be scored in the shadow."),
    "promote": ("nexus_sched.cli.predictor:promote", "Let a predictor speak."),
    "rollback": ("nexus_sched.cli.predictor:rollback", "Let the former predictor speak again."),
}
WORKERS_COMMANDS = {
    "list": ("nexus_sched.cli.workers:list_workers", "List the workers, where each stands and what it holds."),
    "get": ("nexus_sched.cli.workers:get", "Show one worker, and when it will be free."),
    "cordon": ("nexus_sched.cli.workers_change:cordon", "Give a worker nothing new."),
    "drain": ("nexus_sched.cli.workers_change:drain", "Give a worker nothing new and take back what it can spare."),
    "evict": ("nexus_sched.cli.workers_change:evict", "Empty a worker, also of what it runs."),
    "resume": ("nexus_sched.cli.workers_change:resume", "Let a worker take tasks again."),
    "breaker": ("nexus_sched.cli.workers_change:breaker", "Open a worker's breaker."),
}
DEAD_COMMANDS = {
    "list": ("nexus_sched.cli.dead:list_letters", "List the dead letters."),
    "show": ("nexus_sched.cli.dead:show", "Show one dead letter with its payload."),
    "redrive": ("nexus_sched.cli.dead_change:redrive", "Send dead tasks again."),
    "purge": ("nexus_sched.cli.dead_change:purge", "Remove dead letters for good."),
    "log": ("nexus_sched.cli.dead_change:log", "Show what was done to dead letters, by whom and why."),
}
POOL_COMMANDS = {
    "pause": ("nexus_sched.cli.pool:pause", "Hand out no more tasks, of a type or at all."),
    "resume": ("nexus_sched.cli.pool:resume", "Hand tasks out again."),
    "mode": ("nexus_sched.cli.pool:mode", "Choose how workers are picked."),
}
AUDIT_COMMANDS = {
    "tail": ("nexus_sched.cli.audit:tail", "Show the newest changes."),
    "search": ("nexus_sched.cli.audit:search", "Show the changes that are about something."),
    "export": ("nexus_sched.cli.audit:export", "Write the trail to a file."),
    "verify": ("nexus_sched.cli.audit:verify", "Prove that the trail is as it was written."),
    "key": ("nexus_sched.cli.audit:key", "Make a key to sign the trail with."),
}
TOKEN_COMMANDS = {
    "create": ("nexus_sched.cli.token:create", "Make a token, and print it once."),
    "list": ("nexus_sched.cli.token:list_tokens", "List the tokens."),
    "revoke": ("nexus_sched.cli.token:revoke", "Make tokens worthless."),
}
# name -> (its commands, one line)
GROUPS = {
    "workers": (WORKERS_COMMANDS, "See workers, and decide who is given tasks."),
    "dead": (DEAD_COMMANDS, "See tasks that ended as dead letters, and decide what becomes of them."),
    "task": (TASK_COMMANDS, "Look at one task, and decide about it."),
    "pool": (POOL_COMMANDS, "Decide about the whole pool."),
    "audit": (AUDIT_COMMANDS, "See who changed what and why, and prove it."),
    "token": (TOKEN_COMMANDS, "Decide who may use the gateway."),
    "config": (CONFIG_COMMANDS, "Check, show and explain the configuration."),
    "predictor": (PREDICTOR_COMMANDS, "Choose, train and compare what predicts."),
    "override": (OVERRIDE_COMMANDS, "Overrule the scheduler for a while, for a task or a type."),
    "journal": (JOURNAL_COMMANDS, "Keep what a shard has done."),
    "bench": (BENCH_COMMANDS, "Measure on recorded executions."),
}


def build_app() -> App:
    """The application with all commands, none of them imported."""
    default = Parameter(negative=())
    app = App(
        name="nexus-sched",
        help="Send every task to the worker that will finish it first, and say why.",
        version=VERSION,
        default_parameter=default,
        help_format="plaintext",
    )
    for name, (place, line) in COMMANDS.items():
        app.command(place, name=name, help=line)
    for group, (commands, summary) in GROUPS.items():
        below = App(name=group, help=summary, default_parameter=default)
        for name, (place, line) in commands.items():
            below.command(place, name=name, help=line)
        app.command(below)
    return app
