"""Training, from images to a run."""
