"""Models for other programs: ONNX, spandrel, the Hugging Face hub. Nothing is called done that was not read back."""
