"""Disjoint sets: which of many things hang together by links, found on whole arrays at a time."""

from __future__ import annotations

import numpy as np


def union(parent: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    """Makes ``parent`` the lowest index of every tree that the links join."""
    while len(a):
        ra, rb = parent[a], parent[b]
        low, high = np.minimum(ra, rb), np.maximum(ra, rb)
        np.minimum.at(parent, high, low)
        while True:
            up = parent[parent]
            if np.array_equal(up, parent):
                break
            parent[:] = up
        differ = parent[a] != parent[b]
        a, b = a[differ], b[differ]
