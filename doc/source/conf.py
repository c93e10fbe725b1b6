#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.

"""How the documentation is built."""

project = 'nova-docker'
copyright = 'nova-docker maintainers'
author = 'nova-docker maintainers'

extensions = [
    'openstackdocstheme',
    'oslo_config.sphinxconfiggen',
    'oslo_config.sphinxext',
    'reno.sphinxext',
    'sphinx_feature_classification.support_matrix',
]
master_doc = 'index'
exclude_patterns = []
nitpicky = True

html_theme = 'openstackdocs'
html_static_path = ['css']
html_css_files = ['tables.css']
pygments_style = 'native'
# Most blocks are commands; guessed for Python, words of them are coloured.
highlight_language = 'none'

openstackdocs_repo_name = 'nova-docker'
openstackdocs_auto_name = False
openstackdocs_auto_version = False
openstackdocs_use_storyboard = False

config_generator_config_file = (
    '../../etc/nova/nova-docker-config-generator.conf'
)
sample_config_basename = '_static/nova-docker'
