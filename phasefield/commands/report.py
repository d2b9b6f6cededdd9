"""report DIR [--reference CSV ...]     pictures, curves and one HTML page from a run folder

Writes DIR/report.html, one page with pictures of the fields, curves of the history, effective properties where there are some,
configuration and log, and its pictures into DIR/report. A run that is still going can be reported as well; the page says so.

DIR may be the folder of a sweep: every member is reported, and DIR/index.html lists them.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..command import Call, Command
from ..keys import key


@dataclass
class Report:
    """What is drawn besides the run."""

    reference: list[str] = key(
        [],
        "a CSV file with a curve of the free energy to draw along, columns time and free_energy; several times",
        many=True,
        flag="--reference",
    )


def report(call: Call) -> int:
    from .. import sweep
    from ..report import report as write

    (folder,), references = call.words, call.keys.reference
    if sweep.is_sweep(folder):
        return sweep.report(folder, references, write)
    print(write(folder, references))
    return 0


COMMAND = Command(Report, report, words={"DIR": "one run folder"})
