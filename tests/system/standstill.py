#!/usr/bin/env python3
"""Nothing stops silently: what stands still is logged, counted and told by /readyz, with its reason."""

import json
import subprocess

import kafka
import support

STUCK_S = 2


def watchful(**more):
    """Settings of a worker that looks often."""
    return support.merged({'worker': {'stuck_after': f'{STUCK_S}s', 'leave_after': '10m'},
                           'kafka': {'properties': {'statistics.interval.ms': '500'}}}, more)


class Standstill(support.SystemTest):
    def cancel(self, task):
        self.simulator.tasks({'provider': 'enos', 'id': task})
        return self.command(f'c-{task}', 'cancel', 'enos', {'channelId': 'ch', 'taskId': task},
                            key=task)

    def stuck(self, worker, reason):
        """Partitions that stand still for that reason."""
        name = f'kancel_stuck_partitions{{reason="{reason}",'
        return sum(float(line.rsplit(' ', 1)[1])
                   for line in worker.admin('/metrics')[1].splitlines() if line.startswith(name))

    def assert_logged(self, worker, *parts):
        def is_logged():
            return any(all(part in line for part in parts)
                       for line in worker.log.read_text().splitlines())
        support.wait_for(f'a line with {parts}', is_logged)

    def test_somebodys_open_transaction(self):
        worker = support.Worker(self, **watchful()).ready()
        self.kafka.produce([self.cancel('first')])
        self.answers(1)
        somebody = subprocess.Popen(
            [support.PROBE, self.kafka.address, 'produce', '--transactional-id', self.group],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        self.addCleanup(somebody.wait)
        self.addCleanup(somebody.kill)
        print(json.dumps(self.cancel('never')), file=somebody.stdin, flush=True)
        support.wait_for('the open record', lambda: len(
            self.kafka.consume(self.commands, quiet_ms=100, committed=False)) == 2)
        self.kafka.produce([self.cancel('second')])
        support.wait_for('the word for it',
                         lambda: 'transaction stays open at' in worker.admin('/readyz')[1])
        self.assertEqual(503, worker.admin('/readyz')[0])
        support.wait_for('the count of it', lambda: self.stuck(worker, 'open_transaction') == 1)
        self.assert_logged(worker, 'event=stuck', 'reason=open_transaction',
                           f'topic={self.commands}', 'level=error')
        somebody.stdin.write('{"transaction": "abort"}\n')
        somebody.stdin.close()
        worker.ready()
        self.assertEqual({'c-first', 'c-second'}, set(self.answers(2)))
        self.assert_logged(worker, 'event=moves_again', 'reason=open_transaction')
        self.assertEqual(0, worker.stop())

    def test_slow_provider(self):
        """Said and counted, but the worker stays ready: it is not its fault."""
        self.simulator.fault({'provider': 'enos', 'operation': 'cancel', 'task': 'slow'},
                             {'hang': True}, times=-1)
        worker = support.Worker(self, **watchful()).ready()
        self.kafka.produce([self.cancel('slow'), self.cancel('quick')])
        self.assertEqual({'c-quick'}, set(self.answers(1)))
        self.assert_logged(worker, 'event=stuck', 'reason=call', 'id="c-slow"', 'offset=0',
                           'its call is out for')
        support.wait_for('the count of it', lambda: self.stuck(worker, 'call') == 1)
        self.assertGreaterEqual(worker.metric('kancel_oldest_command_seconds'), STUCK_S)
        worker.ready()
        worker.kill()


class NoKafka(support.SystemTest):
    def open_kafka(self):
        """A broker of its own: the others' must not be killed."""
        folder = support.RUN / 'broker-that-goes'
        self.broker = kafka.Broker(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.broker.up()
        self.addCleanup(self.broker.down)
        return support.Kafka(self.broker)

    def test_gone_for_good(self):
        """Readiness says so, then the process leaves for its supervisor to start another."""
        worker = support.Worker(self, **watchful(worker={'leave_after': '30s'})).ready()
        self.broker.down()
        support.wait_for('the word for it',
                         lambda: 'no broker is reachable' in worker.admin('/readyz')[1])
        self.assertEqual(1, worker.wait())
        # A transaction that was out when the broker went may be what is out of patience first.
        self.assertRegex(worker.log.read_text(),
                         'Kafka could not be used for 3|a Kafka call did not come back')


if __name__ == '__main__':
    support.main()
