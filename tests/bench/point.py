"""One measurement with our own simulator and load: topics, a simulator and workers of its own. And
scenarios: some such points measured in turn, and what their figures must show."""

import json
import os
import statistics
import subprocess

import measure
import support
from measure import say

LOAD = os.environ['KANCEL_LOAD']
ACCOUNTS = {'enos': support.ENOS, 'scnet': support.SCNET, 'koodrive': support.KOODRIVE}


class Point(support.SystemTest):
    """`count` commands by one worker. Any of the attributes may be given; the figures are in
    `figures` afterwards."""

    partitions = 8
    delay_ms, calls, count, rate, provider = 10, 1000, 30000, 0, 'enos'
    load_options, more_simulator_options = (), ()
    account, settings = {}, {}

    def __init__(self, **attributes):
        super().__init__('runTest')
        self.figures = {}
        for name, value in attributes.items():
            if not hasattr(self, name):
                raise AttributeError(name)
            setattr(self, name, value)

    def setUp(self):
        self.simulator_options = ('--delay-ms', self.delay_ms, *self.more_simulator_options)
        super().setUp()

    def start(self, name='worker', **more):
        """A worker with this point's settings, and `more` over them."""
        limits = {'concurrency': self.calls, 'batch': 500}
        base = {'log': {'level': 'warn'},
                'worker': {'calls': 2 * max(self.calls, 100)},  # the account's half
                'accounts': {ACCOUNTS[self.provider]: support.merged({'limits': limits},
                                                                     self.account)}}
        return support.Worker(self, name, **support.merged(support.merged(base, self.settings),
                                                           more))

    def load_command(self, count, options, rate=0, pid=0):
        words = [LOAD, *options, self.kafka.address, self.commands, self.results, self.provider,
                 count, rate, pid]
        return [str(word) for word in words]

    def noise(self, *workers):
        """Around what is measured; `workers` live all the time."""
        return measure.Noise(self.simulator.process.pid, self.kafka.broker.pid,
                             *(worker.process.pid for worker in workers))

    def loaded(self, *workers):
        """The load's figures; CPU and memory are the first worker's."""
        with self.noise(*workers) as noise:
            done = subprocess.run(self.load_command(self.count, self.load_options, self.rate,
                                                    workers[0].process.pid),
                                  check=True, stdout=subprocess.PIPE, text=True)
        figures = {**json.loads(done.stdout), **noise.figures}
        self.assertEqual(0, figures['bad'], 'every command succeeds')
        return figures

    def warm_up(self, count=500):
        """Connections, topics' leaders, the broker's compiler: not what is measured."""
        subprocess.run(self.load_command(count, self.load_options), check=True,
                       stdout=subprocess.DEVNULL)

    def runTest(self):
        worker = self.start().ready()
        self.warm_up()
        self.figures = self.loaded(worker)
        self.assert_no_violation()
        self.assertEqual(0, worker.stop())


class Goal:
    """`figure` of `row`, or its ratio to that of the row `to`, is at most or at least this. The
    ratio is taken within each round."""

    def __init__(self, text, row, figure, to=None, most=None, least=None, digits=2):
        self.text, self.row, self.figure, self.to = text, row, figure, to
        self.most, self.least, self.digits = most, least, digits

    def line(self, book, key):
        values = book.values(key(self.row), self.figure)
        if self.to is not None:
            others = book.values(key(self.to), self.figure)
            values = [value / other for value, other in zip(values, others)]
        middle = statistics.median(values)
        if self.least is None:
            bound, kept = f'at most {self.most:,}', middle <= self.most
        else:
            bound, kept = f'at least {self.least:,}', middle >= self.least
        return [self.text, measure.Column('', '', self.digits).cell(values), bound,
                'yes' if kept else 'NO']


class Scenario:
    """`points` (label: Point) are measured in turn, `repeat` times."""

    def __init__(self, name, about, points, columns, goals=()):
        self.name, self.about, self.points = name, about, points
        self.columns, self.goals = columns, goals

    def key(self, label):
        """The book's row."""
        return f'{self.name}: {label}'

    def measure(self, book, repeat):
        for turn in range(repeat):
            for label, point in self.points.items():
                say(f'measuring {turn + 1}/{repeat}: {self.key(label)}')
                book.add(self.key(label), measure.measured(point))

    def print(self, book):
        print(f'\n{self.name}: {self.about}')
        book.print(self.columns, [self.key(label) for label in self.points], first='',
                   name=lambda row: row.split(': ', 1)[1])
        if self.goals:
            print()
            measure.print_table(['', 'measured', 'goal', 'kept'],
                                [goal.line(book, self.key) for goal in self.goals])
