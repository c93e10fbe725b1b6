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

# Sourced by DevStack with the mode and the phase.

# shellcheck source=/dev/null
source "$NOVA_DOCKER_DIR/devstack/lib/nova-docker"

case "$1 ${2:-}" in
    "stack pre-install")
        check_nova_docker
        echo_summary "Installing the Docker engine"
        install_nova_docker_engine
        start_nova_docker_engine
        join_nova_docker_group
        ;;
    "stack install")
        echo_summary "Installing nova-docker"
        install_nova_docker
        fetch_nova_docker_image
        ;;
    "stack post-config")
        echo_summary "Configuring nova-docker"
        configure_nova_docker
        configure_nova_docker_glance
        ;;
    "stack extra")
        echo_summary "Importing the image $DEFAULT_IMAGE_NAME"
        import_nova_docker_image
        ;;
    "stack test-config")
        configure_nova_docker_tempest
        ;;
    "unstack ")
        remove_nova_docker_servers
        unconfigure_nova_docker
        ;;
    "clean ")
        remove_nova_docker_servers
        unconfigure_nova_docker
        cleanup_nova_docker
        ;;
esac
