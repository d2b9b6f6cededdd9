"""What notebooks show: runs and sweeps as HTML, and a run while it goes on. Nothing is loaded from elsewhere."""

from .live import Live, in_notebook
from .showing import run_html, sweep_html

__all__ = ["Live", "in_notebook", "run_html", "sweep_html"]
