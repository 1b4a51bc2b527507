# fastsr with PyTorch for NVIDIA GPUs, or for a CPU:
#
#   docker build -t fastsr .
#   docker run --rm --gpus all -v "$PWD:/data" fastsr train --data photos --out runs/x4 --amp --compile
#
#   docker build -t fastsr:cpu --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu .
FROM python:3.12-slim

# A compiler is what --compile needs, and Triton for its kernels.
RUN apt-get update -q \
    && apt-get install -y -q --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*

ARG TORCH_INDEX=https://pypi.org/simple
RUN pip install --no-cache-dir torch --index-url "$TORCH_INDEX"

WORKDIR /fastsr
COPY pyproject.toml README.md LICENSE ./
COPY fastsr ./fastsr
COPY kernels ./kernels
RUN pip install --no-cache-dir .

# Downloads, packed images and compiled kernels last as long as this volume.
ENV XDG_CACHE_HOME=/cache TRITON_CACHE_DIR=/cache/triton
VOLUME /cache
WORKDIR /data
ENTRYPOINT ["fastsr"]
CMD ["--help"]
