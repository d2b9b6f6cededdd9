"""The formats of fields."""

from __future__ import annotations

from ..formats import Format
from . import film, pictures, vtkhdf, xdmf

_DRAWN = ("field", "time", "every", "slice", "colormap", "range", "scale")

FORMATS = {
    "vtkhdf": Format("all snapshots of all fields, a copy that ParaView opens", (), vtkhdf.write),
    "xdmf": Format("XML that tells ParaView and VisIt of the fields, without a copy", (), xdmf.write),
    "png": Format("a picture for each snapshot, one pixel a cell", _DRAWN, pictures.write),
    "mp4": Format("a film of the snapshots", (*_DRAWN, "fps"), film.write),
}
