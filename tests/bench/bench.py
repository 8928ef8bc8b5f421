#!/usr/bin/env python3
"""Measures the built worker on a real Kafka against the simulator; run.sh starts it.

Each row is measured several times, the rows in turn so that a slow minute hits them all; printed
are medians with the least and the most.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'system'))
import support  # noqa: E402

LOAD = os.environ['KANCEL_LOAD']
PARTITIONS = 8


class Row:
    """One line of the table. rate 0: as fast as it goes."""

    def __init__(self, delay_ms, calls, count, rate=0, provider='enos', delivery='exactly_once'):
        self.delay_ms, self.calls, self.count, self.rate = delay_ms, calls, count, rate
        self.provider, self.delivery = provider, delivery
        self.measured = []

    def __str__(self):
        pace = f'{self.rate}/s' if self.rate else 'full'
        return (f'{self.provider:8} {self.delivery:13} {self.delay_ms:5} {self.calls:6} '
                f'{pace:>7}')


# Counts keep a full row at a few seconds: calls / delay bounds the pace.
ROWS = [
    Row(0, 100, 30000),
    Row(0, 1000, 30000),
    Row(10, 100, 30000),
    Row(10, 1000, 30000),
    Row(100, 100, 4000),
    Row(100, 1000, 20000),
    Row(10, 1000, 30000, delivery='at_least_once'),
    Row(10, 4, 30000, provider='scnet'),
    Row(10, 100, 500, rate=100),
    Row(10, 100, 5000, rate=1000),
    Row(10, 100, 500, rate=100, delivery='at_least_once'),
]


class Point(support.SystemTest):
    """One measurement, with topics, a simulator and a worker of its own."""

    partitions = PARTITIONS
    row = None

    def runTest(self):
        row = self.row
        account = {'limits': {'concurrency': row.calls, 'batch': 500}}
        name = support.ENOS if row.provider == 'enos' else support.SCNET
        worker = support.Worker(self, delivery=row.delivery, log={'level': 'warn'},
                                worker={'calls': 2 * max(row.calls, 100)},  # the account's half
                                accounts={name: account})
        worker.ready()
        load = [LOAD, self.kafka.address, self.commands, self.results, row.provider]
        # Connections, topics' leaders, the broker's compiler: not what is measured.
        subprocess.run([*load, '500', '0'], check=True, stdout=subprocess.DEVNULL)
        done = subprocess.run([*load, str(row.count), str(row.rate), str(worker.process.pid)],
                              check=True, stdout=subprocess.PIPE, text=True)
        self.assert_no_violation()
        self.assertEqual(0, worker.stop())
        row.measured.append(json.loads(done.stdout))


def measure(row):
    point = Point('runTest')
    point.row = row
    point.simulator_options = ('--delay-ms', row.delay_ms)
    result = point.run()
    if not result.wasSuccessful():
        for _, trace in result.errors + result.failures:
            print(trace, file=sys.stderr)
        sys.exit(f'not measured: {row}')


def cell(row, name, digits):
    values = [one[name] for one in row.measured]
    middle, least, most = statistics.median(values), min(values), max(values)
    return f'{middle:.{digits}f} ({least:.{digits}f}-{most:.{digits}f})'


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--repeat', type=int, default=3)
    parser.add_argument('--row', type=int, action='append', help='only these rows, from 1')
    options = parser.parse_args()
    rows = [ROWS[i - 1] for i in options.row] if options.row else ROWS
    for turn in range(options.repeat):
        for row in rows:
            print(f'measuring {turn + 1}/{options.repeat}: {row}', file=sys.stderr, flush=True)
            measure(row)
    version = subprocess.run([support.WORKER, '--version'], capture_output=True, text=True,
                             check=True).stdout.strip()
    print(f'{version}, {os.cpu_count()} cores ({platform.machine()}) shared by worker, broker, '
          f'simulator and load; {PARTITIONS} partitions')
    print(f'median (least-most) of {options.repeat}; latency from send to a committed result')
    print(f"{'provider':8} {'delivery':13} {'delay':>5} {'calls':>6} {'pace':>7}   "
          f"{'commands/s':22} {'CPU us/command':20} {'memory MiB':20} {'p50 ms':20} p99 ms")
    for row in rows:
        paced = row.rate > 0
        print(f"{row}   {cell(row, 'per_s', 0):22} {cell(row, 'cpu_us', 0):20} "
              f"{cell(row, 'memory_mib', 0):20} {cell(row, 'p50_ms', 1) if paced else '-':20} "
              f"{cell(row, 'p99_ms', 1) if paced else '-'}")


if __name__ == '__main__':
    main()
