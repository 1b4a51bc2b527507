"""Benchmarks, one file per question; README.md lists them. `pytest bench --benchmark-only` is small."""
