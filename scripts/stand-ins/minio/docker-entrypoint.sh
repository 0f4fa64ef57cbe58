#!/bin/sh
# `minio` may be left out of the command.
if [ "${1:-}" != minio ] && [ -n "${1:-}" ]; then
    set -- minio "$@"
fi
exec "$@"
