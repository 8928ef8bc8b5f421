#!/usr/bin/env python3
"""What sharing calls saves at SCNet, counted by the simulator; `run.sh throttled` starts it.

Cancels: a provider that takes 50 calls a second and answers 911048 beyond, 10,000 cancels of a task
each, one worker with `rate: 50/s`, then two and four that share that rate. Polls: 10,000 status
commands with `until: settled` on 20 partitions, whose tasks run for a while.
"""

import argparse
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'system'))
import support  # noqa: E402
from point import LOAD  # noqa: E402

ALLOWED = 50
BATCH = 100


class Throttled(support.SystemTest):
    """`workers` cancel `count` tasks at a provider that throttles."""

    partitions = 8
    simulator_options = ('--delay-ms', 10)
    workers, count, line = 1, 10000, None

    def runTest(self):
        throttle = {'match': {'provider': 'scnet'}, 'action': {'throttle': True},
                    'above_per_s': ALLOWED}
        share = 'group' if self.workers > 1 else 'worker'
        limits = {'rate': f'{ALLOWED}/s', 'batch': BATCH, 'share': share}
        workers = [support.Worker(self, name=f'worker-{number}', log={'level': 'warn'},
                                  accounts={support.SCNET: {'limits': limits}})
                   for number in range(self.workers)]
        for worker in workers:
            worker.ready()
        if self.workers > 1:
            support.wait_for('the workers to share the partitions', lambda: all(
                worker.metric('kancel_partitions_assigned') > 0 for worker in workers))
        self.simulator.request('POST', 'faults', throttle)
        begun = time.monotonic()
        subprocess.run([LOAD, self.kafka.address, self.commands, self.results, 'scnet',
                        str(self.count), '0'], check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - begun
        summary = self.simulator.summary()
        calls = summary['operations']['scnet']['cancel'] + summary['operations']['scnet']['status']
        throttled = summary['faults'][0]['fired']
        self.assert_no_violation()
        for worker in workers:
            self.assertEqual(0, worker.stop())
        self.line = (f'{self.workers:8} {self.count:9,} {seconds:8.1f} {calls:6,} '
                     f'{self.count / calls:16.0f} {throttled:9} {100 * throttled / calls:7.1f} %')


class Settling(support.SystemTest):
    """`count` commands poll until their tasks have run for `lasting_ms`."""

    partitions = 20
    lasting_ms = 20000
    simulator_options = ('--task-ms', lasting_ms)
    count, line = 10000, None

    def runTest(self):
        limits = {'batch': BATCH}
        worker = support.Worker(self, log={'level': 'warn'}, accounts={support.SCNET: {
            'limits': limits, 'settle': {'poll': '1s..30s'}}})
        worker.ready()
        commands = [self.command(f'c-{i}', 'status', 'scnet', {'taskIds': [f's{i}']}, key=f'k{i}',
                                 until='settled') for i in range(self.count)]
        begun = time.monotonic()
        self.kafka.produce(commands)
        answers = self.kafka.consume(self.results, count=self.count)
        seconds = time.monotonic() - begun
        self.assertEqual({'succeeded'}, {answer.json['state'] for answer in answers})
        ledger = self.simulator.ledger()
        asked = sum(task['statuses_asked'] for task in ledger['tasks'])
        calls = ledger['operations']['scnet']['status']
        cpu = cpu_s(worker.process.pid)
        self.assert_no_violation()
        self.assertEqual(0, worker.stop())
        self.line = (f'{self.count:9,} {seconds:8.1f} {asked:7,} {calls:6,} {asked / calls:15.1f} '
                     f'{cpu:10.2f}')


def cpu_s(pid):
    fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def measure(test):
    result = test.run()
    if not result.wasSuccessful():
        for _, trace in result.errors + result.failures:
            print(trace, file=sys.stderr)
        sys.exit('not measured')
    return test.line


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--count', type=int, default=10000, help='commands')
    parser.add_argument('--workers', type=int, action='append', help='1, 2, 4 by default')
    options = parser.parse_args()
    print(f'cancels, {ALLOWED} calls/s allowed, up to {BATCH} ids a call')
    print(' workers  commands  seconds  calls commands a call throttled  of calls')
    for workers in options.workers or (1, 2, 4):
        test = Throttled('runTest')
        test.workers, test.count = workers, options.count
        print(measure(test), flush=True)
    print('\npolls until settled, 20 partitions, tasks of 20 s, up to 100 ids a call')
    print(' commands  seconds   asked  calls tasks in a call worker CPU s')
    test = Settling('runTest')
    test.count = options.count
    print(measure(test))


if __name__ == '__main__':
    main()
