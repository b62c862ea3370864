"""A trained network -> a file that other programs run, which gives the same masks."""

from .export_network import export_network

__all__ = ["export_network"]
