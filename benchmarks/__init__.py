"""Benchmarks of a whole hub and of its parts: `python -m benchmarks --help` (docs/operations/benchmarks.md)."""
