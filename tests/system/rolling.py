#!/usr/bin/env python3
"""A rolling restart under a steady load: every worker is replaced in turn, as dynamic members the way
the chart's Deployment does it (the new one first) and as static members the way its StatefulSet does
(the old one goes, then its successor comes). kancel-load asks and reads every result: one that is
missing, comes twice or out of its key's order fails the test. Printed is what the restarts cost.

KANCEL_ROLLS (1) is how often all workers are replaced."""

import json
import os
import statistics
import subprocess
import time

import support
from support import ENOS, Worker, wait_for

LOAD = os.environ['KANCEL_LOAD']
ROLLS = int(os.environ.get('KANCEL_ROLLS', '1'))
WORKERS, RATE, KEYS = 3, 100, 300
# So many calls are answered before the first restart, after each, and after the last one, in peace.
WARM, BETWEEN, STEADY = 4 * RATE, 2 * RATE, 5 * RATE
LONGEST_S = support.PATIENCE_S / 6


def per_cent(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


class Book:
    """What kancel-load wrote down: (sent, answered) of each command, seconds on our own clock."""

    def __init__(self, file):
        lines = [line.split() for line in file.read_text().splitlines()]
        self.commands = [(int(sent) / 1e6, (int(sent) + int(latency)) / 1e6)
                         for sent, latency in lines]

    def told(self, since, until):
        """(latencies in ms of what was sent, longest time without a result in s) in that time."""
        latencies = [1000 * (answered - sent) for sent, answered in self.commands
                     if since <= sent < until]
        times = sorted(answered for _, answered in self.commands if since <= answered < until)
        return latencies, max(after - before for before, after in zip(times, times[1:]))


class Rolling(support.SystemTest):
    partitions = 6
    simulator_options = ('--delay-ms', '20-60')

    def worker_config(self, **settings):
        """With the group's time-outs that kancel is shipped with."""
        config = super().worker_config(**settings)
        config['kafka'].pop('properties')
        return config

    def start(self, name, instance):
        worker = Worker(self, name, log={'level': 'info'}, worker={'instance_id': instance},
                        accounts={ENOS: {'limits': {'concurrency': 50}}})
        return worker.ready()

    def answered(self):
        return self.simulator.summary()['requests']

    def in_peace(self, count):
        """Waits until so many more calls were answered."""
        before = self.answered()

        def went_on():
            self.assertIsNone(self.asking.poll(), 'the load goes on: what it said is above')
            return self.answered() >= before + count
        wait_for(f'{count} calls', went_on)

    def caught_up(self):
        """Waits until nothing waits but what is under way."""
        def lag():
            said = map(json.loads, self.kafka.probe('lag', self.group, self.commands))
            return sum(each['end'] - max(each['offset'], 0) for each in said)
        wait_for('the backlog', lambda: lag() < RATE / 2)

    def even(self, workers):
        wait_for('partitions for everybody', lambda: all(
            worker.metric('kancel_partitions_assigned') == self.partitions / WORKERS
            for worker in workers))

    def replaced(self, worker, name, instance):
        """The worker that takes its place."""
        if not instance:
            successor = self.start(name, instance)
            wait_for('partitions for it',
                     lambda: successor.metric('kancel_partitions_assigned') > 0)
        self.assertEqual(0, worker.stop(), 'drained')
        return self.start(name, instance) if instance else successor

    def roll(self, instances):
        workers = [self.start(f'old-{i}', instances[i]) for i in range(WORKERS)]
        self.even(workers)
        book, took = self.folder / 'book', []
        self.asking = subprocess.Popen(
            [LOAD, '--keys', str(KEYS), '--book', book, self.kafka.address, self.commands,
             self.results, 'enos', '1000000', str(RATE)], stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.asking.stdout.close)
        self.addCleanup(self.asking.kill)
        self.in_peace(WARM)
        self.caught_up()
        marks = [time.monotonic()]
        for turn in range(ROLLS):
            for i, worker in enumerate(workers):
                since = time.monotonic()
                workers[i] = self.replaced(worker, f'new-{turn}-{i}', instances[i])
                self.even(workers)
                took.append(time.monotonic() - since)
                self.caught_up()
                self.in_peace(BETWEEN)
        marks.append(time.monotonic())
        self.in_peace(STEADY)
        marks.append(time.monotonic())
        self.asking.terminate()
        figures = json.loads(self.asking.communicate()[0] or '{"bad": -1}')
        self.assertEqual((0, 0), (self.asking.returncode, figures['bad']),
                         'each has one result, in its order')
        for worker in workers:
            self.assertEqual(0, worker.stop())
        self.assert_books(Book(book), marks, took)

    def assert_books(self, book, marks, took):
        records = self.kafka.consume(self.results, quiet_ms=500)
        self.assertEqual(len(book.commands), len({record.json['commandId'] for record in records}))
        self.assertEqual(len(book.commands), len(records), 'none came late and twice')
        tasks = self.simulator.ledger()['tasks']
        self.assertEqual([], [task for task in tasks if task['history'] != 'C'][:5],
                         'tasks that were asked about again')
        self.assert_no_violation_of_copies()
        print(f'  {len(book.commands)} commands; {len(took)} workers replaced, each in '
              f'{statistics.median(took):.1f} s (median)')
        gaps = []
        for what, since, until in zip(('rolling', 'steady'), marks, marks[1:]):
            latencies, longest = book.told(since, until)
            gaps.append(longest)
            print(f'  {what}: {len(latencies)} commands, p50 {per_cent(latencies, 0.5):.0f} ms, p99 '
                  f'{per_cent(latencies, 0.99):.0f} ms, max {max(latencies):.0f} ms; longest time '
                  f'without a result {longest:.2f} s', flush=True)
        self.assertLess(gaps[0], LONGEST_S, 'the group stood still')

    def test_dynamic_members(self):
        self.roll([''] * WORKERS)

    def test_static_members(self):
        self.roll([f'slot-{i}' for i in range(WORKERS)])


if __name__ == '__main__':
    support.main()
