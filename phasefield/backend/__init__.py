"""Devices. See `base` for what each of them offers."""

from .base import DTYPES, Backend, Compiled, Layout, Transform, cache_folder, cells_of, select

__all__ = ["DTYPES", "Backend", "Compiled", "Layout", "Transform", "cache_folder", "cells_of", "select"]
