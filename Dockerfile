# One image for receivers, writers and every command: `docker run traksense-ingest receiver`.

FROM python:3.13.13-slim-bookworm AS build
WORKDIR /src
RUN python -m venv --without-pip /opt/venv
# The dependencies by themselves: they change less often than the code.
COPY pyproject.toml ./
RUN python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*project['dependencies'], *project['optional-dependencies']['console'], sep='\n')" > /requirements.txt \
 && python -m pip --python /opt/venv install --no-cache-dir --requirement /requirements.txt
COPY . .
RUN python -m pip --python /opt/venv install --no-cache-dir --no-deps .

FROM python:3.13.13-slim-bookworm
LABEL org.opencontainers.image.title="TrakSense ingest" \
      org.opencontainers.image.description="Every message of a fleet of IoT devices into TimescaleDB, once" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/venv /opt/venv
COPY ops/healthz.sh /usr/local/bin/healthz
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A number, so that an orchestrator can see that it isn't root. It owns nothing here and writes nothing.
USER 10001:10001
EXPOSE 9100 9101 9180
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["bash", "/usr/local/bin/healthz"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["traksense-ingest"]
CMD ["--help"]
