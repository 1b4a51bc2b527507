"""Memory, time and operations of a run, known before it begins."""
