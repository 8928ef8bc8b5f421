#!/usr/bin/env python3
"""Kafka goes away under load and comes back: the worker goes on, each command answered once."""

import os
import signal
import time

import kafka
import support

KEYS, EACH = 300, 10
AWAY_S = 5  # longer than the session time-out of the tests' workers
# Newer ones (4.3, 4.4) lose what a transaction did when they are killed at its end: while they start they
# take a partition that has no leader yet for a deleted one, and leave its end-of-transaction marker out
# ("Couldn't find leader endpoint for partitions ... likely deleted already and hence can be skipped").
KEEPS_MARKERS = '4.2.1'


class Broker(support.SystemTest):
    partitions = 4
    simulator_options = ('--delay-ms', '20-60')
    properties = {
        # Registered throughout; a restarted one registers again only after so long.
        'test_frozen_for_longer_than_the_session': {'broker_session_timeout_ms': 30000},
        'test_fenced_while_it_was_frozen': {'broker_session_timeout_ms': 4000,
                                            'broker_heartbeat_interval_ms': 3000},
    }

    def open_kafka(self):
        """A broker of its own: the others' must not be killed."""
        folder = support.RUN / 'broker-of-its-own'
        killed = self._testMethodName.startswith('test_killed')
        self.broker = kafka.Broker(folder, version=KEEPS_MARKERS if killed else kafka.VERSION)
        folder.mkdir(parents=True, exist_ok=True)
        self.broker.up(**self.properties.get(self._testMethodName, {}))
        self.addCleanup(self.broker.down)
        return support.Kafka(self.broker)

    def under_load(self, disturb, **settings):
        """How many workers it took: one that leaves with exit 1, as it does when Kafka or a call to
        it is away for too long, is followed by another, as its supervisor would have it."""
        commands = self.load(KEYS, EACH)
        workers = []

        def start():
            workers.append(support.Worker(
                self, f'worker-{len(workers) + 1}',
                accounts={support.ENOS: {'limits': {'concurrency': 40}}}, **settings))

        def all_there():
            if workers[-1].process.poll() is not None:
                self.assertEqual(1, workers[-1].process.returncode)
                start()
            return len(self.kafka.consume(self.results, quiet_ms=200)) >= len(commands)

        start()
        self.kafka.produce(commands)
        reader = support.Reader(self, self.results)
        reader.wait(len(commands) // 4)
        self.assertLess(len(reader.records), len(commands), 'disturbed in the middle')
        disturb()
        began = time.monotonic()
        support.wait_for('all results', all_there, 3 * support.PATIENCE_S)
        print(f'  all there {time.monotonic() - began:.1f} s after Kafka was back, '
              f'{len(workers)} workers')
        workers[-1].terminate()
        self.assertIn(workers[-1].wait(), (0, 1))
        self.assert_exactly_once(commands)
        return len(workers)

    def kill(self):
        port = self.broker.state()['port']
        self.broker.down()  # kill -9
        time.sleep(AWAY_S)
        self.broker.restart(port)

    def freeze(self):
        os.kill(self.broker.pid, signal.SIGSTOP)
        time.sleep(AWAY_S)
        os.kill(self.broker.pid, signal.SIGCONT)

    def test_killed_and_restarted(self):
        self.under_load(self.kill)

    def test_killed_with_an_instance_id(self):
        self.under_load(self.kill, worker={'instance_id': 'slot-0'})

    def test_frozen_for_longer_than_the_session(self):
        self.assertEqual(1, self.under_load(self.freeze))

    def test_fenced_while_it_was_frozen(self):
        """The broker then reports itself missing for a moment, and clients that hear of it may
        never come back (librdkafka 2.10 and newer forget the last broker)."""
        # Asks often enough to hear of it every time.
        nosy = {'properties': {'topic.metadata.refresh.interval.ms': '100'}}
        self.under_load(self.freeze, kafka=nosy,
                        worker={'stuck_after': '5s', 'leave_after': '30s'})


if __name__ == '__main__':
    support.main()
