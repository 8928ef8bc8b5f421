#!/usr/bin/env python3
"""Workers and brokers of a three-node Kafka are killed, frozen, taken away and brought back under
load, and the books must balance.

Without arguments the short form of CI: every fault once or twice, in about three minutes. With
KANCEL_CHAOS_MINUTES=10 faults of every kind at random for so long and until 100,000 commands were
asked; KANCEL_CHAOS_SEED says which, KANCEL_CHAOS_RATE how many commands a second; KANCEL_CHAOS_ONLY is a
regular expression of the faults' names.

kancel-ledger asks and reads the results, read_committed; the simulator says what was applied. At
the end every command of a committed transaction has exactly one result and was applied exactly
once, those of aborted transactions have none and never reached the provider, each key's results
came in order, and no cancel was sent to a task that was known to be cancelled.
"""

import collections
import json
import os
import random
import re
import subprocess
import threading
import time

import kafka
import support

MINUTES = float(os.environ.get('KANCEL_CHAOS_MINUTES', '0'))
SEED = int(os.environ.get('KANCEL_CHAOS_SEED', random.randrange(1 << 32)))
ONLY = os.environ.get('KANCEL_CHAOS_ONLY', '')
RATE = int(os.environ.get('KANCEL_CHAOS_RATE', '200'))
KEYS = 500
CONCURRENCY = 30
LONG_FORM = 100000
FROZEN_S = 9  # longer than the session and the transaction time-out below

# Points at which a worker is killed by its own hand, and at which passage.
POINTS = {'taken': 300, 'calling': 200, 'called': 200, 'produced': 5, 'offsets_sent': 5,
          'committed': 5, 'reading_positions': 1, 'assigning': 1}


