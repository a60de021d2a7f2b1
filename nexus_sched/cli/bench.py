"""`nexus-sched bench predict|report`: how right predictors are on recorded executions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from nexus_sched.accuracy.candidates import BASELINE, DEFAULT, PredictorUnavailable, known, make
from nexus_sched.accuracy.measure import measure
from nexus_sched.accuracy.report import write_report
from nexus_sched.accuracy.schedule import Feedback
from nexus_sched.accuracy.table import overview, types
from nexus_sched.accuracy.tasks import Moment
from nexus_sched.cli import exit_codes
from nexus_sched.cli.output import console, note, print_json
from nexus_sched.config.suggest import hint
from nexus_sched.demo.progress import ProgressDisplay
from nexus_sched.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import Console

JsonFlag = Annotated[bool, Parameter(name="--json", show_default=False)]


def predict(
    *,
    trace: Path,
    at: Moment = "submit",
    feedback: Feedback = "delayed",
    predictors: str = ",".join(DEFAULT),
    baselines: bool = False,
    payload_column: str = "payload_size",
    json: JsonFlag = False,
) -> int:
    """Predict, then learn, every task of a trace, and say how right that was.

    Parameters
    ----------
    trace
        File in the trace format: CSV, or its gzip.
    at
        The moment of prediction. Known by then are the results of runs that had ended.
    feedback
        immediate learns every result as soon as it was predicted, which flatters.
    predictors
        Names, separated by commas: of those that are installed, or module:factory.
    baselines
        Add gradient boosting that trains itself while the trace goes by, if the extra it needs is installed.
    payload_column
        Column that holds the size of the payload.
    json
        Print one JSON object on standard output; shares are fractions of 1, costs are nanoseconds for one call.
    """
    names = chosen(predictors, baselines)
    with ProgressDisplay(_progress_console()) as progress:
        measured = measure(trace, names, progress, at, feedback, payload_column)
    if json:
        print_json(measured.as_json())
        return exit_codes.OK
    output = console()
    output.print(overview(measured))
    for name, found in measured.scores.items():
        output.print(types(name, found))
    return exit_codes.OK


def report(
    directory: Path,
    /,
    *,
    output: Path = Path("build/accuracy"),
    predictors: str = ",".join(DEFAULT),
    baselines: bool = False,
    json: JsonFlag = False,
) -> int:
    """Measure all traces of a folder and write a page with the figures and pictures.

    Parameters
    ----------
    directory
        Folder with traces, *.csv.gz; files without a column duration_s are left out.
    output
        Folder for index.html and scores.json; made if it is missing.
    predictors
        Names, separated by commas: of those that are installed, or module:factory.
    baselines
        Add gradient boosting that trains itself while the trace goes by, if the extra it needs is installed.
    json
        Print one JSON object on standard output.
    """
    names = chosen(predictors, baselines)
    paths = sorted(directory.glob("*.csv.gz"))
    if not paths:
        raise InvalidInput(f"{directory}: there is no trace in it (*.csv.gz)")
    measurements = []
    with ProgressDisplay(_progress_console()) as progress:
        for path in paths:
            try:
                measurements.append(measure(path, names, progress))
            except InvalidInput as error:
                progress.end("left out")
                note(f"{error}")
    if not measurements:
        raise InvalidInput(f"{directory}: none of its files is a trace")
    page = write_report(measurements, output)
    if json:
        print_json({"page": str(page), "traces": [measured.as_json() for measured in measurements]})
    else:
        for measured in measurements:
            console().print(overview(measured))
    note(f"The report is {page}")
    return exit_codes.OK


def chosen(text: str, baselines: bool) -> list[str]:
    """The predictors that are asked for. Raises `PredictorUnavailable`; a baseline that is missing is only told."""
    if "" not in sys.path:
        sys.path.insert(0, "")  # like python -m: a module in the working directory is found
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise InvalidInput("--predictors names none")
    for name in names:
        if ":" not in name and name not in known():
            raise PredictorUnavailable(f"no predictor is called {name!r}{hint(name, known())}")
    if baselines and BASELINE not in names:
        try:
            make(BASELINE)
        except PredictorUnavailable as error:
            note(f"Without the baseline: {error}")
        else:
            names.append(BASELINE)
    return names


def _progress_console() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False)
