# CPU:   docker build --target cpu -t phasefield .
# CUDA:  docker build --target cuda -t phasefield:cuda .
# Run:   docker run --rm -v "$PWD:/data" phasefield run output.dir=/data/run
ARG CPU_BASE=python:3.12-slim
ARG CUDA_BASE=nvidia/cuda:13.0.2-runtime-ubuntu24.04

FROM ${CPU_BASE} AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY configs configs
COPY phasefield phasefield
RUN pip wheel --no-cache-dir --no-deps -w /wheels .

FROM ${CPU_BASE} AS cpu
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir /wheels/*.whl && rm -rf /wheels \
    && useradd --create-home --uid 1000 phasefield && mkdir /data && chown phasefield /data
USER phasefield
ENV PHASEFIELD_CACHE=/home/phasefield/.cache/phasefield
WORKDIR /data
ENTRYPOINT ["phasefield"]

FROM ${CUDA_BASE} AS cuda
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*
COPY --from=build /wheels /wheels
# The toolkit comes with the wheels of the gpu extra, at the version the extra pins.
RUN python3 -m venv /opt/phasefield && /opt/phasefield/bin/pip install --no-cache-dir "$(ls /wheels/*.whl)[gpu]" && rm -rf /wheels \
    && (id -u ubuntu >/dev/null 2>&1 && userdel -r ubuntu || true) \
    && useradd --create-home --uid 1000 phasefield && mkdir /data && chown phasefield /data
USER phasefield
ENV PATH=/opt/phasefield/bin:$PATH PHASEFIELD_CACHE=/home/phasefield/.cache/phasefield
WORKDIR /data
ENTRYPOINT ["phasefield"]
