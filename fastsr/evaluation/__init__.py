"""Trained models scored on test sets."""
