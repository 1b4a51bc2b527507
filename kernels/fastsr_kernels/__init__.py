"""Operators of fastsr, each a folder: `reference.py` states the meaning in plain torch. Needs torch alone."""
