# phasefield in an image. docs/containers.md says how it is run.
#
#   docker build -t phasefield .                          CPU
#   docker build --target cuda -t phasefield:cuda .       with CUDA 13, for driver 580 or newer
#   docker build --target test -t phasefield:test .       with tests, for scripts/container_check.sh
#
# All stand on one base: CUDA's libraries come with the wheels of the extra `gpu`, and the driver's from the host.
ARG BASE_IMAGE=python:3.12-slim

# What is common to all images, but for the environment itself.
FROM ${BASE_IMAGE} AS base
ARG VERSION=0.2.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="phasefield" \
      org.opencontainers.image.description="Spectral phase-field solver" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT AND GPL-2.0-or-later"
# Whoever the container runs as may write to /data, and what is worth keeping between containers lies there.
RUN useradd --no-create-home --home-dir /data --uid 1000 phasefield && install -d -m 1777 /data
ENV PATH=/opt/phasefield/bin:$PATH \
    PHASEFIELD_CACHE=/data/.cache/phasefield \
    MPLCONFIGDIR=/data/.cache/matplotlib
USER 1000
WORKDIR /data
# The command itself is process 1: it is told to stop, writes a checkpoint, and its exit code is the container's.
ENTRYPOINT ["phasefield"]

# The dependencies come before the source, so that a change of the source leaves their layer in the builder's cache.
FROM ${BASE_IMAGE} AS build
WORKDIR /src
# constraints.txt may be missing; with it the same versions are installed again (docs/containers.md).
COPY pyproject.toml constraints.tx[t] scripts/container_environment.sh scripts/container_symbols.py ./
RUN sh container_environment.sh dependencies
COPY LICENSE README.md ./
COPY configs configs
COPY phasefield phasefield
RUN sh container_environment.sh package

FROM build AS build-cpu
RUN sh container_environment.sh finish

FROM build AS build-cuda
RUN sh container_environment.sh extra gpu && sh container_environment.sh finish

# Not the extra `test`: the packages that its own extra `upward` adds need a compiler where they have no wheel.
FROM build AS build-test
RUN sh container_environment.sh also pytest pytest-xdist pytest-timeout hypothesis netCDF4 && sh container_environment.sh finish

FROM base AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-cuda /opt/phasefield /opt/phasefield

FROM base AS test
COPY --from=build-test /opt/phasefield /opt/phasefield
COPY pyproject.toml /opt/tests/
COPY scripts /opt/tests/scripts
COPY tests /opt/tests/tests
ENTRYPOINT ["python", "-m", "pytest", "--rootdir=/opt/tests", "-c", "/opt/tests/pyproject.toml", "-p", "no:cacheprovider"]

# The last stage is the one that is built where none is named.
FROM base AS cpu
COPY --from=build-cpu /opt/phasefield /opt/phasefield
