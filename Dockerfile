# One image with both programs: `lineage` is what it starts, `data-generator` is the entrypoint of that service.

# Made on buildpack-deps, which has gcc, g++, make and perl: github.com/rust-lang/docker-rust.
FROM rust:1.95-bookworm AS builder
WORKDIR /build

# The dependencies, in a layer of their own that changes with the manifests only: built with sources that are
# empty. They take most of the time, and a change of our own code does not build them again.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY data-generator/Cargo.toml data-generator/
RUN mkdir -p src data-generator/src \
    && touch src/lib.rs data-generator/src/lib.rs \
    && echo 'fn main() {}' | tee src/main.rs >data-generator/src/main.rs \
    && cargo build --release --locked --workspace --bins

COPY avro avro
COPY data-generator data-generator
COPY src src
# Cargo goes by modification times, and those of the checkout are older than the empty sources.
RUN find src data-generator/src -name '*.rs' -exec touch {} + \
    && cargo build --release --locked --workspace --bins

# The health checks of docker-compose.yml use its bash, coreutils and grep.
FROM debian:bookworm-slim
# S3 over TLS is verified against these.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/lineage lineage
COPY --from=builder /build/target/release/lineage /build/target/release/data-generator /usr/local/bin/
EXPOSE 8081
USER lineage
WORKDIR /var/lib/lineage
ENTRYPOINT ["lineage"]
CMD ["run"]
