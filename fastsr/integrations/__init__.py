"""fastsr inside other programs."""
