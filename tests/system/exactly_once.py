#!/usr/bin/env python3
"""Every command has exactly one result through kill -9 and through workers that come and go."""

import time

import support

KEYS, EACH = 1000, 10


class ExactlyOnce(support.SystemTest):
    partitions = 8
    simulator_options = ('--delay-ms', '10', '--threads', '2')

    def start(self, name, **settings):
        # The calls in flight bound the pace, so that the kills land in the middle of the work.
        return support.Worker(self, name, log={'level': 'warn'},
                              accounts={support.ENOS: {'limits': {'concurrency': 30}}}, **settings)

    def kill_twice(self, **settings):
        """10,000 commands; the worker is killed at a third and at two thirds of them."""
        commands = self.load(KEYS, EACH)
        self.kafka.produce(commands)
        reader = support.Reader(self, self.results)
        began = time.monotonic()
        for turn in (1, 2):
            worker = self.start(f'worker-{turn}', **settings)
            reader.wait(turn * len(commands) // 3)
            at = len(reader.records)
            worker.kill()
            killed = time.monotonic()
            print(f'  killed at {at} results', flush=True)
        worker = self.start('worker-3', **settings)
        reader.wait(at + 500)
        print(f'  going on {time.monotonic() - killed:.1f} s after the second kill')
        # At least once, some results came twice: so many records are not yet so many answers.
        support.wait_for('all results', lambda: len(reader.ids()) == len(commands))
        seconds = time.monotonic() - began
        print(f'  {len(commands)} commands in {seconds:.1f} s, recoveries included', flush=True)
        self.assertEqual(0, worker.stop())
        return commands

    def test_killed_twice(self):
        commands = self.kill_twice()
        self.assert_exactly_once(commands)
        aborted = len(self.kafka.consume(self.results, quiet_ms=500, committed=False))
        print(f'  {aborted - len(commands)} results of aborted transactions, seen by nobody')

    def test_killed_twice_with_an_instance_id(self):
        self.assert_exactly_once(self.kill_twice(worker={'instance_id': 'slot-0'}))

    def test_killed_twice_at_least_once(self):
        commands = self.kill_twice(delivery='at_least_once')
        records = self.kafka.consume(self.results, quiet_ms=500)
        by_id = {}
        for record in records:
            by_id.setdefault(record.json['id'], set()).add(record.json['commandId'])
        print(f'  {len(records) - len(by_id)} results came twice')
        self.assertEqual(len(commands), len(by_id), 'ids are stable and all are there')
        self.assertEqual(len(commands), len(set.union(*by_id.values())))
        self.assert_no_violation()

    def test_workers_come_and_go(self):
        commands = self.load(KEYS, 6)
        self.kafka.produce(commands)
        reader = support.Reader(self, self.results)
        first = self.start('first')
        reader.wait(len(commands) // 6)
        second = self.start('second').ready()
        reader.wait(len(commands) // 3)
        self.assertEqual(2, self.kafka.members(self.group))
        self.assertEqual(0, first.stop())
        reader.wait(len(commands) * 2 // 3)
        third = self.start('third').ready()
        second.kill()
        reader.wait(len(commands))
        self.assertEqual(0, third.stop())
        self.assert_exactly_once(commands)

    def test_commands_of_aborted_transactions_are_not_taken(self):
        good, bad = self.load(10, 2), self.load(20, 1)[10:]
        self.kafka.produce(good[:10] + [{'transaction': 'commit'}] + bad + [{'transaction': 'abort'}]
                           + good[10:], transactional_id=f'{self.group}-requester')
        worker = self.start('worker')
        support.Reader(self, self.results).wait(len(good))
        self.assertEqual(0, worker.stop())
        self.assert_exactly_once(good)


if __name__ == '__main__':
    support.main()
