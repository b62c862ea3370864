# SAM-3D in a container: sam3d segment, evaluate and all other commands, as a user without rights.
#
#   docker build --tag sam3d --build-arg WEIGHTS="vit_b" .
#   docker run --rm -v "$PWD/in:/in:ro" -v "$PWD/out:/out" sam3d segment /in --checkpoint /in/model.pt --output /out/masks
FROM python:3.11-slim-bookworm

# cpu, or cu126 and the like for a GPU (docker run --gpus all): the folder of PyTorch's own index
ARG TORCH_BUILD=cpu
# Names of `sam3d download`, such as "vit_b mobile_sam"; by default none, and --network detail+no_encoder needs none
ARG WEIGHTS=""
# Who owns /out outside, so that masks can be written: --build-arg USER_ID="$(id -u)"
ARG USER_ID=1000

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1 \
    XDG_CACHE_HOME=/opt/cache \
    MPLCONFIGDIR=/tmp/matplotlib

WORKDIR /src
COPY requirements.txt ./
# The requirements change more seldom than the code, and stay in a layer of their own.
RUN pip install "$(grep '^torch==' requirements.txt)" --index-url "https://download.pytorch.org/whl/${TORCH_BUILD}" \
    && pip install --requirement requirements.txt
COPY . .
RUN pip install --no-deps . \
    && useradd --uid "${USER_ID}" --create-home sam3d \
    && mkdir --parents /in /out "${XDG_CACHE_HOME}" \
    && chown sam3d /out "${XDG_CACHE_HOME}"

USER ${USER_ID}
RUN for name in ${WEIGHTS}; do sam3d download "${name}" || exit 1; done

WORKDIR /out
ENTRYPOINT ["sam3d"]
CMD ["--help"]
