# PostgreSQL with DBNet, preloaded:  docker build -t dbnet .   (PG_MAJOR=16 … for another version)
# Deployed by deploy/dbnet.yaml. The official image's entry point makes the cluster (POSTGRES_PASSWORD, PGDATA,
# /docker-entrypoint-initdb.d); it runs as user postgres, so /var/lib/postgresql/data must be writable by uid 999.
ARG PG_MAJOR=15

FROM postgres:${PG_MAJOR}-bookworm AS build
WORKDIR /dbnet
COPY . .
RUN apt-get update && apt-get install -y --no-install-recommends make g++ dpkg-dev && make deb

FROM postgres:${PG_MAJOR}-bookworm
COPY --from=build /dbnet/build/postgresql-*-dbnet_*.deb /tmp/
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates /tmp/postgresql-*-dbnet_*.deb \
    && rm -rf /var/lib/apt/lists/* /tmp/*.deb
USER postgres
CMD ["postgres", "-c", "shared_preload_libraries=dbnet"]
