#!/usr/bin/env python3
"""The built worker on a real Kafka against the simulator; `run.sh worker` starts it.

Each row is measured several times, the rows in turn so that a slow minute hits them all; printed
are medians with the least and the most.
"""

import measure
from measure import Column, say
from point import Point

COLUMNS = [Column('commands/s', 'per_s', 0, 1), Column('CPU us/command', 'cpu_us', 0, -1),
           Column('memory MiB', 'memory_mib', 0, -1), Column('p50 ms', 'p50_ms', 1, -1),
           Column('p99 ms', 'p99_ms', 1, -1)]


class Row(Point):
    """One line of the table. rate 0: as fast as it goes, then latency says nothing."""

    def __str__(self):
        delivery = self.settings.get('delivery', 'exactly_once')
        pace = f'{self.rate}/s' if self.rate else 'full'
        return f'{self.provider}, {delivery}, {self.delay_ms} ms, {self.calls} calls, {pace}'

    def runTest(self):
        super().runTest()
        if not self.rate:
            del self.figures['p50_ms'], self.figures['p99_ms']


AT_LEAST_ONCE = {'delivery': 'at_least_once'}

# Counts keep a full row at a few seconds: calls / delay bounds the pace.
ROWS = [
    Row(delay_ms=0, calls=100),
    Row(delay_ms=0, calls=1000),
    Row(delay_ms=10, calls=100),
    Row(delay_ms=10, calls=1000),
    Row(delay_ms=100, calls=100, count=4000),
    Row(delay_ms=100, calls=1000, count=20000),
    Row(delay_ms=10, calls=1000, settings=AT_LEAST_ONCE),
    Row(delay_ms=10, calls=4, provider='scnet'),
    Row(delay_ms=10, calls=100, count=500, rate=100),
    Row(delay_ms=10, calls=100, count=5000, rate=1000),
    Row(delay_ms=10, calls=100, count=500, rate=100, settings=AT_LEAST_ONCE),
]


def main(words=None):
    parser = measure.parser(__doc__)
    parser.add_argument('--row', type=int, action='append', help='only these rows, from 1')
    options = parser.parse_args(words)
    chosen = [ROWS[number - 1] for number in options.row] if options.row else ROWS
    book = measure.Book('worker')
    for turn in range(options.repeat):
        for row in chosen:
            say(f'measuring {turn + 1}/{options.repeat}: {row}')
            book.add(str(row), measure.measured(row))
    print(f'{measure.version()}; machine shared by worker, broker, simulator and load; '
          f'{Point.partitions} partitions')
    print(f'median (least-most) of {options.repeat}; latency from send to a committed result')
    book.print(COLUMNS)
    measure.finish(book, options, COLUMNS)


if __name__ == '__main__':
    main()
