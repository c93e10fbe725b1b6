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

"""Tests, from the single function to the whole cloud."""

import os

# Before anything of Nova is imported, since older ones patch then. With native
# threads, on which nova-compute runs today: on eventlet all threads are one,
# which cannot be in the network namespace of a container.
os.environ.setdefault('OS_NOVA_DISABLE_EVENTLET_PATCHING', 'true')

from nova import monkey_patch

if hasattr(monkey_patch, 'patch'):  # older ones do it when imported
    monkey_patch.patch()

from nova import objects

# Nova does so in each of its services.
objects.register_all()
