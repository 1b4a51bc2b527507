"""The machine: devices, precision, memory, versions."""
