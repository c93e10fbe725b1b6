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

"""The options of the driver, all in the group ``[docker]``."""

from oslo_config import cfg

GROUP = cfg.OptGroup(
    name='docker',
    title='Docker driver',
    help="""
Options of the driver that makes Docker containers Nova instances.
""",
)

ENGINE_OPTS = [
    cfg.StrOpt(
        'host_url',
        regex=r'(unix:///|tcp://)[^ ]+$',
        default='unix:///var/run/docker.sock',
        help="""
Where the Docker engine of this host listens.

The engine must run on this host, since the driver works on the network
namespaces of its containers.

Possible values:

* ``unix:///PATH``: a socket that nova-compute's user may open, for instance
  as a member of the group ``docker``.
* ``tcp://HOST:PORT``: with TLS; ``ca_file``, ``cert_file`` and ``key_file``
  are then needed, and the engine's certificate is always verified.
""",
    ),
    cfg.StrOpt(
        'ca_file',
        help="""
PEM file with the authority that signed the engine's certificate. Used with a
``tcp://`` address only.
""",
    ),
    cfg.StrOpt(
        'cert_file',
        help="""
PEM file with the certificate that the driver shows to the engine. Used with a
``tcp://`` address only.
""",
    ),
    cfg.StrOpt(
        'key_file',
        help="""
PEM file with the key of ``cert_file``. Used with a ``tcp://`` address only.
""",
    ),
    cfg.IntOpt(
        'engine_timeout',
        default=120,
        min=5,
        help="""
Seconds to wait for the engine's answer to a quick request, such as the start
of a container.

A host that starts many servers at once needs more: an engine that takes
longer than this is treated as unavailable. Requests that move whole images
have a limit of their own.
""",
    ),
]

SERVER_OPTS = [
    cfg.IntOpt(
        'pids_limit',
        default=4096,
        min=16,
        help="""
The number of processes and threads that one server may have.

Protects the host from a server that forks without end. The server sees its
``fork`` fail at the limit.
""",
    ),
    cfg.ListOpt(
        'capabilities',
        default=[
            'AUDIT_WRITE',
            'CHOWN',
            'DAC_OVERRIDE',
            'FOWNER',
            'FSETID',
            'KILL',
            'NET_BIND_SERVICE',
            'NET_RAW',
            'SETFCAP',
            'SETGID',
            'SETPCAP',
            'SETUID',
            'SYS_CHROOT',
        ],
        help="""
The Linux capabilities that root has inside a server, without ``CAP_``.

Everything that is not listed is dropped. Think twice before adding one:
``NET_ADMIN`` lets a tenant change the addresses of the server's ports, and
``SYS_ADMIN`` is as good as root on the host.
""",
    ),
    cfg.IntOpt(
        'console_log_size',
        default=1048576,
        min=65536,
        help="""
Bytes of a server's console output that the host keeps.

The engine keeps one file of this size and begins a new one when it is full,
so that a server takes up to twice as much. Older output is lost.
""",
    ),
    cfg.BoolOpt(
        'inject_password',
        default=True,
        help="""
Whether the administrator of a new server, and of one that is rescued, gets the
password that Nova's answer to the request tells.

It becomes the password of ``root``, or of the user whom the image property
``os_admin_user`` names, where the image has /etc/shadow. An image that lets
nobody log in by a password is not made to. A password can be set later in
either case.
""",
    ),
    cfg.StrOpt(
        'serial_console_mode',
        default='process',
        choices=[
            (
                'process',
                'The terminal of the server\'s first process, as the console '
                'log shows it. All viewers share it; a shell that is the '
                'first process ends the server when it ends.',
            ),
            (
                'shell',
                'A shell beside that process, as the image\'s user, for each '
                'viewer. The image must have /bin/sh.',
            ),
        ],
        help="""
What the serial console of a server is.

Needs ``[serial_console] enabled`` and the service nova-serialproxy. The
terminal has 24 rows and 80 columns, since the proxy cannot tell the size of
the viewer's.
""",
    ),
]

IMAGE_OPTS = [
    cfg.IntOpt(
        'image_max_size',
        default=64,
        min=1,
        help="""
GiB that the archive of an image may have.

Holds for what Glance has, which is refused before a byte is downloaded, and
for the archive when it is decompressed. A larger one is refused while it
loads, and nothing is kept of it.
""",
    ),
    cfg.IntOpt(
        'image_max_unpacked_size',
        default=64,
        min=1,
        help="""
GiB that all layers of an image may have together when they are decompressed.

Protects the host from images that are small until they are unpacked. An image
must also fit the disk of its server's flavor, which is often less.
""",
    ),
    cfg.IntOpt(
        'image_max_members',
        default=4096,
        min=16,
        help="""
The number of members that the archive of an image may have.

An archive has one to five members for each layer, whatever the number of
files in the image. Does not hold for the archive of a root file system.
""",
    ),
    cfg.IntOpt(
        'image_max_layers',
        default=125,
        min=1,
        max=125,
        help="""
The number of layers that an image may have. The engine takes 125 at the most.
""",
    ),
    cfg.StrOpt(
        'shared_directory',
        help="""
Directory with files of images, each with the id of its Glance image as its
name, as Glance's file store has them. An image that is found there is not
downloaded.

A file passes the same checks as a download, and its size and hash must be
those that Glance has recorded; otherwise the image is downloaded, and a
warning says why. Symbolic links are not followed. Nova's user must be able to
read the files, and nobody but the operator to write them.

Nova verifies signatures of downloads only, so that nothing is taken from here
for servers with trusted certificates, nor where ``[glance]`` demands
signatures.

Possible values:

* unset: every image is downloaded.
* an absolute path, for instance of Glance's store on a shared file system.
""",
    ),
    cfg.BoolOpt(
        'snapshot_pause',
        default=True,
        help="""
Whether a server is paused while its root file system is committed for a
snapshot.

The upload that follows is never part of the pause.

Possible values:

* ``true``: the snapshot has the files of one instant, as a disk has them after
  a loss of power; the server stands still for 0.1 seconds and more, by the
  amount of data that it has written since it was made.
* ``false``: the server goes on, and files that it writes meanwhile may be in
  the snapshot in part.
""",
    ),
]

ALL_OPTS = ENGINE_OPTS + SERVER_OPTS + IMAGE_OPTS


def register_opts(conf: cfg.ConfigOpts) -> None:
    conf.register_group(GROUP)
    conf.register_opts(ALL_OPTS, group=GROUP)


def list_opts() -> list[tuple[cfg.OptGroup, list[cfg.Opt]]]:
    return [(GROUP, ALL_OPTS)]
