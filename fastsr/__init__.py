"""fastsr trains cohorts of super-resolution GANs whose discriminators teach each other."""

__version__ = "0.1.0"
