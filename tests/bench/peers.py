#!/usr/bin/env python3
"""The worker beside what others use, on one Kafka: `run.sh peers --peers FOLDER` starts it.

FOLDER (or $KANCEL_PEERS) is the harness of the peers: its run.sh, peers.d/ (how to start each) and
build.sh; what that built stands in $PEERS_BUILD (FOLDER/build). A peer that is not built there is
left out, one that fails is told and left out from then on. The harness' driver prepares the topics,
starts the worker, reads the results and prints the figures; here is only the order of the runs and
what is made of the figures.

One round runs every worker back to back at one point, then at the next, in an order of its own:
what one leaves to the broker slows down the next. Ratios against `raw` (the bare pipeline without
any guarantee) are taken within each round; printed is their median.
"""

import json
import os
import pathlib
import random
import shlex
import subprocess
import sys

import kafka
import measure
from measure import Column, say

# Records a second that each is good for: a run is sized to take about --seconds.
CAPACITY = {'kancel': 45000, 'kancel-alo': 45000, 'kancel-none': 45000, 'kancel-alo-none': 45000,
            'kancel-confirm': 20000, 'raw': 50000, 'go-franz': 40000, 'rust-rdkafka': 40000,
            'pc-key': 4000, 'pc-vertx-key': 6000, 'pc-key-eos': 3000, 'bento': 4000,
            'kafkajs': 6500}
USUAL = ['kancel', 'kancel-alo', 'raw', 'go-franz', 'rust-rdkafka', 'pc-key', 'pc-vertx-key',
         'pc-key-eos', 'bento', 'kafkajs']
MEASURE = 'raw'  # what ratios are taken against
MOST = 1000000  # records of one run, the driver's own limit

FULL = [Column('commands/s', 'per_s', 0, 1), Column('pace / raw', 'per_s_ratio', 2, 1),
        Column('warm half', 'warm_per_s', 0, 1), Column('warm / raw', 'warm_per_s_ratio', 2, 1),
        Column('CPU us', 'cpu_us', 0, -1), Column('CPU / raw', 'cpu_us_ratio', 2, -1),
        Column('RSS MB', 'rss_mb', 0, -1), Column('first result s', 'first_s', 2, -1),
        Column('twice', 'duplicates'), Column('missing', 'missing'),
        Column('out of order', 'out_of_order')]
PACED = [Column('p50 ms', 'p50_ms', 1, -1), Column('p99 ms', 'p99_ms', 1, -1),
         Column('p99.9 ms', 'p999_ms', 1, -1), Column('CPU us', 'cpu_us', 0, -1),
         Column('RSS MB', 'rss_mb', 0, -1), Column('first result s', 'first_s', 2, -1),
         Column('missing', 'missing')]
KILLED = [Column('first result after restart, s', 'resume_s', 2, -1),
          Column('longest gap s', 'gap_s', 2, -1), Column('results twice', 'duplicates', 0, -1),
          Column('calls repeated', 'repeated', 0, -1), Column('missing', 'missing', 0, -1)]
MODES = {'bench': FULL, 'paced': PACED, 'kill': KILLED}


class Peers:
    """The harness, and what of it is there."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder).resolve()
        self.build = pathlib.Path(os.environ.get('PEERS_BUILD') or self.folder / 'build').resolve()
        for needed in (self.folder / 'run.sh', self.build / 'bin/driver', self.build / 'bin/stub'):
            if not needed.exists():
                sys.exit(f'bench: peers: no {needed}; build the harness first (its build.sh)')

    def command(self, worker):
        """The words of the command that starts a worker; None: there is no such worker."""
        file = self.folder / 'peers.d' / worker
        if not file.exists():
            return None
        environment = {**os.environ, 'PEERS_HOME': str(self.folder),
                       'PEERS_BUILD': str(self.build)}
        done = subprocess.run(['bash', '-c', f'. {shlex.quote(str(file))}; printf %s "$WORKER"'],
                              env=environment, capture_output=True, text=True, check=True)
        text = done.stdout.replace('$PEERS_BUILD', str(self.build))
        return shlex.split(text.replace('$PEERS_HOME', str(self.folder)))

    def missing(self, worker):
        """What of a worker is not there; None: all is."""
        words = self.command(worker)
        if words is None:
            return f'no peers.d/{worker}'
        for path in ':'.join(words).split(':'):
            if path.startswith(str(self.build)) and not pathlib.Path(path.rstrip('*')).exists():
                return f'not built: {path}'
        return None

    def run(self, worker, mode, delay, calls, count, environment):
        """The driver's figures of one run, or None."""
        out = self.build / 'out.json'
        more = {'PEERS_BUILD': str(self.build), 'OUT': os.devnull, 'MODE': mode,
                'LIMIT_S': '300', **environment}
        if mode == 'kill':
            more['IDLE_S'] = '70'  # a dead member's session of 45 s, where that is fixed
        with open(out, 'w') as file:
            subprocess.run([self.folder / 'run.sh', worker, delay, str(calls), str(count)],
                           env={**os.environ, **more}, stdin=subprocess.DEVNULL, stdout=file,
                           check=False)
        lines = [line for line in out.read_text().splitlines() if line.startswith('{')]
        return json.loads(lines[-1]) if lines else None


