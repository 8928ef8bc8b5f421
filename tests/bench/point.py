"""One measurement with our own simulator and load: topics, a simulator and workers of its own."""

import json
import os
import pathlib
import subprocess
import sys

import measure

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'system'))
import support  # noqa: E402

LOAD = os.environ['KANCEL_LOAD']
ACCOUNTS = {'enos': support.ENOS, 'scnet': support.SCNET, 'koodrive': support.KOODRIVE}


class Point(support.SystemTest):
    """`count` commands by one worker; what is left out is as worker.py's tables have it. The
    figures are in `figures` afterwards."""

    partitions = 8
    delay_ms, calls, count, rate, provider = 10, 1000, 30000, 0, 'enos'
    load_options, more_simulator_options = (), ()
    account, settings = {}, {}

    def __init__(self):
        super().__init__('runTest')
        self.figures = {}

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

    def load(self, count, *options, rate=0, pid=0):
        """The command of a load."""
        words = [LOAD, *options, self.kafka.address, self.commands, self.results, self.provider,
                 count, rate, pid]
        return [str(word) for word in words]

    def loaded(self, count, *options, rate=0, pid=0):
        """Its figures, with the machine's noise meanwhile."""
        pids = [self.simulator.process.pid, self.kafka.broker.pid, *([pid] if pid else [])]
        with measure.Noise(*pids) as noise:
            done = subprocess.run(self.load(count, *options, rate=rate, pid=pid), check=True,
                                  stdout=subprocess.PIPE, text=True)
        return {**json.loads(done.stdout), **noise.figures}

    def warm_up(self, count=500):
        """Connections, topics' leaders, the broker's compiler: not what is measured."""
        subprocess.run(self.load(count, *self.load_options), check=True, stdout=subprocess.DEVNULL)

    def runTest(self):
        worker = self.start().ready()
        self.warm_up()
        self.figures = self.loaded(self.count, *self.load_options, rate=self.rate,
                                   pid=worker.process.pid)
        self.assertEqual(0, self.figures['bad'])
        self.assert_no_violation()
        self.assertEqual(0, worker.stop())
