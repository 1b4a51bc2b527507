"""Proof of what a machine computes before it is trusted, and the fastest of equal settings there."""
