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
import io
import tarfile

from oslotest import base

from novadocker.virt.docker import guest
from novadocker.virt.docker import model

PASSWD = (
    b'root:x:0:0:root:/root:/bin/sh\n'
    b'broken\n'
    b'\xff:x:1:1::/:\n'
    b'ann:x:1000:100::/home/ann:/bin/bash\n'
    b'odd:x:1000x:100::/:/bin/bash\n'
)
SHADOW = model.ContainerFile(
    '/etc/shadow',
    b'root:*:19000:0:99999:7:::\nann:!:19000:0:99999:7:::\n\xff:*:1:::::\n',
    0o640,
    0,
    42,
)
ANN = guest.User('ann', 1000, 100, '/home/ann')


class FindUserTestCase(base.BaseTestCase):
    def test_found(self):
        self.assertEqual(ANN, guest.find_user(PASSWD, 'ann'))

    def test_not_there_or_not_to_be_understood(self):
        for name in ('an', 'x', 'broken', 'odd', ''):
            self.assertIsNone(guest.find_user(PASSWD, name))


class PasswordTestCase(base.BaseTestCase):
    def test_takes_the_place_of_the_old_one(self):
        found = guest.with_password(SHADOW, 'ann', '$6$x', 20000)

        self.assertEqual(
            b'root:*:19000:0:99999:7:::\n'
            b'ann:$6$x:20000:0:99999:7:::\n'
            b'\xff:*:1:::::\n',
            found.content,
        )
        self.assertEqual((0o640, 42), (found.mode, found.gid))

    def test_of_a_user_who_had_none(self):
        found = guest.with_password(SHADOW, 'bob', '$6$x', 20000)

        self.assertTrue(found.content.startswith(SHADOW.content))
        self.assertTrue(
            found.content.endswith(b'\nbob:$6$x:20000:0:99999:7:::\n')
        )


class KeyTestCase(base.BaseTestCase):
    def keys(self, present):
        if present is not None:
            present = model.ContainerFile('/x', present, 0o777, 0, 0)
        directory, file = guest.with_key(ANN, present, 'ssh-rsa AAA me \n')
        self.assertEqual(
            model.ContainerFile('/home/ann/.ssh', None, 0o700, 1000, 100),
            directory,
        )
        self.assertEqual('/home/ann/.ssh/authorized_keys', file.path)
        self.assertEqual((0o600, 1000, 100), (file.mode, file.uid, file.gid))
        return file.content

    def test_first_key(self):
        self.assertEqual(b'ssh-rsa AAA me\n', self.keys(None))

    def test_keys_of_the_image_stay(self):
        for present in (b'other', b'other\n'):
            self.assertEqual(b'other\nssh-rsa AAA me\n', self.keys(present))

    def test_key_that_is_there(self):
        self.assertEqual(
            b'ssh-rsa AAA me\nother\n', self.keys(b'ssh-rsa AAA me\nother\n')
        )


class ArchiveTestCase(base.BaseTestCase):
    def test_members(self):
        data = guest.archive(guest.with_key(ANN, None, 'key'))
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            directory, file = tar.getmembers()
            self.assertEqual(b'key\n', tar.extractfile(file).read())
        self.assertTrue(directory.isdir())
        self.assertEqual('home/ann/.ssh', directory.name)
        self.assertEqual(
            (0o700, 1000, 100), (directory.mode, directory.uid, directory.gid)
        )
        self.assertEqual('home/ann/.ssh/authorized_keys', file.name)

    def test_a_path_leads_nowhere_else(self):
        for path, expected in (
            ('/etc/motd', 'etc/motd'),
            ('../../etc/motd', 'etc/motd'),
            ('a/../../b', 'b'),
            ('//x', 'x'),
            ('/', ''),
        ):
            self.assertEqual(expected, guest.inside(path))

    def test_password_is_in_no_log(self):
        order = guest.Order(None, admin_password='secret')
        self.assertNotIn('secret', repr(order))
