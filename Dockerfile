# One image for every role of compose.yaml. The program runs from its clone, with the versions of uv.lock.
FROM python:3.13-slim

WORKDIR /app
COPY Makefile pyproject.toml uv.lock README.md LICENSE ./
COPY rebalancer_pipelines/adapters/prices/recording/NOTICE.md rebalancer_pipelines/adapters/prices/recording/NOTICE.md
# The libraries first: they change less often than the program. The version of uv is the one of `make setup`.
RUN pip install --no-cache-dir "uv==$(sed -n 's/^UV_VERSION := //p' Makefile)" \
    && uv sync --frozen --no-dev --no-install-project --no-cache
COPY dagster.yaml workspace.yaml ./
COPY migrations migrations
COPY dbt_analytics dbt_analytics
COPY rebalancer_pipelines rebalancer_pipelines
RUN uv sync --frozen --no-dev --no-cache

RUN useradd --create-home --uid 1000 rebalancer && install -d -o rebalancer -g rebalancer -m 700 /data
USER rebalancer
ENV PATH=/app/.venv/bin:$PATH \
    REBALANCER_DATA_DIR=/data
VOLUME /data
ENTRYPOINT ["rebalancer"]
CMD ["up", "--no-demo"]
