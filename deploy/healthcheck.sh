#!/bin/bash
# Ends with 0 when the server of this container is ready (/health/ready answers 200). Bash speaks
# TCP itself, so that the image needs no HTTP client.
set -u
port="${SOMMOS_LISTEN##*:}"
exec 3<>"/dev/tcp/127.0.0.1/${port}" || exit 1
printf 'GET /health/ready HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' >&3
read -r -t 2 -u 3 _ status _ || exit 1
[ "$status" = 200 ]
