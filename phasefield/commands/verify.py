"""verify quick|full|pfhub [key=value ...]     check this installation against exact results and benchmarks

  quick   temporal order of every scheme, growth rates, interfaces, conservation, all
          boundaries, laminates and disks, the same bits after a resumption, single
          precision: under two minutes on two cores
  full    the same and more: 3-D, rates of every scheme, ripening, coexistence, media of
          any contrast, threads, uncertain constants: some minutes with nothing compiled
  pfhub   benchmarks of the phase-field community, each against a converged run and the
          curves of others, with the files that PFHub takes: minutes each; given again
          with the same output, it goes on

Prints one table and writes verify.html, a page of its own, and verify.json into a folder. The exit code is 0 if everything is
within what is allowed, 1 if something is not. Stopped by Ctrl-C, what is done is kept.

examples:
  phasefield verify quick
  phasefield verify quick only=order,conservation precision=single
  phasefield verify pfhub only=1a,1b output=pfhub
"""

from __future__ import annotations

import sys

from ..command import Call, Command


def verify(call: Call) -> int:
    from .. import display
    from ..verify import command, words

    job = command.prepare(call.words[0], call.keys, call.line)
    if job.plan:
        print(f"{job.folder}: {job.plan}", file=sys.stderr, flush=True)
    try:
        with display.working() as show:
            job.run(show)
    finally:  # also what was done before a signal
        words.tell(job.record, job.folder, sys.stdout)
    return 0 if job.record.good else 1


def validate(call: Call) -> str:
    from ..verify import command

    return command.validate(call.words[0] if call.words else "quick", call.keys)


COMMAND = Command(
    "phasefield.verify.settings:Settings",
    verify,
    words={"quick|full|pfhub": "the ladder (quick, full or pfhub)"},
    validate=validate,
)
