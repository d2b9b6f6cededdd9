"""export SOURCE [format=json|calculix|abaqus|moose|ansys] [key=value ...]     a property record, or a material card for a solver

SOURCE is a run folder (its properties.nc), an image's NAME_properties.nc, a
file of statistics or of a surrogate's prediction, or a property record.

format=json writes NAME_record.json, by the schema of docs/record.md, and the
same as NAME_record.nc: tensors in SI units, with the numerical, model,
statistical and parameter part of every uncertainty. The other formats write a
material card in any consistent system of units:
  phasefield export RUN_DIR format=calculix units=mm-t-s
"""

from __future__ import annotations

from ..command import Call, Command


def export(call: Call) -> int:
    from ..upscale.export import export as write

    files, _, text = write(call.words[0], call.keys)
    print(text, *map(str, files), sep="\n")
    return 0


COMMAND = Command(
    "phasefield.upscale.export:Export", export, words={"SOURCE": "the run folder or the file of properties"}
)
