"""A ComfyUI custom node: copy this folder to ComfyUI/custom_nodes. Needs fastsr in ComfyUI's Python.

With it, ComfyUI's own "Load Upscale Model" opens what `fastsr export --format spandrel` made of any network, too.
"""

import fastsr
from fastsr.integrations.spandrel import install

install()


class FastsrUpscale:
    INPUT_TYPES = classmethod(lambda cls: {"required": {"image": ("IMAGE",), "model": ("STRING",)}})
    RETURN_TYPES, FUNCTION, CATEGORY = ("IMAGE",), "upscale", "image/upscaling"

    def upscale(self, image, model):  # [N, H, W, 3] in [0, 1]
        return (fastsr.load(model)(image.movedim(-1, 1)).movedim(1, -1),)


NODE_CLASS_MAPPINGS = {"FastsrUpscale": FastsrUpscale}
