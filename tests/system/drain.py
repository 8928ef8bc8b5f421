#!/usr/bin/env python3
"""SIGTERM under load: exit 0, the group is left, nothing is lost or doubled."""

import time

import support

KEYS, EACH = 300, 10


class Drain(support.SystemTest):
    partitions = 4
    simulator_options = ('--delay-ms', '20-60')

    def start(self, name, **settings):
        return support.Worker(self, name, log={'level': 'info'},
                              accounts={support.ENOS: {'limits': {'concurrency': 50}}},
                              **settings)

    def stop_and_go(self, **settings):
        """Three workers one after the other, the first two stopped in the middle of the work."""
        commands = self.load(KEYS, EACH)
        self.kafka.produce(commands)
        reader = support.Reader(self, self.results)
        for turn in (1, 2):
            worker = self.start(f'worker-{turn}', **settings)
            reader.wait(turn * len(commands) // 3)
            began = time.monotonic()
            self.assertEqual(0, worker.stop(), 'drained')
            print(f'  drained in {time.monotonic() - began:.2f} s at {len(reader.records)} '
                  'results', flush=True)
            self.assertLess(len(reader.records), len(commands), 'stopped in the middle')
        worker = self.start('worker-3', **settings)
        reader.wait(len(commands))
        self.assertEqual(0, worker.stop())
        return commands

    def test_exactly_once(self):
        commands = self.stop_and_go()
        self.assertEqual(0, self.kafka.members(self.group), 'the group is left')
        self.assert_exactly_once(commands)

    def test_at_least_once(self):
        self.assert_exactly_once(self.stop_and_go(delivery='at_least_once'))

    def test_with_an_instance_id(self):
        self.assert_exactly_once(self.stop_and_go(worker={'instance_id': 'slot-0'}))

    def test_ordering_by_partition(self):
        commands = self.load(40, 5)
        self.kafka.produce(commands)
        worker = self.start('worker', ordering='partition')
        support.Reader(self, self.results).wait(len(commands))
        self.assertEqual(0, worker.stop())
        self.assertLessEqual(self.simulator.summary()['max_concurrency'], 5)  # and a sign-in
        self.assert_exactly_once(commands)

    def test_what_is_settling_is_left_to_the_next(self):
        command = self.command('0-0', 'cancel', 'enos', {'channelId': 'ch', 'taskId': 't'},
                               key='k0', until='settled')
        self.simulator.tasks({'provider': 'enos', 'id': 't', 'cancelling_ms': -1})
        worker = self.start('first')
        self.kafka.produce([command])
        support.wait_for('the cancel', lambda: (self.simulator.task('enos', 't')
                                                ['cancels_applied'] == 1))
        began = time.monotonic()
        self.assertEqual(0, worker.stop())
        self.assertLess(time.monotonic() - began, support.PATIENCE_S / 6)
        self.assertEqual([], self.kafka.consume(self.results, quiet_ms=200))
        self.simulator.tasks({'provider': 'enos', 'id': 't', 'state': 'cancelled'})
        worker = self.start('second')
        result = self.answers(1)['0-0']
        self.assertEqual(('succeeded', 'cancelled'), (result['outcome'], result['state']))
        self.assertEqual(0, self.simulator.task('enos', 't')['cancels_asked'], 'not sent again')
        self.assertEqual(0, worker.stop())

    def test_a_call_beyond_the_budget_is_left_behind(self):
        self.simulator.fault({'provider': 'enos', 'operation': 'cancel', 'task': 't'},
                             {'hang': True, 'apply': True}, times=-1)
        worker = self.start('first', worker={'drain': '300ms'})
        command = self.command('0-0', 'cancel', 'enos', {'channelId': 'ch', 'taskId': 't'},
                               key='k0')
        self.kafka.produce([command])
        support.wait_for('the cancel', lambda: self.simulator.task('enos', 't'))
        self.assertEqual(3, worker.stop(), 'left before the drain was done')
        self.simulator.no_faults()
        worker = self.start('second')
        self.assertEqual('succeeded', self.answers(1)['0-0']['outcome'])
        self.assertEqual(1, self.simulator.task('enos', 't')['cancels_asked'])
        self.assertEqual(0, worker.stop())

    def leave_under_load(self, leave, **settings):
        """A provider that takes its time, and a worker that leaves in the middle of the work. Its
        successor finishes it; what was in flight is looked at first, never sent again."""
        self.simulator.request('POST', 'options', {'cancelling_ms': -1})
        self.simulator.fault({'provider': 'enos', 'operation': 'cancel'}, {'delay_ms': 1500},
                             times=-1)
        commands = self.load(100, 3)
        self.kafka.produce(commands)
        reader = support.Reader(self, self.results)
        worker = self.start('first', **settings)
        reader.wait(len(commands) // 6)
        code = leave(worker)
        self.assertLess(len(reader.records), len(commands), 'in the middle')
        self.simulator.no_faults()
        worker = self.start('second')
        reader.wait(len(commands))
        self.assertEqual(0, worker.stop())
        self.assert_exactly_once(commands)
        repeats = sum(task['cancels_asked'] - 1 for task in self.simulator.ledger()['tasks'])
        self.assertEqual(0, repeats, 'cancels that were sent again')
        return code

    def test_slow_providers_are_waited_for(self):
        self.assertEqual(0, self.leave_under_load(lambda worker: worker.stop()))

    def test_the_end_of_the_budget_loses_nothing(self):
        self.assertEqual(3, self.leave_under_load(lambda worker: worker.stop(),
                                                  worker={'drain': '100ms'}))

    def test_a_second_signal_under_load_loses_nothing(self):
        def leave(worker):
            worker.terminate()
            support.wait_for('the drain', lambda: b'event=draining' in worker.log.read_bytes())
            return worker.stop()
        self.assertEqual(3, self.leave_under_load(leave))

    def test_a_second_signal_leaves_now(self):
        self.simulator.fault({'provider': 'enos', 'operation': 'cancel', 'task': 't'},
                             {'hang': True}, times=-1)
        worker = self.start('worker')
        self.kafka.produce([self.command('0-0', 'cancel', 'enos',
                                         {'channelId': 'ch', 'taskId': 't'}, key='k0')])
        support.wait_for('the cancel', lambda: self.simulator.task('enos', 't'))
        began = time.monotonic()
        worker.terminate()
        support.wait_for('the drain', lambda: b'event=draining' in worker.log.read_bytes())
        self.assertEqual(3, worker.stop())
        self.assertLess(time.monotonic() - began, 10, 'the call had 10 s, the drain 25 s')


if __name__ == '__main__':
    support.main()
