"""What a machine is shown to do before it is trusted, and which of equal settings is fastest there."""
