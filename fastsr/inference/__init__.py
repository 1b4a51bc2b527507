"""Generators on people's own pictures: reading, tiling, computing and writing."""
