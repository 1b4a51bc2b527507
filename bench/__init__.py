"""Benchmarks, one file per question. `pytest bench --benchmark-only` is small; `--paper` is the paper's recipe."""
