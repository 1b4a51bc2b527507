"""Images, packed pixels, and the patches drawn from them."""
