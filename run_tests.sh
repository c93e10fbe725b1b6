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

# Run the tests: all of them, or the stages that are named.
#
#     ./run_tests.sh [pep8|mypy|unit|docs|contract|functional|e2e]...
#
# What a stage needs is installed first: Python libraries below .tox, Debian
# packages by apt. The first stage that fails ends the run. The last line
# says how many tests passed and failed.

set -o errexit -o nounset -o pipefail

cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

readonly STAGES=(pep8 mypy unit docs contract functional e2e)
readonly WORK=${PWD}/.tox
readonly RUNNER=${WORK}/runner
readonly POLICY=/usr/sbin/policy-rc.d

passed=0
failed=0
declare -a cleanups=()

function say {
    printf '\n== %s\n' "$*"
}

function fail {
    printf '%s\n' "$*" >&2
    return 1
}

function finish {
    local status=$?
    local index
    trap - EXIT INT TERM
    set +o errexit
    for ((index = ${#cleanups[@]} - 1; index >= 0; index--)); do
        ${cleanups[index]} || status=1
    done
    if ((status != 0 && failed == 0)); then
        # No test failed, but what surrounds the tests did.
        failed=1
    fi
    printf '%d passed, %d failed\n' "${passed}" "${failed}"
    exit "${status}"
}

function usage {
    local IFS='|'
    fail "usage: ${0##*/} [${STAGES[*]}]..."
}

# --- What the stages need -------------------------------------------------

# Print the Debian packages of a stage, Python and git apart.
function packages_of {
    case $1 in
    contract | functional)
        printf '%s\n' busybox-static ca-certificates docker.io iproute2 \
            ethtool iputils-ping openvswitch-switch podman procps skopeo \
            xz-utils
        ;;
    e2e)
        # The cloud installs its own.
        printf '%s\n' busybox-static ca-certificates iproute2 mmdebstrap \
            openssh-client procps
        ;;
    esac
}

function is_installed {
    [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$1" \
        2>/dev/null) == installed ]]
}

function install_packages {
    local stage package
    local -a missing=()
    command -v dpkg-query >/dev/null || return 0
    while read -r package; do
        is_installed "${package}" || missing+=("${package}")
    done < <(
        printf '%s\n' git python3 python3-venv
        printf '%s\n' "$@" | while read -r stage; do
            packages_of "${stage}"
        done | sort --unique
    )
    ((${#missing[@]})) || return 0
    say "installing ${missing[*]}"
    if ((EUID != 0)); then
        fail "as root: apt-get install --no-install-recommends ${missing[*]}"
    fi
    # The tests start what they need themselves.
    if [[ ! -e ${POLICY} ]]; then
        printf '#!/bin/sh\nexit 101\n' >"${POLICY}"
        chmod 755 "${POLICY}"
        cleanups+=(allow_services)
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get -q update
    apt-get -q install --yes --no-install-recommends "${missing[@]}"
    if [[ " ${cleanups[*]} " == *' allow_services '* ]]; then
        allow_services
    fi
}

function allow_services {
    rm -f "${POLICY}"
}

# That of the distribution first: it is built with optimizations, which make
# the tests a fifth faster than with many a Python of another origin.
function find_python {
    local name
    for name in /usr/bin/python3 python3 python3.13 python3.12 python3.11; do
        if "${name}" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
            2>/dev/null; then
            command -v "${name}"
            return
        fi
    done
    fail 'Python 3.11 or later is needed'
}

function install_tox {
    [[ -x ${RUNNER}/bin/tox ]] && return 0
    say 'installing tox'
    rm -rf "${RUNNER}"
    "$(find_python)" -m venv "${RUNNER}"
    "${RUNNER}/bin/pip" install --quiet 'tox>=4.18'
}

# --- The stages -----------------------------------------------------------

function run_tox {
    # Some environments call tox themselves.
    PATH=${RUNNER}/bin:${PATH} tox run --colored no -e "$@"
}

# Run the tests of a tox environment and count them: all, or what tox is told.
function run_tests {
    local environment=$1 start=${SECONDS} status=0 summary count
    rm -rf "${WORK:?}/${environment}/.stestr"
    run_tox "$@" || status=$?
    summary=$("${WORK}/venv/bin/stestr" --repo-url "${WORK}/${environment}" \
        last 2>/dev/null || true)
    count=$(sed -n 's/^ - Passed: //p' <<<"${summary}")
    passed=$((passed + ${count:-0}))
    # What passed although it was expected to fail is a failure as well.
    failed=$((failed + $(sed -n \
        -e 's/^ - Failed: //p' -e 's/^ - Unexpected Success: //p' \
        <<<"${summary}" | paste -s -d + | sed 's/^$/0/')))
    ((status == 0)) || return "${status}"
    ((${count:-0} > 0)) || fail "${environment}: no test was run" || return
    say "${environment}: ${count} passed in $((SECONDS - start)) s"
}

function need_root {
    ((EUID == 0)) || fail "the stage $1 needs root"
}

# A cloud that is up already stays up, and gets a second host.
function cloud_up {
    if ! contrib/cloud/cloud status | grep -q RUNNING; then
        cleanups+=(cloud_down)
    fi
    contrib/cloud/cloud up --hosts 2
}

function cloud_down {
    contrib/cloud/cloud down
}

# Called in a condition, where errexit does not hold: commands are chained.
function run_stage {
    case $1 in
    pep8 | mypy | docs)
        run_tox "$1"
        ;;
    unit)
        run_tests py3
        ;;
    contract)
        need_root "$1" && run_tests contract
        ;;
    functional)
        need_root "$1" &&
            run_tests functional &&
            run_tests hostile &&
            run_tests hostile-engine &&
            run_tests devstack &&
            run_tests packaging -- 'distributions|rootwrap|nova_31|nova_34' &&
            run_tests lower &&
            run_tests functional-lower -- \
                'wiring|ServersTestCase.test_(boot|network|stop|reboot|two)'
        ;;
    e2e)
        need_root "$1" && cloud_up && run_tests e2e
        ;;
    esac
}

# --- All together ---------------------------------------------------------

function main {
    local stage start
    local -a stages=("$@")
    if ((${#stages[@]} == 0)); then
        stages=("${STAGES[@]}")
    fi
    for stage in "${stages[@]}"; do
        [[ " ${STAGES[*]} " == *" ${stage} "* ]] || usage
    done
    install_packages "${stages[@]}"
    install_tox
    for stage in "${stages[@]}"; do
        say "${stage}"
        start=${SECONDS}
        run_stage "${stage}" || fail "the stage ${stage} failed"
        say "${stage} passed in $((SECONDS - start)) s"
    done
}

trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
main "$@" </dev/null
