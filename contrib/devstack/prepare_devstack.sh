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

# Choose Docker as Nova's driver in the local.conf of a clone of DevStack:
#
#     prepare_devstack.sh [DEVSTACK]
#
# DEVSTACK is /opt/stack/devstack if it is not named; INSTALLDIR may name
# another folder than /opt/stack. What is there is kept, and running this again
# adds nothing. A clone with a localrc gets the lines there, since DevStack
# then reads no others. The plugin is taken from the clone that this script is
# in, or from NOVA_DOCKER_REPO and NOVA_DOCKER_BRANCH.

set -o errexit -o nounset -o pipefail

# The first line of what is added.
readonly TITLE='# Docker as the driver of Nova'
# Repositories that have nothing in them any more.
readonly RETIRED='(git\.openstack\.org|opendev\.org|github\.com)/openstack/nova-docker(\.git)?([[:space:]]|$)'
readonly PLUGIN='^[[:space:]]*enable_plugin[[:space:]]+nova-docker([[:space:]]|$)'

declare file repository branch
declare -a added=()

function fail {
    printf '%s\n' "$*" >&2
    exit 1
}

function say {
    printf '  %-9s%s\n' "$1" "${*:2}"
}

# Print the lines that DevStack reads as shell.
function read_lines {
    if [[ "${file##*/}" == localrc ]]; then
        cat "${file}"
    elif [[ -e "${file}" ]]; then
        awk '/^\[\[.*\|.*\]\]/ { inside = /^\[\[local\|localrc\]\]/; next }
            inside' "${file}"
    fi
}

# Print the last line that sets a variable.
function find_setting {
    read_lines |
        grep --extended-regexp "^[[:space:]]*(export[[:space:]]+)?$1\+?=" |
        tail --lines 1 || true
}

# Print the value of such a line, without quotes and comment.
function value_of {
    sed -E -e 's/^[^=]*=//' -e 's/[[:space:]]+#.*$//' -e 's/[[:space:]]*$//' \
        -e "s/^([\"'])(.*)\1\$/\2/" <<<"$1"
}

function add {
    added+=("$1")
    say added "$1"
}

function choose_driver {
    local found
    found=$(find_setting VIRT_DRIVER)
    if [[ -n "${found}" && "$(value_of "${found}")" == docker ]]; then
        say kept "${found}"
        return
    fi
    if [[ -n "${found}" ]]; then
        say kept "${found} (without effect: the last one counts)"
    fi
    add VIRT_DRIVER=docker
}

# Add a line unless the variable is set already: choose NAME VALUE.
function choose {
    local found
    found=$(find_setting "$1")
    if [[ -n "${found}" ]]; then
        say kept "${found}"
    else
        add "$1=$2"
    fi
}

function choose_plugin {
    local found line
    line="enable_plugin nova-docker ${repository} ${branch}"
    found=$(read_lines | grep --extended-regexp "${PLUGIN}" || true)
    if [[ -z "${found}" ]]; then
        add "${line}"
    elif grep --quiet --extended-regexp "${RETIRED}" <<<"${found}"; then
        replace_plugin "${line}"
        say replaced "${found} (that repository is empty)"
        say by "${line}"
    else
        say kept "${found}"
    fi
}

function replace_plugin {
    local text
    text=$(line=$1 pattern=${PLUGIN} awk '
        $0 ~ ENVIRON["pattern"] { print ENVIRON["line"]; next }
        { print }' "${file}")
    write "${text}"
}

# Add the lines at the end of the section, or of the file.
function write_added {
    ((${#added[@]})) || return 0
    local text lines
    lines=$(printf '%s\n' "${TITLE}" "${added[@]}")
    if [[ "${file##*/}" == localrc ]]; then
        text=$(cat "${file}" && printf '\n%s' "${lines}")
    elif has_section; then
        text=$(insert "${lines}")
    else
        text=$([[ ! -s "${file}" ]] || { cat "${file}" && echo; }
            printf '[[local|localrc]]\n%s' "${lines}")
    fi
    write "${text}"
}

function has_section {
    [[ -e "${file}" ]] && grep --quiet '^\[\[local|localrc\]\]' "${file}"
}

# Print local.conf with lines at the end of the last section of its kind, but
# before empty lines there.
function insert {
    lines=$1 awk '
        { text[NR] = $0 }
        /^\[\[.*\|.*\]\]/ { inside = /^\[\[local\|localrc\]\]/ }
        inside && /[^[:space:]]/ { last = NR }
        END {
            for (number = 1; number <= NR; number++) {
                print text[number]
                if (number == last)
                    print "\n" ENVIRON["lines"]
            }
        }' "${file}"
}

# The file keeps its owner and mode, and is never there in part.
function write {
    local draft=${file}.new
    if [[ -e "${file}" ]]; then
        cp --preserve=all "$(readlink -f "${file}")" "${draft}"
    fi
    printf '%s\n' "$1" >"${draft}"
    mv "${draft}" "$(readlink -f "${file}")"
}

# Say what was set for the driver of old and has no meaning any more.
function say_obsolete {
    local pattern
    for pattern in 'NON_STANDARD_REQS=' 'DOCKER_REGISTRY[A-Z_]*=' \
        'DOCKER_(PACKAGE_VERSION|APT_REPO|IMAGE_NAME)=' \
        'enable_plugin[[:space:]]+docker-service'; do
        read_lines |
            grep --extended-regexp \
                "^[[:space:]]*(export[[:space:]]+)?${pattern}" |
            while read -r line; do
                say useless "${line} (it may go)"
            done || true
    done
}

function main {
    local devstack=${1:-${DEVSTACK_DIR:-${INSTALLDIR:-/opt/stack}/devstack}}
    local here stale
    here=$(readlink -f "$(dirname "${BASH_SOURCE[0]}")/../..")
    if [[ $# -gt 1 || ! -f "${devstack}/stackrc" ]]; then
        fail "There is no clone of DevStack in ${devstack}. Make one by" \
            "'git clone https://opendev.org/openstack/devstack', then:" \
            "$0 DEVSTACK"
    fi
    stale=${devstack}/lib/nova_plugins/hypervisor-docker
    if [[ -e "${stale}" ]]; then
        fail "Remove ${stale} first: it is of an older nova-docker, and" \
            "DevStack would run it."
    fi
    repository=${NOVA_DOCKER_REPO:-${here}}
    branch=${NOVA_DOCKER_BRANCH:-$(find_branch "${here}")}
    file=${devstack}/local.conf
    [[ ! -e "${devstack}/localrc" ]] || file=${devstack}/localrc

    printf '%s:\n' "${file}"
    choose_plugin
    choose_driver
    choose DEFAULT_IMAGE_NAME cirros
    choose IMAGE_URLS ''
    write_added
    say_obsolete
    if [[ "${file##*/}" == localrc && -e "${devstack}/local.conf" ]]; then
        say note "DevStack reads this file, and not the section" \
            "[[local|localrc]] of local.conf"
    fi
}

# Print the branch of the clone that this script is in, or else its commit.
function find_branch {
    local git=(git -c "safe.directory=$1" -C "$1")
    "${git[@]}" symbolic-ref --quiet --short HEAD ||
        "${git[@]}" rev-parse --verify --quiet HEAD ||
        fail "$1 is no clone. Set NOVA_DOCKER_REPO and NOVA_DOCKER_BRANCH to" \
            "what DevStack is to clone."
}

main "$@"
