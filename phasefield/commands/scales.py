"""scales SOURCE length=L [key=value ...]     whether homogenized properties may be used in a structure of that size

SOURCE is a run folder (its properties.nc) or an image's NAME_properties.nc.
Warns where the microstructure is not small beside the structure (l/L above
0.1), or does not come to rest within the period of the load (tau/T above
0.016):
  phasefield scales RUN_DIR length="15 mm" period="1 s" relaxation="1 ms"
"""

from __future__ import annotations

from ..command import Call, Command


def scales(call: Call) -> int:
    from ..upscale.macro.scales import scales_of

    found = scales_of(call.words[0], call.keys)
    print(f"l/L = {found.lengths:.2g}: microstructure {found.micro_length:.3g} m, structure {found.macro_length:.3g} m")
    if found.times is not None:
        print(f"tau/T = {found.times:.2g}: microstructure {found.micro_time:.3g} s, load {found.macro_time:.3g} s")
    found.warn()
    return 0


COMMAND = Command(
    "phasefield.upscale.macro.scales:ScaleKeys", scales, words={"SOURCE": "the run folder or the file of properties"}
)
