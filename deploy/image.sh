#!/usr/bin/env bash
# Build the image and run `papertape demo` in it as process 1; the models that the demo trains show that training works there.
#
#   deploy/image.sh            BASE=…          the base in place of python:3.11-slim-bookworm
#                              TORCH=cuda      see deploy/install.py; TORCH_INDEX: in place of PyTorch's own
#
# The base is taken as it is here, or pulled; where neither works, debootstrap (Debian, as root) makes one.
set -euo pipefail
cd "$(dirname "$0")/.."
base=${BASE:-python:3.11-slim-bookworm}

if ! docker info > /dev/null 2>&1; then
  echo "image: no container engine answers; start one (Debian: apt-get install docker.io), or set DOCKER_HOST" >&2
  exit 1
fi

have() { docker image inspect "$1" > /dev/null 2>&1; }

make_base() {
  local folder
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' RETURN
  debootstrap --variant=minbase --include=ca-certificates,netbase,python3,python3-venv bookworm "$folder" \
    ${MIRROR:+"$MIRROR"} > /dev/null # else debootstrap's own
  ln -s python3.11 "$folder/usr/bin/python"
  cp /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/ca-certificates.crt" # who this machine trusts
  tar -C "$folder" -c . | docker import --change 'ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt' - "$1" > /dev/null
}

if ! have "$base" && ! docker pull --quiet "$base"; then
  base=papertape-base:bookworm
  if ! have "$base"; then
    echo "image: no registry gives the base; debootstrap makes $base" >&2
    make_base "$base"
  fi
fi

# An engine without a bridge has the host's network or none.
network=()
docker network inspect bridge > /dev/null 2>&1 || network=(--network host)

# The context is exactly what is copied, for builders that do not read Dockerfile.dockerignore too.
tar --exclude=__pycache__ -c constraints.txt pyproject.toml README.md LICENSE deploy/Dockerfile deploy/install.py \
  deploy/package engine replay daemon \
  | docker build "${network[@]}" --file deploy/Dockerfile --tag papertape \
      --build-arg "BASE=$base" --build-arg "TORCH=${TORCH:-cpu}" --build-arg "TORCH_INDEX=${TORCH_INDEX:-}" -
told=$(docker run --rm --network none papertape demo)
echo "$told"
if ! docker run --rm --network none --entrypoint python papertape -c 'import torch' 2> /dev/null; then
  echo "image: there is no torch in it, so no network was trained" >&2
elif grep -q 'retrainings came to nothing' <<< "$told"; then
  echo "image: what the demo trained in the container came to nothing" >&2
  exit 1
fi
