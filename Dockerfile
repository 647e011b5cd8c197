# The web page of vsr in a container, as a user without rights; models and films are in volumes.
# TORCH is the kind of PyTorch: cpu, or that of a CUDA version as PyTorch's index names it.
FROM python:3.12-slim-bookworm
ARG TORCH=cpu
RUN useradd --create-home --home-dir /var/vsr --uid 1000 vsr \
    && mkdir --parents /data/models /data/page \
    && chown --recursive vsr:vsr /data
WORKDIR /src
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY vsr ./vsr
COPY configs ./configs
# Ranges of versions are in pyproject.toml; the newest that fit are taken.
# hadolint ignore=DL3013
RUN pip install --no-cache-dir "torch>=2.9" "torchvision>=0.24" \
        --index-url "https://download.pytorch.org/whl/${TORCH}" \
    && pip install --no-cache-dir ".[ui,text]"
ENV VSR_MODELS=/data/models VSR_UI_FOLDER=/data/page OMP_WAIT_POLICY=passive
VOLUME ["/data/models", "/data/page"]
USER 1000
WORKDIR /var/vsr
EXPOSE 7860
# 0.0.0.0 inside the container needs the password in VSR_UI_PASSWORD.
ENTRYPOINT ["vsr"]
CMD ["ui", "--host", "0.0.0.0"]
