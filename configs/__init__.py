"""Hydra configuration shipped with the package."""
