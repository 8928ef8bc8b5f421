#!/usr/bin/env python3
"""What must not grow, and what must: `run.sh scale [NAME]...` starts it; without names all of them
but `memory`, which takes long.

Each prints its rows, measured in turn, and beside them the ratios that it is about. --size 0.1
makes everything a tenth as long, for trying it out: such figures mean nothing.
"""

import json
import subprocess
import time

import measure
import support
from measure import Column
from point import Goal, Point, Scenario

PACE = Column('commands/s', 'per_s', 0, 1)
CPU = Column('CPU us/command', 'cpu_us', 1, -1)
MEMORY = Column('memory MiB', 'memory_mib', 0, -1)
CALLS = Column('calls', 'calls', 0, -1)
THROTTLED = Column('throttled', 'throttled', 0, -1)


def static(name):
    return {'worker': {'instance_id': name},
            'kafka': {'properties': {'session.timeout.ms': '6000'}}}


DYNAMIC = {'kafka': {'properties': {'session.timeout.ms': '6000'}}}


class Waiting(Point):
    """All commands wait in their topic before the worker is started."""

    def runTest(self):
        load = subprocess.Popen(self.load_command(self.count, ('--wait', *self.load_options)),
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(load.kill)
        self.assertEqual('sent\n', load.stdout.readline())
        started_us = time.monotonic_ns() // 1000
        worker = self.start()
        with self.noise(worker) as noise:
            out, _ = load.communicate(f'{worker.process.pid} {started_us}\n')
        self.assertEqual(0, load.returncode)
        self.figures = {**json.loads(out), **noise.figures}
        self.assertEqual(0, self.figures['bad'])
        self.assert_no_violation()
        self.assertEqual(0, worker.stop())


class Stuck(Point):
    """The oldest command of a partition waits for its answer all the time."""

    stuck_ms = 60000
    account = {'limits': {'timeout': '2m'}}

    def runTest(self):
        worker = self.start().ready()
        self.warm_up()
        self.simulator.fault({'provider': 'enos', 'task': 'stuck'}, {'delay_ms': self.stuck_ms})
        self.kafka.produce([self.command('stuck', 'cancel', 'enos',
                                         {'channelId': 'ch', 'taskId': 'stuck'}, key='stuck')])
        support.wait_for('the stuck call', lambda: self.simulator.summary()['under_way'] == 1)
        self.figures = self.loaded(worker)
        self.assertEqual(1, self.simulator.summary()['under_way'], 'it was stuck all the time')
        self.assert_no_violation()
        worker.kill()


class Accounts(Point):
    """The commands go to `accounts` accounts in turn."""

    accounts = 1

    def worker_config(self, **settings):
        """With these accounts instead of the usual ones."""
        config = super().worker_config(**settings)
        usual = config['accounts'][support.ENOS]
        config['accounts'] = {f'a{i}': usual for i in range(self.accounts)}
        return config

    def runTest(self):
        self.load_options = ('--accounts', self.accounts)
        worker = self.start().ready()
        self.warm_up(max(500, 2 * self.accounts))  # each has signed in
        self.figures = self.loaded(worker)
        self.assert_no_violation()
        self.assertEqual(0, worker.stop())


class Workers(Point):
    """`workers` processes of one group."""

    workers = 1

    def started(self):
        workers = [self.start(f'worker-{number}') for number in range(self.workers)]
        for worker in workers:
            worker.ready()
        support.wait_for('the workers to share the partitions', lambda: all(
            worker.metric('kancel_partitions_assigned') == self.partitions / self.workers
            for worker in workers))
        return workers

    def runTest(self):
        workers = self.started()
        self.warm_up()
        before = self.answered(workers, 500)
        self.figures = self.loaded(*workers)
        done = [now - was for now, was in zip(self.answered(workers, 500 + self.count), before)]
        self.figures['uneven'] = max(abs(one * self.workers / self.count - 1) for one in done)
        self.assert_no_violation_of_copies()
        for worker in workers:
            self.assertEqual(0, worker.stop())


    def answered(self, workers, total):
        """By each; the metrics come a moment after the results."""
        def counts():
            return [worker.metric('kancel_results_total') for worker in workers]
        support.wait_for('the metrics', lambda: sum(counts()) == total)
        return counts()


class Throttled(Workers):
    """SCNet's cancels, at a provider that throttles what goes beyond `allowed` calls a second."""

    provider, calls, allowed, batch = 'scnet', 4, 100, 100

    def runTest(self):
        share = 'group' if self.workers > 1 else 'worker'
        self.account = {'limits': {'rate': f'{self.allowed}/s', 'batch': self.batch,
                                   'share': share}}
        workers = self.started()
        self.warm_up()
        before = self.calls_made()
        self.simulator.fault({'provider': 'scnet'}, {'throttle': True}, times=-1,
                             above_per_s=self.allowed)
        self.figures = self.loaded(*workers)
        calls = self.calls_made() - before
        self.figures.update(calls=calls, tasks_a_call=self.count / calls,
                            throttled=self.simulator.summary()['faults'][0]['fired'],
                            seconds=self.figures['other_s'])
        self.assert_no_violation()
        for worker in workers:
            self.assertEqual(0, worker.stop())

    def calls_made(self):
        operations = self.simulator.summary()['operations']['scnet']
        return operations['cancel'] + operations['status']


class Settling(Point):
    """`count` commands are polled until their tasks have run for `lasting_ms`."""

    provider, calls, delay_ms, count = 'scnet', 4, 0, 10000
    partitions, lasting_ms, poll = 20, 20000, '1s..30s'

    def setUp(self):
        self.more_simulator_options = ('--task-ms', self.lasting_ms) if self.lasting_ms else ()
        super().setUp()

    def started(self, name='worker'):
        # Short lists, as many commands of one task each share a call.
        self.account = {'limits': {'batch': 100}, 'settle': {'poll': self.poll, 'limit': '1h'}}
        return self.start(name, worker={'window': 4000}).ready()

    def send(self):
        self.kafka.produce([self.command(f'c-{i}', 'status', 'scnet', {'taskIds': [f's{i}']},
                                         key=f'k{i}', until='settled')
                            for i in range(self.count)])

    def runTest(self):
        worker = self.started()
        began = time.monotonic()
        with self.noise(worker) as noise:
            self.send()
            answers = self.kafka.consume(self.results, count=self.count, timeout_s=600)
        self.assertEqual({'succeeded'}, {answer.json['state'] for answer in answers})
        ledger = self.simulator.ledger()
        asked = sum(task['statuses_asked'] for task in ledger['tasks'])
        calls = ledger['operations']['scnet']['status']
        self.figures = {'seconds': time.monotonic() - began, 'asked': asked, 'calls': calls,
                        'tasks_a_call': asked / calls, 'cpu_s': measure.cpu_s(worker.process.pid),
                        **noise.figures}
        self.assert_no_violation()
        self.assertEqual(0, worker.stop())


class Idle(Settling):
    """`count` commands wait for their next poll, which is far away; then what two workers take
    together is measured for `seconds`. One has memory for some 73,000 of them."""

    # One of several accounts has half of each partition's window.
    partitions, lasting_ms, poll, seconds = 64, None, '30m..30m', 20

    def runTest(self):
        workers = [self.started(f'worker-{number}') for number in range(2)]
        support.wait_for('the workers to share the partitions', lambda: all(
            worker.metric('kancel_partitions_assigned') == self.partitions / 2
            for worker in workers))
        self.send()
        # Each is asked once: the next time is in half an hour.
        support.wait_for('all to wait', lambda: self.all_wait(workers), 300)
        calls = self.simulator.summary()['operations']['scnet']['status']
        at_first = self.cpu_s(workers)
        with self.noise(*workers) as noise:
            time.sleep(self.seconds)  # what is measured is this time going by
        spent = self.cpu_s(workers) - at_first
        ledger = self.simulator.ledger()
        self.assertEqual(calls, ledger['operations']['scnet']['status'], 'none meanwhile')
        self.assertEqual([1] * self.count, [task['statuses_asked'] for task in ledger['tasks']])
        memory = sum(measure.resident_mib(worker.process.pid) for worker in workers)
        self.figures = {'core': 100 * spent / self.seconds, 'memory_mib': memory, **noise.figures}
        for worker in workers:
            worker.kill()

    def cpu_s(self, workers):
        return sum(measure.cpu_s(worker.process.pid) for worker in workers)

    def all_wait(self, workers):
        def total(name):
            return sum(worker.metric(name) for worker in workers)
        return (total('kancel_commands_in_flight') == self.count and
                total('kancel_calls_in_flight') + total('kancel_asks_waiting') == 0)


class Restarted(Point):
    """kill -9 under a steady load, and started again at once."""

    rate, calls, count = 500, 100, 8000

    def runTest(self):
        worker = self.start().ready()
        self.warm_up()
        with self.noise() as noise:
            load = subprocess.Popen(self.load_command(self.count, self.load_options, self.rate),
                                    stdout=subprocess.PIPE, text=True)
            self.addCleanup(load.kill)
            support.wait_for('the load', lambda: worker.metric('kancel_results_total') > 1500)
            worker.kill()
            worker = self.start('again')
            out, _ = load.communicate()
        self.assertEqual(0, load.returncode)
        # The worker's own time is not known to the noise: it died.
        self.figures = {'gap_s': json.loads(out)['gap_s'],
                        'calib_ms': noise.figures['calib_ms']}
        self.assertEqual(0, json.loads(out)['bad'])
        self.assert_no_violation()


class Long(Point):
    """Memory over many commands. The simulator's tasks come again and again, as it keeps each."""

    provider, calls, account = 'koodrive', 1000, {'confirm': False}
    load_options = ('--ahead', 20000, '--tasks', 10000)

    def runTest(self):
        super().runTest()
        self.figures['growth'] = self.figures['late_mib'] / self.figures['early_mib']


def scenarios(size):
    def few(count):
        return max(200, int(count * size))

    hundred, million = few(100000), few(1000000)
    return [
        Scenario('backlog', 'what a command costs does not depend on how many wait', {
            # Less would be over before the worker has come to its pace.
            f'{hundred:,} waiting': Waiting(calls=100, delay_ms=1, count=hundred),
            f'{million:,} waiting': Waiting(calls=100, delay_ms=1, count=million),
        }, [PACE, CPU, MEMORY], [
            Goal('CPU, many to few', f'{million:,} waiting', 'cpu_us', f'{hundred:,} waiting',
                 most=1.1)]),
        Scenario('keys', 'what a command costs does not depend on the number of keys (one key: one '
                 'call at a time, nothing is shared)', {
                     '1 key': Point(delay_ms=0, calls=100, count=few(30000),
                                    load_options=('--keys', 1)),
                     '1,000 keys': Point(delay_ms=0, calls=100, count=hundred,
                                         load_options=('--keys', 1000)),
                     f'{million:,} keys': Point(delay_ms=0, calls=100, count=million,
                                                load_options=('--keys', million)),
                 }, [PACE, CPU, MEMORY], [
                     Goal('CPU, many keys to 1,000', f'{million:,} keys', 'cpu_us', '1,000 keys',
                          most=1.1),
                     Goal('CPU, one key to 1,000', '1 key', 'cpu_us', '1,000 keys', most=3)]),
        Scenario('stuck', 'a command that waits for a minute at the head of its partition', {
            'none stuck': Point(count=few(60000)),
            'one stuck': Stuck(count=few(60000)),
        }, [PACE, CPU, MEMORY], [
            Goal('CPU, one stuck to none', 'one stuck', 'cpu_us', 'none stuck', most=1.1),
            Goal('pace, one stuck to none', 'one stuck', 'per_s', 'none stuck', least=0.9)]),
        Scenario('accounts', 'what a command costs does not depend on the number of accounts', {
            f'accounts: {number:,}': Accounts(accounts=number, calls=100, count=few(60000))
            for number in (1, 100, 1000)
        }, [PACE, CPU, MEMORY], [
            Goal('CPU, 1,000 to 1', 'accounts: 1,000', 'cpu_us', 'accounts: 1', most=1.1)]),
        Scenario('workers', 'processes of one group share the work', {
            f'workers: {number}': Workers(workers=number, calls=100, count=few(60000))
            for number in (1, 2, 4)
        }, [PACE, Column('farthest from an even part', 'uneven', 3)], [
            Goal('two workers, from even', 'workers: 2', 'uneven', most=0.1),
            Goal('pace, four to two', 'workers: 4', 'per_s', 'workers: 2', least=1)]),
        Scenario('idle', 'commands that wait for their next poll cost nothing meanwhile '
                 '(two workers)', {
            'no command': Idle(count=0),
            f'{hundred:,} settling': Idle(count=hundred),
        }, [Column('% of a core', 'core', 2, -1), MEMORY], [
            Goal('% of a core, both', f'{hundred:,} settling', 'core', most=3)]),
        Scenario('coalescing', "one worker, SCNet's cancels of one task each, 10 ms a call, 100 "
                 'calls/s allowed, 100 tasks a call', {
                     'one worker': Throttled(count=few(60000)),
                 }, [PACE, CPU, CALLS, Column('commands/call', 'tasks_a_call', 0, 1), THROTTLED], [
                     Goal('commands/s', 'one worker', 'per_s', least=5000, digits=0),
                     Goal('throttled', 'one worker', 'throttled', most=0, digits=0)]),
        Scenario('group', 'workers that share a rate of 50 calls/s, 100 tasks a call', {
            f'workers: {number}': Throttled(workers=number, allowed=50, count=few(10000))
            for number in (1, 2, 4)
        }, [Column('seconds', 'seconds', 1, -1), CALLS,
            Column('commands/call', 'tasks_a_call', 0, 1), THROTTLED]),
        Scenario('settling', 'polls until settled: tasks of 20 s, 100 a call, 20 partitions', {
            f'{few(10000):,} commands': Settling(count=few(10000)),
        }, [Column('seconds', 'seconds', 1, -1), Column('statuses asked', 'asked', 0, -1), CALLS,
            Column('tasks/call', 'tasks_a_call', 0, 1), Column('CPU s', 'cpu_s', 2, -1)]),
        Scenario('start', 'from exec to the first result, a new group on a warm broker', {
            'dynamic member': Waiting(count=200, settings=DYNAMIC),
            'static member': Waiting(count=200, settings=static('a')),
        }, [Column('first result s', 'first_s', 3, -1)]),
        Scenario('restart', 'kill -9 at 500 commands/s, started again at once: the longest time '
                 'without a result (session time-out 6 s)', {
                     'dynamic member': Restarted(settings=DYNAMIC),
                     'static member': Restarted(settings=static('a')),
                 }, [Column('gap s', 'gap_s', 2, -1)]),
        Scenario('memory', 'over many commands (4 GiB of disk)', {
            f'{few(5000000):,} commands': Long(count=few(5000000)),
        }, [PACE, CPU, Column('MiB at 10 %', 'early_mib', 1), Column('at 90 %', 'late_mib', 1),
            MEMORY], [
                Goal('memory at 90 % to 10 %', f'{few(5000000):,} commands', 'growth', most=1.1)]),
    ]


def main():
    parser = measure.parser(__doc__)
    parser.add_argument('names', nargs='*', metavar='NAME',
                        help=' '.join(scenario.name for scenario in scenarios(1)))
    parser.add_argument('--size', type=float, default=1)
    options = parser.parse_args()
    known = {scenario.name: scenario for scenario in scenarios(options.size)}
    for name in options.names:
        if name not in known:
            parser.error(f'no {name}; there are {" ".join(known)}')
    chosen = [known[name] for name in options.names or known if options.names or name != 'memory']
    book = measure.Book('scale')
    for scenario in chosen:
        scenario.measure(book, options.repeat)
        scenario.print(book)
        if options.json:  # what there is, should the rest be broken off
            book.save(options.json)
    print()
    columns = {column.name: column for scenario in chosen for column in scenario.columns}
    measure.finish(book, options, list(columns.values()))


if __name__ == '__main__':
    main()
