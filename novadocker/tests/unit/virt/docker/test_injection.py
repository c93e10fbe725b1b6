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
from nova import exception as nova_exception
from oslotest import base
from passlib import hash as crypt

from novadocker import exception
from novadocker.tests.fixtures import fake_engine
from novadocker.tests.fixtures import images
from novadocker.tests.fixtures import instances
from novadocker.virt.docker import guest
from novadocker.virt.docker import injection
from novadocker.virt.docker import model
from novadocker.virt.docker import naming

PASSWD = b'root:x:0:0:root:/root:/bin/sh\nann:x:1000:100::/home/ann:/bin/sh\n'
SHADOW = b'root:*:19000:0:99999:7:::\nann:!:19000:0:99999:7:::\n'
KEY = 'ssh-rsa AAA me'


class GuestsTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.engine = fake_engine.FakeEngine()

    def container(self, instance, **files):
        image = images.Image(
            command=('sh',),
            base=False,
            files=tuple(
                (name.replace('_', '/'), content)
                for name, content in files.items()
            )
            or (('bin/sh', b''),),
        )
        self.engine.load([image.archive()])
        name = naming.instance_name(instance.uuid)
        self.engine.create(
            model.ContainerSpec(
                name=name,
                image=image.id,
                labels={},
                network='none',
                limits=model.Limits(),
                log=model.LogLimits(65536, 2),
            )
        )
        return name

    def prepared(self, instance, *files, password=None, inject=True, **image):
        name = self.container(instance, **image)
        guests = injection.Guests(self.engine, inject)
        order = guest.Order(instance.image_meta, files, password)
        guests.prepare(instance, name, order)
        return lambda path: self.engine.read_file(name, path)

    def an_instance(self, key=None, **properties):
        instance = instances.an_instance(**properties)
        instance.key_data = key
        return instance

    def test_nothing_is_asked_of_the_engine_for_nothing(self):
        self.prepared(self.an_instance())

        self.assertEqual(0, self.engine.requests['read_file'])
        self.assertEqual(0, self.engine.requests['write_files'])

    def test_files(self):
        read = self.prepared(
            self.an_instance(), ('/a/b', b'one'), ('../c', b'two')
        )
        self.assertEqual(
            model.ContainerFile('/a/b', b'one', 0o644, 0, 0), read('/a/b')
        )
        self.assertEqual(b'two', read('/c').content)

    def test_key(self):
        for properties, path, owner in (
            ({}, '/root/.ssh/authorized_keys', 0),
            (
                {'os_admin_user': 'ann'},
                '/home/ann/.ssh/authorized_keys',
                1000,
            ),
        ):
            instance = self.an_instance(KEY, **properties)
            read = self.prepared(instance, etc_passwd=PASSWD)
            self.assertEqual(f'{KEY}\n'.encode(), read(path).content)
            self.assertEqual(owner, read(path).uid)

    def test_cloud_init_fetches_the_key(self):
        read = self.prepared(
            self.an_instance(KEY),
            etc_passwd=PASSWD,
            etc_cloud_cloud_cfg=b'',
            **{'etc/cloud/cloud.cfg': b''},
        )
        self.assertIsNone(read('/root/.ssh/authorized_keys'))

    def test_image_of_one_program(self):
        read = self.prepared(self.an_instance(KEY), password='secret')
        self.assertIsNone(read('/root/.ssh/authorized_keys'))

    def test_image_without_the_user_that_it_names(self):
        instance = self.an_instance(KEY, os_admin_user='bob')
        for files in ({}, {'etc_passwd': PASSWD}):
            self.assertRaises(
                exception.NoSuchUser, self.prepared, instance, **files
            )
            self.engine.remove(naming.instance_name(instance.uuid))

    def fields(self, read, user):
        lines = read('/etc/shadow').content.decode().splitlines()
        return next(line.split(':') for line in lines if line.startswith(user))

    def test_password(self):
        read = self.prepared(
            self.an_instance(os_admin_user='ann'),
            password='secret',
            etc_passwd=PASSWD,
            etc_shadow=SHADOW,
        )
        _, hashed, changed, *_ = self.fields(read, 'ann')
        self.assertTrue(crypt.sha512_crypt.verify('secret', hashed))
        self.assertGreater(int(changed), 19000)
        self.assertEqual('*', self.fields(read, 'root')[1])

    def test_password_that_is_not_wanted(self):
        read = self.prepared(
            self.an_instance(),
            password='secret',
            inject=False,
            etc_passwd=PASSWD,
            etc_shadow=SHADOW,
        )
        self.assertEqual('*', self.fields(read, 'root')[1])

    def test_password_later(self):
        instance = self.an_instance()
        name = self.container(instance, etc_passwd=PASSWD, etc_shadow=SHADOW)
        injection.Guests(self.engine, False).set_password(instance, 'new')

        found = self.fields(
            lambda path: self.engine.read_file(name, path), 'root'
        )
        self.assertTrue(crypt.sha512_crypt.verify('new', found[1]))

    def test_password_of_what_knows_none(self):
        for properties, files in (
            ({}, {}),
            ({}, {'etc_passwd': PASSWD}),
            ({'os_admin_user': 'bob'}, {'etc_passwd': PASSWD}),
        ):
            instance = self.an_instance(**properties)
            self.container(instance, **files)
            self.assertRaises(
                nova_exception.SetAdminPasswdNotSupported,
                injection.Guests(self.engine, True).set_password,
                instance,
                'new',
            )