def figures_of(raw, mode):
    """The driver's JSON in our words."""
    stub = raw.get('stub') or {}
    figures = {'calib_ms': raw['calib_ms'], 'foreign_cores': raw['foreign_cores'],
               'broker_cores': raw['broker_cores'], 'commands': raw['n'],
               'rss_mb': raw['rss_mb'], 'first_s': raw['first_s'], 'cpu_us': raw['cpu_us_rec'],
               'duplicates': raw['duplicates'], 'missing': raw['missing'],
               'out_of_order': raw['orderViolations'], 'exit': raw['exit'],
               'not_committed': raw['lag_after_stop']}
    if mode == 'bench':
        half = raw.get('half2') or {}
        figures.update(per_s=raw['rec_s'], warm_per_s=half.get('rec_s'),
                       cpu_us=half.get('cpu_us_rec', raw['cpu_us_rec']))
    elif mode == 'paced':
        latency = raw.get('latency_ms') or {}
        figures.update(p50_ms=latency.get('p50'), p99_ms=latency.get('p99'),
                       p999_ms=latency.get('p99.9'))
    else:
        resume = raw['kill']['resume_s']
        figures.update(resume_s=resume if resume >= 0 else None, gap_s=raw['max_gap_s'],
                       repeated=max(0, stub.get('calls', raw['n']) - raw['n']))
    return figures


def trouble_of(raw):
    """Why a run does not count; None: it does. What is missing or came twice is a figure."""
    if raw is None:
        return 'no figures'
    if raw['died']:
        return f"the worker left with {raw['exit']}"
    if raw['distinct'] == 0:
        return 'no result'
    if raw.get('not_succeeded'):
        return f"{raw['not_succeeded']} results did not succeed"
    return None


