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

"""A registry that one image can be pulled from, on the loopback address.

The engine asks registries there without TLS.
"""

from http import server
import json
import threading

import fixtures

from novadocker.tests.fixtures import images

_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json'
_CONFIG = 'application/vnd.docker.container.image.v1+json'
_LAYER = 'application/vnd.docker.image.rootfs.diff.tar'


class Registry(fixtures.Fixture):
    """Serves an image, as NAME:latest.

    :ivar host: its address and port
    :ivar reference: by which the engine pulls the image
    """

    def __init__(self, image: images.Image) -> None:
        super().__init__()
        self._image = image

    def _setUp(self) -> None:
        config, layers = self._image.config(), self._image.layers()
        blobs = {
            f'sha256:{images.digest(blob)}': blob for blob in (config, *layers)
        }
        manifest = json.dumps({
            'schemaVersion': 2,
            'mediaType': _MANIFEST,
            'config': _part(_CONFIG, config),
            'layers': [_part(_LAYER, layer) for layer in layers],
        }).encode()

        class Handler(server.BaseHTTPRequestHandler):
            def do_GET(self):
                kind, name = self.path.split('/')[-2:]
                if kind == 'blobs':
                    self._send(blobs[name], 'application/octet-stream')
                else:
                    self._send(manifest, _MANIFEST)

            def do_HEAD(self):
                self.do_GET()

            def _send(self, body, media_type):
                self.send_response(200)
                self.send_header('Content-Type', media_type)
                self.send_header('Content-Length', str(len(body)))
                self.send_header(
                    'Docker-Content-Digest', f'sha256:{images.digest(body)}'
                )
                self.end_headers()
                if self.command == 'GET':
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        listener = server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.addCleanup(listener.server_close)
        thread = threading.Thread(target=listener.serve_forever)
        self.addCleanup(thread.join)
        self.addCleanup(listener.shutdown)
        thread.start()
        self.host = f'127.0.0.1:{listener.server_port}'
        self.reference = f'{self.host}/guest:latest'


def _part(media_type: str, blob: bytes) -> dict[str, object]:
    return {
        'mediaType': media_type,
        'size': len(blob),
        'digest': f'sha256:{images.digest(blob)}',
    }
