"""A run is a folder that explains itself: its names, its growing NetCDF files, its checkpoints, and who writes them.

Everything here keeps one promise: whatever happens to the process (a full disk, a kill at any instruction), what was
written before is still there and readable.
"""

from .checkpoint import load_checkpoint, save_checkpoint
from .files import expanded, replacing, sha256, write_bytes, write_new, write_text
from .folder import MEMBER, SWEEP, RunFolder, leads_nowhere, sweep_instead
from .layout import SPACE
from .reading import new_hdf5, open_dataset, write_dataset
from .records import RecordFile, Variable
from .writer import Writer

__all__ = [
    "MEMBER",
    "SPACE",
    "SWEEP",
    "RecordFile",
    "RunFolder",
    "Variable",
    "Writer",
    "expanded",
    "leads_nowhere",
    "load_checkpoint",
    "new_hdf5",
    "open_dataset",
    "replacing",
    "save_checkpoint",
    "sha256",
    "sweep_instead",
    "write_bytes",
    "write_dataset",
    "write_new",
    "write_text",
]
