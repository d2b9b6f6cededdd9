"""surrogate fit|predict|check ... [key=value ...]     a model, trained here, that predicts effective properties in milliseconds

  phasefield surrogate fit SWEEP [RUN_DIR|IMAGE ...] [key=value ...]
      trains with the microstructures of sweeps, runs, folders of images, and images:
      materials are drawn for each, their tensors computed (and kept for another fit),
      and what properties.nc of a run holds is taken besides. Writes surrogate.nc.
  phasefield surrogate predict MODEL RUN_DIR|IMAGE material=NAME [key=value ...]
      the tensor of an image, between the bounds of Voigt and Reuss, with the error
      measured on microstructures that were held back. What lies beyond the training
      is refused.
  phasefield surrogate check MODEL [SWEEP ...] [key=value ...]
      what the surrogate is, whether bounds hold for random queries, and its errors on
      microstructures that it has not seen.

A surrogate is of two isotropic phases and one property. fit needs scikit-learn:
pip install 'phasefield[upward]'.
"""

from __future__ import annotations

from ..command import Call, Command
from ..errors import PhasefieldError


def surrogate(call: Call) -> int:
    from .. import display
    from ..upscale import surrogate as package
    from ..upscale.surrogate import predicting, table
    from ..upscale.surrogate.settings import check_meant

    action, *words = call.words
    check_meant(action, call.overrides)
    settings = call.keys
    expected = {"fit": (1, 10**9), "predict": (2, 2), "check": (1, 10**9)}[action]
    if not expected[0] <= len(words) <= expected[1]:
        usage = {"fit": "SWEEP [...]", "predict": "MODEL RUN_DIR|IMAGE material=...", "check": "MODEL [SWEEP ...]"}[
            action
        ]
        raise PhasefieldError(
            f"surrogate {action}: {len(words)} folders or files are given\n  usage: phasefield surrogate {action} {usage}"
        )
    if action == "predict":
        print(table.prediction(*predicting.execute(words, settings, call.line)), flush=True)
        return 0
    with display.working() as show:
        if action == "fit":
            made, target, notes = package.fit(words, settings, call.line, show)
            text = "\n".join([*notes, table.card(made), f"{target}: arrays and JSON"])
        else:
            from ..store import expanded

            where = expanded(words[0])
            result = package.check(package.Surrogate.load(where), words[1:], settings, where, show)
            text = table.checked(result)
    print(text, flush=True)
    return 0 if action == "fit" or result.promises.kept else 1


COMMAND = Command(
    "phasefield.upscale.surrogate.settings:Settings",
    surrogate,
    words={"fit|predict|check": "the word fit, predict or check"},
    more="sweeps, runs, images; of predict and check the surrogate first",
)
