"""export SOURCE [format=json|calculix|abaqus|moose|ansys] [key=value ...]     a property record, or a material card for a solver
export SOURCE format=vtkhdf|xdmf|png|mp4 [key=value ...]     fields for ParaView, as pictures or as a film

SOURCE is a run folder (its properties.nc), an image's NAME_properties.nc, a
file of statistics or of a surrogate's prediction, or a property record. Of a
sweep's folder every run is written, each beside its own files.

format=json writes NAME_record.json, by the schema of docs/record.md, and the
same as NAME_record.nc: tensors in SI units, with the numerical, model,
statistical and parameter part of every uncertainty. The card formats write a
material card in any consistent system of units:
  phasefield export RUN_DIR format=calculix units=mm-t-s

The formats of fields read the run's fields.nc (or a NetCDF file with x, y, z):
  phasefield export RUN_DIR format=vtkhdf                    fields.vtkhdf, a copy of all
  phasefield export RUN_DIR format=xdmf                      fields.xdmf, which refers to fields.nc
  phasefield export RUN_DIR format=png every=5               fields_png/, one pixel a cell
  phasefield export RUN_DIR format=mp4 slice=z:0.25          fields_c.mp4
"""

from __future__ import annotations

from ..command import Call, Command


def export(call: Call) -> int:
    from .. import exports, sweep

    (source,) = call.words
    if sweep.is_sweep(source):
        return exports.export_all(source, call.keys)
    files, text = exports.export(source, call.keys)
    print(text, *map(str, files), sep="\n")
    return 0


COMMAND = Command(
    "phasefield.exports:Export", export, words={"SOURCE": "the run folder, or the file of properties or fields"}
)