class Bench:
    def __init__(self, peers, options):
        self.peers, self.options = peers, options
        self.book = measure.Book('peers')
        self.workers = []
        for worker in options.workers or USUAL:
            missing = peers.missing(worker)
            if missing:
                say(f'left out: {worker}: {missing}')
            else:
                self.workers.append(worker)
        broker = kafka.Broker(os.environ['KANCEL_RUN'])
        self.environment = {'KAFKA': broker.address, 'BROKER_PID': str(broker.pid),
                            'KANCEL': os.environ['KANCEL_WORKER'],
                            'PACED_S': str(options.paced_seconds),
                            'QUIET_S': str(options.quiet)}
        # The harness' broker makes it by itself; ours does not.
        subprocess.run([os.environ['KANCEL_PROBE'], broker.address, 'create', 'cmd-dead:1'],
                       check=True)

    def count(self, worker, mode, delay, calls):
        if mode == 'paced':
            return self.options.rate
        bound = calls / float(delay) * 1000 if float(delay) else MOST
        pace = min(CAPACITY.get(worker, 4000), bound)
        return min(MOST, max(1000, int(pace * self.options.seconds)))

    def round(self, number, mode, delay, calls):
        """Every worker once, back to back."""
        taken = {}
        order = random.Random(f'{number} {mode} {delay}:{calls}')
        for worker in order.sample(self.workers, len(self.workers)):
            say(f'round {number}/{self.options.repeat}: {mode} {delay}:{calls} {worker}')
            raw = self.peers.run(worker, mode, delay, calls, self.count(worker, mode, delay, calls),
                                 self.environment)
            trouble = trouble_of(raw)
            if trouble:
                say(f'left out from now on: {worker}: {trouble}; its log is in '
                    f"{self.peers.build / 'log'}")
                self.workers.remove(worker)
                continue
            taken[worker] = figures_of(raw, mode)
        for worker, figures in taken.items():
            for name in ('per_s', 'warm_per_s', 'cpu_us'):
                mine, theirs = figures.get(name), taken.get(MEASURE, {}).get(name)
                if mode == 'bench' and mine and theirs:
                    figures[f'{name}_ratio'] = mine / theirs
            self.book.add(f'{mode} {delay}:{calls} {worker}', figures)

    def warm_up(self):
        """The broker's compiler and its coordinators: not what is measured."""
        say('warming up the broker')
        if self.workers:
            self.peers.run(self.workers[0], 'bench', '10', 100,
                           self.count(self.workers[0], 'bench', '10', 100), self.environment)

    def measure(self):
        self.warm_up()
        for number in range(1, self.options.repeat + 1):
            for mode in self.options.modes:
                for delay, calls in self.options.points if mode == 'bench' else [('10', 100)]:
                    self.round(number, mode, delay, calls)
            if self.options.json:  # what there is, should the rest be broken off
                self.book.save(self.options.json)

    def print(self):
        titles = {'bench': 'as fast as it goes, {} ms a call, {} calls in flight',
                  'paced': '{} ms a call, {} in flight, ' + str(self.options.rate)
                  + '/s: latency from the scheduled sending',
                  'kill': '{} ms a call, {} in flight: kill -9 once, restarted 0.5 s later'}
        for mode in self.options.modes:
            points = self.options.points if mode == 'bench' else [('10', 100)]
            for delay, calls in points:
                begin = f'{mode} {delay}:{calls} '
                rows = [row for row in self.book.rows if row.startswith(begin)]
                if rows:
                    print(f'\n{titles[mode].format(delay, calls)}')
                    self.book.print(MODES[mode], rows, first='worker',
                                    name=lambda row: row.rsplit(' ', 1)[1])
        print(f'\nmedians (least-most) of {self.options.repeat}; "/ raw" is the median of the '
              "rounds' own ratios")


def points_of(text):
    points = [point.split(':') for point in text.split(',')]
    return [(delay, int(calls)) for delay, calls in points]


def names_of(text):
    return text.split(',')


def main():
    parser = measure.parser(__doc__)
    parser.add_argument('--peers', metavar='FOLDER', default=os.environ.get('KANCEL_PEERS'))
    parser.add_argument('--points', type=points_of, default='0:100,10:100,10:1000,100:1000',
                        help='delay in ms:calls in flight,... (%(default)s)')
    parser.add_argument('--modes', type=names_of, default='bench,paced,kill',
                        help='of these (%(default)s)')
    parser.add_argument('--workers', type=names_of, help=f"of peers.d/ ({','.join(USUAL)})")
    parser.add_argument('--seconds', type=float, default=8, help='about, a run (%(default)s)')
    parser.add_argument('--rate', type=int, default=200, help='of paced, a second (%(default)s)')
    parser.add_argument('--paced-seconds', type=int, default=15, help='(%(default)s)')
    parser.add_argument('--quiet', type=int, default=0, metavar='S',
                        help='wait up to S seconds for a quiet machine before each run')
    options = parser.parse_args()
    if not options.peers:
        say('no peers (--peers FOLDER or KANCEL_PEERS): the worker alone')
        import worker
        sys.exit(worker.main(['--repeat', str(options.repeat),
                              *(['--json', options.json] if options.json else []),
                              *(['--compare', options.compare] if options.compare else [])]))
    for mode in options.modes:
        if mode not in MODES:
            parser.error(f"--modes: expected some of {', '.join(MODES)}")
    bench = Bench(Peers(options.peers), options)
    bench.measure()
    bench.print()
    columns = {column.name: column for mode in options.modes for column in MODES[mode]}
    measure.finish(bench.book, options, list(columns.values()))


if __name__ == '__main__':
    main()
