"""The scenarios; importing this package registers them in the order in which they run."""

from benchmarks.scenarios import footprint, intake, parts, processing, reading

__all__ = ["footprint", "intake", "parts", "processing", "reading"]
