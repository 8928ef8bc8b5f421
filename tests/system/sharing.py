#!/usr/bin/env python3
"""Commands share calls: how many calls the provider sees, and that each command gets its own answer."""

import support


class Sharing(support.SystemTest):
    partitions = 4
    simulator_options = ('--delay-ms', 20)

    def cancels(self, count, **more):
        return [self.command(f'c-{i}', 'cancel', 'scnet', {'taskIds': [f's{i}']}, key=f'k{i}',
                             **more) for i in range(count)]

    def calls(self, operation):
        return self.simulator.summary()['operations']['scnet'][operation]

    def worker(self, **limits):
        return support.Worker(self, accounts={support.SCNET: {'limits': limits}})

    def test_throttled(self):
        """A provider that takes 50 calls a second is never asked faster, and sees few calls."""
        count = 2000
        self.simulator.fault({'provider': 'scnet'}, {'throttle': True}, times=-1, above_per_s=50)
        self.kafka.produce(self.cancels(count))
        worker = self.worker(rate='50/s').ready()
        answers = self.answers(count)
        self.assertEqual({'succeeded'}, {answer['outcome'] for answer in answers.values()})
        self.assertLess(self.calls('cancel'), count / 10)
        self.assertEqual(0, self.simulator.summary()['faults'][0]['fired'])
        self.assert_no_violation()
        self.assertEqual(0, worker.stop())

    def test_companions(self):
        """One call, and each of its commands is answered for itself."""
        commands = [self.command(f'c-{name}', 'cancel', 'scnet', {'taskIds': [task]}, key=name,
                                 partition=0)
                    for name, task in (('runs', 's-1'), ('failed', '9990000500'),
                                       ('gone', '9990000404'), ('cancelled', '9990000499'),
                                       ('again', 's-1'))]
        worker = self.worker(linger='2s').ready()
        self.kafka.produce(commands)
        answers = self.answers(len(commands))
        self.assertEqual({'c-runs': 'succeeded', 'c-again': 'succeeded', 'c-failed': 'refused',
                          'c-gone': 'refused', 'c-cancelled': 'succeeded'},
                         {id: answer['outcome'] for id, answer in answers.items()})
        self.assertEqual('not_cancellable', answers['c-failed']['error']['kind'])
        self.assertEqual('not_found', answers['c-gone']['error']['kind'])
        self.assertTrue(answers['c-cancelled']['alreadyCancelled'])
        self.assertNotIn('response', answers['c-runs'])
        self.assertEqual(1, self.calls('cancel'))
        self.assert_no_violation()
        self.assertEqual(0, worker.stop())

    def test_targets(self):
        """A thousand targets of one task are polled by the page."""
        targets = [f'd-{i}' for i in range(1000)]
        self.simulator.tasks({'provider': 'iotda', 'id': 'ab', 'parent': support.PROJECT,
                              'targets': targets})
        worker = support.Worker(self, accounts={support.IOTDA: {'settle': {'poll': '1s..1s'}}})
        worker.ready()
        self.kafka.produce([self.command('c-1', 'cancel', 'iotda',
                                         {'taskId': 'ab', 'targets': targets}, until='settled')])
        answer = self.answers(1)['c-1']
        self.assertEqual(('succeeded', 'cancelled'), (answer['outcome'], answer['state']))
        operations = self.simulator.summary()['operations']['iotda']
        self.assertEqual(10, operations['cancel'])
        self.assertLessEqual(operations['status'], 60, '20 pages a poll')
        self.assert_no_violation()
        self.assertEqual(0, worker.stop())


if __name__ == '__main__':
    support.main()
