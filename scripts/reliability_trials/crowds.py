"""Many processes at once."""

from __future__ import annotations

import os
import time
from pathlib import Path

import reliability_faults as faults
from reliability_faults import Fault

from .common import KINDS, Found, bits, workshop


def together(starts: int, cache: Path | None, one_folder: bool, resume: str, left: bool, right: str) -> Found:
    """Starts at the same moment, on an empty cache or a common one, in folders of their own or all in one.

    Args:
        left: whether the one folder holds the beginning of a run that was killed before its first checkpoint.
    """
    words = [w for w in KINDS["plain"] if not w.startswith("output.resume")] + [f"output.resume={resume}"]
    with workshop(cache) as place:
        if left:
            faults.call(words, place, Fault("kill", 1, name="fields.nc.tmp", below=str(place / "run")))
        gate, hold = os.pipe()
        os.set_inheritable(hold, False)
        children = []
        for number in range(starts):
            folder = place / ("" if one_folder else str(number))
            folder.mkdir(exist_ok=True)
            children.append(
                faults.start(words, folder, before=lambda: os.close(hold), gate=gate, said=f"said.{number}.txt")
            )
        time.sleep(0.3)
        os.close(hold)
        os.close(gate)
        codes = [faults.wait(pid, 280) for pid in children]
        texts = [(place / ("" if one_folder else str(n)) / f"said.{n}.txt").read_text() for n in range(starts)]
        wrong = [f"start {n}: a traceback: {t[-1500:]}" for n, t in enumerate(texts) if "Traceback" in t]
        counts = {code: codes.count(code) for code in sorted(set(codes))}
        if one_folder:
            # With output.resume=auto one that comes late finds the run ended, and that is no error.
            ran = [
                t for t in texts if "history in history.nc" in t and "already ended" not in t and "resuming" not in t
            ]
            if set(counts) - {0, 2} or not counts.get(0) or len(ran) != 1 or (resume == "never" and counts.get(0) != 1):
                wrong.append(f"exit codes {counts}, {len(ran)} ran from the start")
            wrong += [
                f"start {n} said {t.count('phasefield: error: ')} errors: {t[-500:]}"
                for n, (c, t) in enumerate(zip(codes, texts, strict=True))
                if c == 2 and t.count("phasefield: error: ") != 1
            ]
            results = {bits(place / "run")}
        else:
            if counts != {0: starts}:
                wrong.append(f"exit codes {counts}: {[t[-500:] for c, t in zip(codes, texts, strict=True) if c][:2]}")
            results = {bits(place / str(n) / "run") for n in range(starts)}
        if len(results) != 1 or (cache is not None and results != {right}):
            wrong.append(f"{len(results)} different results")
        return Found(", ".join(f"{n} of code {c}" for c, n in counts.items()), wrong)
