"""A new project: a folder with a model, an experiment and scripts, made from the files in ``template``.

These are written as they stand but for ``{{name}}`` and ``{{model}}``; ``config/model/model.yaml`` takes the model's name.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from .. import presets
from ..errors import ConfigError, OutputError

TEMPLATE = Path(__file__).parent / "template"
#: Where the model of the template lies.
_MODEL = Path("config", "model", "model.yaml")


def create(target: str | Path, model: str = "") -> Path:
    """Makes the folder of a project; it appears whole or not at all.

    Args:
        target: the folder, whose last part is the project's name: a letter, then letters, digits, - and _.
        model: a preset, or a YAML file, whose model the project starts from; empty for a commented double well.

    Raises:
        ConfigError: a name that cannot be used, a preset that is not there. OutputError: the folder is there and not empty, or
            cannot be written.
    """
    folder = Path(os.path.expanduser(target))
    name = folder.name
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        hint = "begin with a letter; letters, digits, - and _ follow: phasefield new coarsening"
        raise ConfigError("NAME", f"{str(target)!r} does not name a project", hint)
    own = name.replace("-", "_")
    if own in presets.names("model"):
        raise ConfigError(
            "NAME",
            f"there is a preset {own!r}, beside which a model of that name would not be found",
            f"choose another name, and start from it with: phasefield new my_{own} model={own}",
        )
    text = _model(model, own) if model else None
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise OutputError(f"{folder}: is there already\n  choose another name, or an empty folder")
    try:
        _write(folder, {"name": name, "model": own}, text)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made: {error.strerror or error}") from error
    return folder


def _model(choice: str, name: str) -> str:
    """The file of a preset under another name."""
    path = presets.find("model", choice)
    content, text = presets.read(path, "model")
    if not isinstance(content, dict) or not {"energy", "fields"} <= set(content):
        raise ConfigError("model", f"{path} holds no model: energy and fields are expected")
    renamed, count = re.subn(r"(?m)^name:.*$", f"name: {name}", text, count=1)
    source = f"preset {choice}" if not presets.is_file(choice) else path.name
    return f"# From {source}.\n" + (renamed if count else f"name: {name}\n{renamed}")


def _write(folder: Path, words: dict[str, str], model: str | None) -> None:
    """Fills a folder beside the one wanted, and puts it in place."""
    if not folder.parent.is_dir():
        raise FileNotFoundError(0, f"there is no folder {folder.parent}")
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name[:100]}.", dir=folder.parent))
    try:
        for source in sorted(p for p in TEMPLATE.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
            relative = source.relative_to(TEMPLATE)
            text = source.read_text(encoding="utf-8")
            if relative == _MODEL:
                text = text if model is None else model
                relative = relative.with_name(f"{words['model']}.yaml")
            for word, value in words.items():
                text = text.replace("{{" + word + "}}", value)
            path = beside / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            path.chmod(0o666 & ~_mask() | (0o111 & ~_mask() if text.startswith("#!") else 0))
        beside.chmod(0o777 & ~_mask())
        os.rename(beside, folder)  # over an empty folder as well
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _mask() -> int:
    """What new files are not allowed."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
