#!/usr/bin/env bash
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.

# Stands in for the command whose name it is called by: writes down each call
# in $DOUBLES/calls, and does as much of it as the tests look at.

set -o nounset

readonly NAME=${0##*/}
readonly HERE=${0%/*}
readonly GLANCE=$DOUBLES/glance

# sudo is not logged: what it runs is.
function run_as_root {
    while [[ $1 == -* || $1 == *=* ]]; do
        [[ $1 == -* ]] || export "${1?}"
        shift
    done
    if [[ $1 == /* && -e "$HERE/${1##*/}" ]]; then
        set -- "${1##*/}" "${@:2}"
    fi
    exec "$@"
}

function control_service {
    local unit=${2:-}
    case "$1 ${unit%.service}" in
        'start docker') ln -sfn "$ENGINE_SOCKET" "$DOUBLES/docker.sock" ;;
        'stop docker') rm -f "$DOUBLES/docker.sock" ;;
        'enable '*) touch "$DOUBLES/$unit" ;;
        'disable '*) rm -f "$DOUBLES/$unit" ;;
        'is-enabled '*) [[ -e "$DOUBLES/$unit" ]] ;;
    esac
}

# The packages of an engine, without what starts it.
function install_packages {
    local name
    if [[ -e "$DOUBLES/packages.none" && "$*" == *install* ]]; then
        echo "Unable to locate package ${*: -1}" >&2
        return 100
    fi
    for name in "$@"; do
        case $name in
            docker.io | docker-ce) ln -s "$DOCKERD" "$INSTALLED/dockerd" ;;
            docker-cli | docker-ce-cli) ln -s "$DOCKER" "$INSTALLED/docker" ;;
        esac
    done
}

function print_release {
    case $1 in
        -i) echo Debian ;;
        -r) echo 12 ;;
        -c) echo bookworm ;;
    esac
}

# --- Glance: an image is a folder, by its id ---------------------------------

function list_images {
    local folder
    for folder in "$GLANCE"/*; do
        if diff -q "$folder/is" <(echo "$1 $2") >/dev/null 2>&1; then
            basename "$folder"
        fi
    done
}

function create_image {
    local folder
    folder=$GLANCE/$(($(find "$GLANCE" -mindepth 1 -maxdepth 1 | wc -l) + 1))
    mkdir "$folder"
    echo "$1 queued" >"$folder/is"
    printf '%s\n' "${@:2}" >"$folder/options"
    if [[ -e "$GLANCE.full" ]]; then
        echo 'HTTP 413: the image does not fit' >&2
        return 1
    fi
    cp "${*: -1}" "$folder/data"
    echo "$1 active" >"$folder/is"
}

function run_openstack {
    local status=active
    if [[ -e "$GLANCE.down" ]]; then
        echo 'HTTP 503: no answer' >&2
        return 1
    fi
    [[ "$*" != *'--status queued'* ]] || status=queued
    while [[ $1 != image ]]; do
        shift
    done
    case $2 in
        list) list_images "$4" "$status" ;;
        create) create_image "${@:3}" ;;
        delete) rm -r "${GLANCE:?}/$3" ;;
    esac
}

if [[ $NAME == sudo ]]; then
    run_as_root "$@"
fi
echo "$NAME $*" >>"$DOUBLES/calls"
case $NAME in
    systemctl) control_service "$@" ;;
    service) control_service "$2" "$1" ;;
    apt-get | dnf) install_packages "$@" ;;
    lsb_release) print_release "$@" ;;
    openstack) run_openstack "$@" ;;
esac
