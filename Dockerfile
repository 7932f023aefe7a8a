# The image: docker build -t imagegate:0.1.0 .   (docs/container.md)
#
# Both stages start from one base, so that the environment made in the first runs in the second. Give the base by digest
# where images must be the same bits each time: --build-arg BASE=python:3.13-slim@sha256:…
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
# uv itself by hash, for x86-64 and ARM.
RUN printf '%s\n' 'uv==0.13.8 \' \
      '--hash=sha256:e18a57b8b352eb7c8feb317b9f6f533c8f0ad9673fd6cf34bbe3cf1a9f6a8984 \' \
      '--hash=sha256:0b3e8b1a4f5e405e31e2ff33de8af4744831e9f7338539671efbd8c3c94e791d' > /tmp/uv.txt \
 && python3 -m pip install --no-cache-dir --require-hashes --only-binary :all: -r /tmp/uv.txt
ARG EXTRAS="postgres storage bedrock vertex"
WORKDIR /src
COPY pyproject.toml uv.lock ./
COPY scripts/image-environment scripts/
RUN scripts/image-environment dependencies /opt/imagegate
COPY README.md LICENSE ./
COPY config config
COPY providers providers
COPY gateway gateway
RUN scripts/image-environment package /opt/imagegate

FROM ${BASE}
LABEL org.opencontainers.image.title="imagegate" \
      org.opencontainers.image.description="A self-hosted, OpenAI-compatible gateway for images" \
      org.opencontainers.image.licenses="Apache-2.0"
# The base's own package manager for Python is not needed any more, and nothing here may install anything.
RUN rm -rf /usr/local/lib/python3*/site-packages/* /usr/local/lib/python3*/ensurepip /usr/local/bin/pip* \
 && groupadd --system --gid 10001 imagegate \
 && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/imagegate --shell /usr/sbin/nologin imagegate \
 && install --directory --owner 10001 --group 10001 --mode 0700 /var/lib/imagegate
COPY --from=build /opt/imagegate /opt/imagegate
ENV PATH=/opt/imagegate/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/var/lib/imagegate \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONSAFEPATH=1
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /var/lib/imagegate
VOLUME ["/var/lib/imagegate", "/tmp"]
EXPOSE 8080
# The gateway ends its calls by itself (server.drain): docker stop --time 420.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s --start-interval=1s --retries=3 \
    CMD ["python", "-I", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz', timeout=5)"]
ENTRYPOINT ["imagegate"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8080", "--data", "/var/lib/imagegate"]