class Ledger:
    """kancel-ledger; `now` is its latest line."""

    def __init__(self, test):
        self.book = test.folder / 'book'
        self.now = {'asked': 0, 'answered': 0}
        self.log = open(test.folder / 'ledger.log', 'ab')
        self.process = subprocess.Popen(
            [support.LEDGER, test.kafka.address, test.commands, test.results, test.replies,
             self.book, str(RATE), str(KEYS)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        test.addCleanup(self.end)

    def run(self):
        for line in self.process.stdout:
            self.now = json.loads(line)

    def wait(self, more):
        """Until so many more were answered."""
        at = self.now['answered'] + more
        support.wait_for(f'answer {at}', lambda: self.now['answered'] >= at,
                         3 * support.PATIENCE_S)

    def finish(self):
        """The totals and the book: the run's name, and a letter a command (see ledger.c)."""
        self.process.stdin.close()
        self.thread.join()
        self.process.wait()
        name, letters = self.book.read_text().split('\n')
        return self.now, name, letters

    def end(self):
        self.process.kill()
        self.process.wait()
        self.thread.join()
        self.process.stdout.close()
        self.process.stdin.close()
        self.log.close()


class Chaos(support.SystemTest):
    partitions = 12
    simulator_options = ('--delay-ms', '20-60')

    def open_kafka(self):
        folder = support.RUN / 'cluster-of-its-own'
        folder.mkdir(parents=True, exist_ok=True)
        self.cluster = kafka.Cluster(folder)
        self.addCleanup(self.cluster.down)
        self.cluster.up()
        return support.Kafka(self.cluster)

    def start(self, slot, environment=None, name=None):
        """Slots alternate between static and dynamic members."""
        self.starts += 1
        instance = f'slot-{slot}' if slot is not None and slot % 2 == 0 else ''
        return support.Worker(
            self, f'{self.starts:03}-{name or slot}', environment,
            kafka={'properties': {'session.timeout.ms': '6000', 'transaction.timeout.ms': '8000'}},
            worker={'instance_id': instance, 'drain': '10s'}, log={'level': 'info'},
            accounts={support.ENOS: {
                'limits': {'concurrency': CONCURRENCY, 'timeout': '5s'},
                'retry': {'attempts': 20, 'backoff': '50ms..2s', 'give_up_after': '10m'}}})

    def say(self, text):
        asked, answered = self.ledger.now['asked'], self.ledger.now['answered']
        print(f'  {time.monotonic() - self.began:5.0f} s, {answered} of {asked} answered: {text}',
              flush=True)

    def replace_those_that_left(self):
        """As their supervisor would: a Kafka call that does not come back ends a worker."""
        for slot, worker in enumerate(self.workers):
            if worker.process.poll() is None:
                continue
            self.assertEqual(1, worker.process.returncode, worker.log)
            self.assertRegex(worker.log.read_text(), 'a Kafka call did not come back|kafka_failed',
                             worker.log)
            self.left += 1
            self.workers[slot] = self.start(slot)

    def stop(self, worker):
        """It drains. Or a Kafka call hangs, and it leaves when its time or the call's is over; or the
        group waits for a member that was killed, and it leaves without a good-bye."""
        code = worker.stop()
        if code != 0:
            self.assertIn(code, (1, 3), worker.log)
            why = 'a Kafka call (is still out|did not come back)'
            self.assertTrue(re.search(why, worker.log.read_text()), worker.log)
            self.left += 1

    # ---- faults ----

    def kill_at(self, *points):
        """More workers join, and each dies at its point."""
        workers = [self.start(None, {'KANCEL_CRASH': f'{point}:{POINTS[point]}'}, point)
                   for point in points]
        self.assertEqual([-9] * len(points),
                         [worker.wait(3 * support.PATIENCE_S) for worker in workers])
        self.kills += len(points)

    def kill_at_revoking(self):
        """It dies when it is asked to give partitions away, which may take some who join."""
        worker = self.start(None, {'KANCEL_CRASH': 'unassigning:1'}, 'unassigning').ready()
        others = []
        while worker.process.poll() is None:
            self.assertLess(len(others), 8, 'nothing was taken from it')
            others.append(self.start(None, name='joins').ready())
        self.assertEqual(-9, worker.wait())
        self.kills += 1
        for other in others:
            self.stop(other)

    def kill_at_leaving(self):
        worker = self.start(None, {'KANCEL_CRASH': 'leaving:1'}, 'leaving').ready()
        self.ledger.wait(RATE)
        worker.terminate()
        self.assertEqual(-9, worker.wait())
        self.kills += 1

    def kill_any(self):
        slot = self.chance.randrange(len(self.workers))
        self.workers[slot].kill()
        self.kills += 1
        self.workers[slot] = self.start(slot)

    def freeze_any(self):
        """The zombie: it comes back when others own its partitions, its transaction is aborted."""
        worker = self.chance.choice(self.workers)
        worker.freeze()
        time.sleep(FROZEN_S)
        worker.thaw()
        self.zombies += 1

    def leave_and_join(self):
        slot = self.chance.randrange(len(self.workers))
        self.stop(self.workers[slot])
        self.workers[slot] = self.start(slot)

    def kill_broker(self, node):
        self.cluster.kill(node)
        self.ledger.wait(RATE)
        self.cluster.launch(node)
        support.wait_for('all replicas in sync', self.cluster.in_sync, 3 * support.PATIENCE_S)

    def lose_replies(self):
        """The reply topic is deleted; after a while it is there again."""
        self.kafka.probe('delete', self.replies)
        self.ledger.wait(2 * RATE)
        self.kafka.create(f'{self.replies}:2')

    def faults(self):
        """Names and functions, in the order of the short form."""
        points = list(POINTS)
        one = [(f'killed at {" and ".join(pair)}', lambda pair=pair: self.kill_at(*pair))
               for pair in zip(points[::2], points[1::2])]
        brokers = [(f'broker {node} killed', lambda node=node: self.kill_broker(node))
                   for node in self.cluster.nodes]
        return [one[0], brokers[0], one[1], ('a worker killed', self.kill_any), brokers[1], one[2],
                ('frozen', self.freeze_any), ('left and joined', self.leave_and_join), brokers[2],
                one[3], ('killed at revoking', self.kill_at_revoking),
                ('killed at leaving', self.kill_at_leaving), ('reply topic lost', self.lose_replies)]

    def schedule(self):
        faults = [fault for fault in self.faults() if re.search(ONLY, fault[0])]
        yield from faults
        while (time.monotonic() - self.began < MINUTES * 60 or
               (MINUTES and self.ledger.now['asked'] < LONG_FORM)):
            yield self.chance.choice(faults[:-1])

    # ---- the books ----

    def check(self, totals, name, letters):
        counts = collections.Counter(letters)
        tasks = {int(task['id'].removeprefix(f'{name}-')): task
                 for task in self.simulator.ledger()['tasks']}
        asked = [n for n, letter in enumerate(letters) if letter in 'cdmv']
        unasked = [n for n, letter in enumerate(letters) if letter in 'aA' and n in tasks]
        repeated = sum(max(0, task['cancels_asked'] - 1) for task in tasks.values())
        # C had effect, c had none: nothing is cancelled that was cancelled before.
        needless = [n for n, task in tasks.items() if re.search('C.*c', task['history'])]
        looks = sum(task['statuses_asked'] for task in tasks.values())
        print(f'  asked {totals["asked"]}, aborted {totals["aborted"]}, of unknown fate '
              f'{totals["unknown"]}; answered {totals["answered"]}, missing {counts["m"]}, doubled '
              f'{counts["d"]}, out of order {totals["disordered"]}, gone with the reply topic '
              f'{counts["v"]}')
        print(f'  workers killed {self.kills}, frozen {self.zombies}, left because Kafka did not answer '
              f'{self.left}; calls repeated {repeated} '
              f'({100 * repeated / max(1, len(asked)):.3f} %), of those needless {len(needless)}; '
              f'statuses asked {looks}; longest time without a result '
              f'{totals["longest_ms"] / 1000:.1f} s', flush=True)
        for number in needless[:5]:
            print(f'  needless: {tasks[number]}')
        self.assertEqual([], [n for n, letter in enumerate(letters) if letter == 'm'][:5])
        self.assertEqual([], [n for n, letter in enumerate(letters) if letter == 'd'][:5])
        self.assertEqual([], [n for n, letter in enumerate(letters) if letter == 'A'][:5])
        self.assertEqual([], unasked[:5], 'calls for commands of aborted transactions')
        self.assertEqual(0, totals['disordered'])
        self.assertEqual(0, totals['not_succeeded'], 'see ledger.log')
        self.assertEqual(0, totals['foreign'])
        self.assertEqual([], [n for n in asked if n not in tasks or
                              tasks[n]['cancels_applied'] != 1][:5], 'not applied once')
        self.assertLessEqual(len(needless), CONCURRENCY * self.zombies, 'needless cancels')
        self.assert_no_violation_of_copies()

    def test_the_books_balance(self):
        self.chance = random.Random(SEED)
        self.starts = self.kills = self.zombies = self.left = 0
        self.began = time.monotonic()
        print(f'\n  KANCEL_CHAOS_SEED={SEED}', flush=True)
        for action in ({'reset_after': True}, {'http_500_after_applying': True},
                       {'reset_before': True}):
            self.simulator.fault({'provider': 'enos'}, action, times=-1, chance=0.002)
        self.workers = [self.start(slot) for slot in range(3)]
        self.ledger = Ledger(self)
        self.ledger.wait(RATE)
        for what, fault in self.schedule():
            self.say(what)
            fault()
            self.replace_those_that_left()
            self.ledger.wait(RATE // 2)
        self.say('no more faults')
        totals, name, letters = self.ledger.finish()
        self.say('finished')
        self.replace_those_that_left()
        for worker in self.workers:
            self.stop(worker)
        self.check(totals, name, letters)


if __name__ == '__main__':
    support.main()
