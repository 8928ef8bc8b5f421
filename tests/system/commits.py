#!/usr/bin/env python3
"""When results are committed, and what happens where they cannot be or where commands are gone."""

import collections
import json
import subprocess
import time

import support


class Commits(support.SystemTest):
    partitions = 2

    def start(self, name='worker', concurrency=50, **settings):
        return support.Worker(self, name, log={'level': 'info'}, accounts={
            support.ENOS: {'limits': {'concurrency': concurrency}}}, **settings)

    def take_time(self):
        """So that what a test does in the middle of the work is done there."""
        self.simulator.fault({'provider': 'enos', 'operation': 'cancel'}, {'delay_ms': 40},
                             times=-1)

    # ---- the pace ----

    def test_few_are_committed_at_once(self):
        commands = self.load(40, 1)
        worker = self.start().ready()
        before = worker.metric('kancel_transactions_total')
        probe = subprocess.Popen([support.PROBE, self.kafka.address, 'produce'], text=True,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        reader = support.Reader(self, self.results)
        for number, command in enumerate(commands):
            probe.stdin.write(json.dumps(command) + '\n')
            probe.stdin.flush()
            reader.wait(number + 1)
        probe.communicate()

        def transactions():
            return worker.metric('kancel_transactions_total') - before
        support.wait_for('a transaction for each', lambda: transactions() >= len(commands))
        sent = {record.json['id']: record.timestamp
                for record in self.kafka.consume(self.commands, count=len(commands))}
        waits = sorted(record.timestamp - sent[record.json['commandId']]
                       for record in reader.records)
        print(f'  {len(commands)} results one by one: {transactions():.0f} transactions, '
              f'from command to result {waits[len(waits) // 2]} ms (median), {waits[-1]} ms (most)')
        self.assertEqual(0, worker.stop())
        self.assert_exactly_once(commands)

    def test_many_share_transactions(self):
        commands = self.load(3000, 4)
        self.kafka.produce(commands)
        worker = self.start(concurrency=300)
        reader = support.Reader(self, self.results)
        reader.wait(len(commands) // 6)
        began, before = time.monotonic(), worker.metric('kancel_transactions_total')
        at = len(reader.records)
        reader.wait(len(commands) * 5 // 6)
        seconds = time.monotonic() - began
        transactions = worker.metric('kancel_transactions_total') - before
        results = len(reader.records) - at
        print(f'  {results / seconds:.0f} results a second in {transactions / seconds:.1f} '
              'transactions a second')
        reader.wait(len(commands))
        # One may begin at both ends of the time, and the metrics are a quarter of a second old.
        self.assertLessEqual(transactions, 41 * (seconds + 0.5) + 2)
        self.assertEqual(0, worker.stop())
        self.assert_exactly_once(commands)

    def test_at_least_once_never_commits_lower(self):
        """Workers come, go and die; whoever asks sees offsets that only grow."""
        self.take_time()
        commands = self.load(400, 10)
        self.kafka.produce(commands)
        reader = support.Reader(self, self.results)
        seen, reads = collections.defaultdict(int), 0
        workers = [self.start('1', 20, delivery='at_least_once')]

        def look():
            nonlocal reads
            for partition, (offset, _) in self.kafka.committed(self.group, self.commands).items():
                self.assertGreaterEqual(max(offset, 0), seen[partition], f'partition {partition}')
                seen[partition] = max(offset, 0)
            reads += 1
            return len(reader.ids())

        support.wait_for('a quarter', lambda: look() > len(commands) // 4)
        workers.append(self.start('2', 20, delivery='at_least_once'))
        support.wait_for('half', lambda: look() > len(commands) // 2)
        self.assertEqual(0, workers.pop(0).stop())
        workers.append(self.start('3', 20, delivery='at_least_once'))
        support.wait_for('three quarters', lambda: look() > len(commands) * 3 // 4)
        workers.pop(0).kill()
        support.wait_for('all', lambda: look() == len(commands))
        self.assertEqual(0, workers[0].stop())
        look()
        self.assertEqual(len(commands), sum(seen.values()))
        print(f'  {reads} reads of committed offsets, none lower than the last; '
              f'{len(reader.records) - len(commands)} results came twice')

    # ---- topics that refuse ----

    def not_ready(self, worker, why):
        def fails():
            code, text = worker.admin('/readyz')
            return code == 503 and why in text
        support.wait_for(f'readiness to fail because {why}', fails)

    def test_missing_output_topics_pause_the_worker(self):
        self.kafka.probe('delete', self.results, self.dead)
        commands = self.load(10, 2)
        self.kafka.produce(commands)
        worker = self.start()
        self.not_ready(worker, 'the results topic does not exist')
        self.assertEqual({}, self.kafka_taken(), 'nothing is called whose result has no place')
        self.kafka.create(f'{self.results}:2')
        self.not_ready(worker, 'the dead-letter topic does not exist')
        self.assertEqual({}, self.kafka_taken())
        self.kafka.create(f'{self.dead}:1')
        support.Reader(self, self.results).wait(len(commands))
        worker.ready()
        self.assert_exactly_once(commands)
        self.kafka.probe('delete', self.results)
        more = self.load(15, 2)[10:15]
        self.kafka.produce(more)
        self.not_ready(worker, 'the results topic does not exist')
        self.kafka.create(f'{self.results}:2')
        worker.ready()
        support.Reader(self, self.results).wait(len(more))
        self.assertEqual(0, worker.stop())
        self.assert_exactly_once(more)

    def kafka_taken(self):
        return {task['id']: task for task in self.simulator.ledger()['tasks']}

    def test_results_too_large_for_their_topic_wait(self):
        """The results topic refuses in the middle of the work, for a while."""
        self.take_time()
        commands = self.load(300, 10)
        self.kafka.produce(commands)
        worker = self.start(concurrency=20)
        reader = support.Reader(self, self.results)
        reader.wait(len(commands) // 6)
        self.kafka.probe('alter', self.results, 'max.message.bytes=100')
        self.not_ready(worker, "does not fit the results topic's max.message.bytes")
        self.assertLess(len(reader.records), len(commands))
        self.kafka.probe('alter', self.results)
        reader.wait(len(commands))
        worker.ready()
        self.assertEqual(0, worker.stop())
        self.assert_exactly_once(commands)

    def test_a_reply_topic_that_vanishes(self):
        """What asked for it gets its result in the results topic, with the reason."""
        headers = [['kafka_replyTopic', self.replies]]
        first, second = self.load(20, 1, headers=headers), self.load(40, 1, headers=headers)[20:]
        worker = self.start().ready()
        self.kafka.produce(first)
        self.assertEqual(len(first), len(self.kafka.consume(self.replies, count=len(first))))
        self.kafka.probe('delete', self.replies)
        self.kafka.produce(second)
        records = self.kafka.consume(self.results, count=len(second))
        self.assertEqual({json.loads(command['value'])['id'] for command in second},
                         {record.json['commandId'] for record in records})
        for record in records:
            self.assertIn('kancel-reply-rejected', record.headers)
        self.assertEqual(0, worker.stop())
        self.assertEqual({1}, {task['cancels_applied'] for task in self.kafka_taken().values()})

    # ---- commands that are gone ----

    def stuck_at(self, commands, number):
        """A worker has answered all but one command and was stopped."""
        task = json.loads(commands[number]['value'])['task']['taskId']
        self.simulator.fault({'provider': 'enos', 'task': task}, {'hang': True}, times=-1)
        self.kafka.produce(commands)
        worker = self.start('first', worker={'drain': '300ms'})
        support.Reader(self, self.results).wait(len(commands) - 1)
        self.assertEqual(3, worker.stop())
        self.simulator.no_faults()

    def frontier(self):
        return self.kafka.committed(self.group, self.commands)[0][0]

    def test_commands_that_retention_deleted(self):
        """The next owner goes on with what is left, and the frontier does not wait for the dead."""
        commands = self.load(40, 1, partition=0)
        self.stuck_at(commands, 5)
        self.assertEqual(5, self.frontier())
        more = self.load(60, 1, partition=0)[40:]
        self.kafka.produce(more)
        self.kafka.probe('cut', self.commands, 0, 45)
        worker = self.start('second')
        reader = support.Reader(self, self.results)
        reader.wait(39 + 15)
        support.wait_for('the frontier', lambda: self.frontier() >= 60)
        self.assertEqual(0, worker.stop())
        ids = [record.json['commandId'] for record in self.kafka.consume(self.results, quiet_ms=500)]
        self.assertEqual(sorted([f'{n}-0' for n in range(60) if n != 5 and not 40 <= n < 45]),
                         sorted(ids))

    def test_commands_that_compaction_removed(self):
        """A later command of the same key replaced the one that was left unanswered."""
        self.kafka.probe('delete', self.commands)
        self.kafka.create(f'{self.commands}:1:cleanup.policy=compact:segment.ms=100:'
                          'min.cleanable.dirty.ratio=0.001:min.compaction.lag.ms=0:'
                          'max.compaction.lag.ms=100')
        commands = self.load(40, 1, partition=0)
        self.stuck_at(commands, 5)
        self.assertEqual(5, self.frontier())
        self.kafka.produce(self.load(40, 2, partition=0)[40:])

        def compacted():
            # The active segment is never cleaned: something has to be written behind.
            self.kafka.produce([self.command('late', 'status', 'enos', {
                'channelId': 'ch', 'taskId': 't-late'}, key='late', partition=0)])
            return '5-0' not in {record.json['id']
                                 for record in self.kafka.consume(self.commands, quiet_ms=100)}
        support.wait_for('the cleaner', compacted)
        worker = self.start('second')
        reader = support.Reader(self, self.results)
        reader.wait(39 + 40 + 1)
        end = self.kafka.produce([self.command('end', 'status', 'enos', {
            'channelId': 'ch', 'taskId': 't-end'}, key='end', partition=0)])[0]['offset']
        support.wait_for('the frontier', lambda: self.frontier() == end + 1)
        self.assertEqual(0, worker.stop())
        ids = [record.json['commandId'] for record in self.kafka.consume(self.results, quiet_ms=500)]
        wanted = [f'{n}-0' for n in range(40) if n != 5] + [f'{n}-1' for n in range(40)]
        self.assertEqual(sorted(wanted), sorted(id for id in ids if id not in ('late', 'end')))


if __name__ == '__main__':
    support.main()
