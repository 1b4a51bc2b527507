"""Peers that see the same patches and teach each other: one training step."""
