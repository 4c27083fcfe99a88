# What containers of a compiled pipeline run; `make image` builds it. See docs/kubeflow.md.

FROM python:3.10-slim-bookworm AS build
# A dependency of TFX, pyfarmhash, comes as source only.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY locks locks
RUN sed -n 's/^\(uv==[^ ]*\).*/\1/p' locks/tfx-1.16-py310.txt > uv.txt \
 && pip install --no-cache-dir --requirement uv.txt
COPY setup.py pyproject.toml README.md LICENSE ./
COPY components components
COPY pipelines pipelines
COPY configs configs
RUN --mount=type=cache,target=/root/.cache/uv \
    uv build --wheel --build-constraints locks/tfx-1.16-py310.txt --out-dir dist
# The lock has the tools of development too: as constraints, it pins what is wanted and no more.
# Containers run as a user who may not write bytecode, so it is compiled here.
RUN --mount=type=cache,target=/root/.cache/uv \
    python -m venv /opt/tfx-tflite \
 && uv pip install --python /opt/tfx-tflite/bin/python --constraints locks/tfx-1.16-py310.txt \
    --link-mode copy --compile-bytecode "tfx-tflite[kubeflow,micro,ethos-u] @ $(ls /build/dist/*.whl)"

FROM python:3.10-slim-bookworm
# Kubeflow's launcher runs as this user too, and keeps its copies of artifacts below the root.
RUN useradd --create-home --uid 1000 runner \
 && mkdir /pushed /gcs /minio /s3 \
 && chown runner /pushed /gcs /minio /s3
COPY --from=build /opt/tfx-tflite /opt/tfx-tflite
# Where configs/digits.yaml says that containers have it (kubeflow.paths).
COPY configs /app/configs
ENV PATH=/opt/tfx-tflite/bin:$PATH \
    PYTHONUNBUFFERED=1
# By number, so that Kubernetes can tell that it is not root.
USER 1000
WORKDIR /app
ENTRYPOINT ["tfx-tflite"]
CMD ["--help"]
