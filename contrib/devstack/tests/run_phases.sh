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

# Run what stack.sh, unstack.sh or clean.sh of DevStack do for a plugin, in
# their order, with DevStack's own functions or the stand-in's:
#
#     TOP_DIR=... run_phases.sh stack|unstack|clean
#
# All other services are left out. Their configuration files are those in the
# folder CLOUD_CONF.

export TOP_DIR
FILES=$TOP_DIR/files
export FILES

# In an order that one file may be needed by the next.
readonly LIBRARIES='database apache tls lvm keystone glance nova tempest'

function load_libraries {
    local library
    for library in $LIBRARIES; do
        if [[ -e "$TOP_DIR/lib/$library" ]]; then
            # shellcheck disable=SC1090
            source "$TOP_DIR/lib/$library"
        fi
    done
}

# As configure_glance, which keeps what is there, and configure_nova do.
function configure_services {
    if is_service_enabled g-api; then
        mkdir -p "$GLANCE_CONF_DIR"
        [[ -e "$GLANCE_API_CONF" ]] ||
            cp "$CLOUD_CONF/glance/glance-api.conf" "$GLANCE_API_CONF"
        rm -f "$GLANCE_UWSGI_CONF"
        iniset "$GLANCE_UWSGI_CONF" uwsgi module glance.wsgi.api:application
    fi
    mkdir -p "$NOVA_CONF_DIR"
    configure_rootwrap nova
    rm -f "$NOVA_CONF"
    cp "$CLOUD_CONF/nova/nova.conf" "$NOVA_CONF"
}

# DevStack's own runs beside the plugins as well. An edit by sed writes what it
# has read before, and this one takes its time for that.
function configure_neutron_nova {
    local text
    text=$(cat "$NOVA_CONF")
    sleep 0.3
    printf '%s\n' "$text" >"$NOVA_CONF"
}

# What lib/tempest says where this driver may say something else.
function configure_tempest_features {
    mkdir -p "$(dirname "$TEMPEST_CONFIG")"
    rm -f "$TEMPEST_CONFIG"
    local feature
    for feature in attach_encrypted_volume resize vnc_console; do
        iniset "$TEMPEST_CONFIG" compute-feature-enabled $feature True
    done
    for feature in live_migration personality change_password; do
        iniset "$TEMPEST_CONFIG" compute-feature-enabled $feature False
    done
    iniset "$TEMPEST_CONFIG" service_available cinder True
    iniset "$TEMPEST_CONFIG" validation run_validation \
        "${TEMPEST_RUN_VALIDATION:-True}"
}

function stack {
    GetDistro
    rm -f "$TOP_DIR/.localrc.auto"
    extract_localrc_section "$TOP_DIR/local.conf" "$TOP_DIR/localrc" \
        "$TOP_DIR/.localrc.auto"
    # shellcheck source=/dev/null
    source "$TOP_DIR/stackrc"
    mkdir -p "$DATA_DIR" "$FILES"
    async_init
    exec 6>&1
    trap 'exit $?' ERR
    set -o errexit

    run_phase override_defaults
    load_libraries
    run_phase source
    run_phase stack pre-install
    configure_services
    run_phase stack install
    async_runfunc configure_neutron_nova
    run_phase stack post-config
    merge_config_group "$TOP_DIR/local.conf" post-config
    async_wait configure_neutron_nova
    ! is_service_enabled n-cpu || start_nova_compute
    run_phase stack extra
    ! is_service_enabled tempest || configure_tempest_features
    run_phase stack test-config
    merge_config_group "$TOP_DIR/local.conf" test-config
    echo "services: $ENABLED_SERVICES"
}

function unstack {
    # shellcheck source=/dev/null
    source "$TOP_DIR/stackrc"
    GetDistro
    run_phase override_defaults
    load_libraries
    load_plugin_settings
    run_phase unstack
    stop_nova_compute
    cleanup_nova
}

# What follows in clean.sh removes all configuration files. It is left out, so
# that one sees what the plugin leaves.
function clean {
    # shellcheck source=/dev/null
    source "$TOP_DIR/stackrc"
    GetDistro
    load_libraries
    "${BASH_SOURCE[0]}" unstack
    load_plugin_settings
    run_phase clean
}

# shellcheck source=/dev/null
source "$TOP_DIR/functions"
"$1"
