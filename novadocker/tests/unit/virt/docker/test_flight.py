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


from concurrent import futures
import threading

from oslotest import base

from novadocker.virt.docker import flight


class Personal(Exception):
    """Concerns the one who asked."""


class SingleFlightTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.flights = flight.SingleFlight((Personal,))
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.runs = []

    def work(self, outcome):
        self.runs.append(outcome)
        self.begun.set()
        self.assertTrue(self.go_on.wait(10))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def ask(self, pool, outcome):
        return pool.submit(self.flights.run, 'key', lambda: self.work(outcome))

    def test_waiters_get_what_the_first_gets(self):
        with futures.ThreadPoolExecutor(10) as pool:
            first = self.ask(pool, 'mine')
            self.assertTrue(self.begun.wait(10))
            others = [self.ask(pool, 'other') for _ in range(9)]
            # Long enough to be waiting, whatever the machine does.
            done, _ = futures.wait(others, 0.2)
            self.assertEqual(set(), done)
            self.go_on.set()
            results = {one.result() for one in (first, *others)}
        self.assertEqual({'mine'}, results)
        self.assertEqual(['mine'], self.runs)

    def test_waiters_get_the_same_error(self):
        error = KeyError('broken')
        with futures.ThreadPoolExecutor(2) as pool:
            one = self.ask(pool, error)
            self.assertTrue(self.begun.wait(10))
            two = self.ask(pool, 'other')
            self.assertRaises(TimeoutError, two.result, 0.2)
            self.go_on.set()
            self.assertIs(error, one.exception())
            self.assertIs(error, two.exception())

    def test_a_personal_error_is_not_shared(self):
        with futures.ThreadPoolExecutor(2) as pool:
            one = self.ask(pool, Personal())
            self.assertTrue(self.begun.wait(10))
            two = self.ask(pool, 'other')
            self.assertRaises(TimeoutError, two.result, 0.2)
            self.go_on.set()
            self.assertIsInstance(one.exception(), Personal)
            self.assertEqual('other', two.result())

    def test_what_is_done_is_done_again(self):
        self.go_on.set()
        for outcome in ('one', 'two'):
            self.assertEqual(
                outcome,
                self.flights.run('key', lambda out=outcome: self.work(out)),
            )

    def test_keys_do_not_wait_for_each_other(self):
        with futures.ThreadPoolExecutor(1) as pool:
            one = self.ask(pool, 'one')
            self.assertTrue(self.begun.wait(10))
            self.assertEqual(2, self.flights.run('another', lambda: 2))
            self.go_on.set()
            self.assertEqual('one', one.result())
