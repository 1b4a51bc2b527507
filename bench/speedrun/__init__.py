"""A race to a sharp picture, small enough for a CPU. README.md has the rules and the records."""
