#!/usr/bin/env python3
"""What an account's limits do to it and to its neighbours. In ctest in a short form; in full, with
figures, by tests/bench/run.sh limits (KANCEL_FULL=1). kancel-load sends commands and reads every
one's result: one that is missing or comes twice fails the test."""

import json
import os
import statistics
import subprocess
import sys
import time

import support
from support import ENOS, KOODRIVE, SCNET, Worker

LOAD = os.environ['KANCEL_LOAD']
FULL = os.environ.get('KANCEL_FULL') == '1'
USUAL = {'attempts': 6, 'backoff': '200ms..30s', 'give_up_after': '5m'}


def say(text):
    print(text, file=sys.stderr, flush=True)


class Limits(support.SystemTest):
    partitions = 8

    def load(self, provider, count, rate=0, other=None, every=0, pid=0):
        """Starts a load."""
        command = [LOAD, self.kafka.address, self.commands, self.results, provider, count, rate,
                   pid, *([other, every] if every else [])]
        return subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)

    def done(self, load):
        """Its figures, once all is answered."""
        out, _ = load.communicate()
        self.assertEqual(0, load.returncode, 'every command has one result')
        return json.loads(out)

    def loaded(self, *args, **more):
        return self.done(self.load(*args, **more))


class Neighbours(Limits):
    """enos answers in 10 ms, koodrive beside it, on the same partitions, much later."""

    simulator_options = ('--delay-ms', '10')
    slow_ms = 30000 if FULL else 1000
    count = 30000 if FULL else 3000
    # What the slow one has of it in the end is waited for, at its pace.
    window = 200 if FULL else 100

    def start(self, overflow, slow_calls=100):
        self.simulator.fault({'provider': 'koodrive'}, {'delay_ms': self.slow_ms}, times=-1)
        slow = {'limits': {'concurrency': slow_calls, 'timeout': '60s'}, 'confirm': False,
                'overflow': overflow, 'retry': USUAL}
        fast = {'limits': {'concurrency': 20}}
        worker = Worker(self, log={'level': 'warn'}, worker={'window': self.window},
                        accounts={ENOS: fast, KOODRIVE: slow}).ready()
        self.loaded('enos', 500)  # connections, topics' leaders: not what is measured
        return worker

    def compared(self, what, every):
        """Throughput of the fast account beside the slow one, as part of what it is alone."""
        alone, beside, last = [], [], None
        for _ in range(3 if FULL else 1):
            alone.append(self.loaded('enos', self.count)['per_s'])
            last = self.loaded('enos', self.count, other='koodrive', every=every)
            beside.append(last['per_s'])
            self.assertEqual(0, last['bad'], 'every command of the fast account succeeds')
        part = statistics.median(beside) / statistics.median(alone)
        say(f'{what}: {statistics.median(beside):.0f}/s beside {last["other"]} slow commands '
            f'({last["other_bad"]} of them failed), {statistics.median(alone):.0f}/s alone: '
            f'{100 * part:.0f} %')
        # A second of work says nothing of pace: that is judged in full only (bench/run.sh limits).
        if FULL:
            self.assertGreater(part, 0.9)
        return last

    def test_slow_account_with_a_thousandth_of_the_commands(self):
        self.start('wait')
        last = self.compared('one in a thousand is slow', 1000)
        self.assertEqual(0, last['other_bad'])
        self.assert_no_violation()

    def test_slow_account_with_half_of_the_commands_fails_them(self):
        worker = self.start('fail', slow_calls=400 if FULL else 100)
        last = self.compared('half are slow, overflow: fail', 2)
        self.assertGreater(last['other_bad'], 0)
        self.assertLess(last['other_bad'], last['other'])
        self.assertGreater(worker.metric('kancel_overflowed_total'), 0)
        self.assert_no_violation()

    def test_slow_account_with_half_of_the_commands_loses_nothing_by_waiting(self):
        worker = self.start('wait', slow_calls=400)
        count = 2400 if FULL else 1500
        last = self.loaded('enos', count, other='koodrive', every=2)
        self.assertEqual((0, 0, count), (last['bad'], last['other_bad'], last['other']))
        self.assertEqual(0, worker.metric('kancel_overflowed_total'))
        say(f'half are slow, overflow: wait: all {2 * count} succeeded, in {last["other_s"]:.0f} s')
        self.assert_no_violation()


class Outage(Limits):
    """The provider is down for two minutes (in ctest: seconds) under a steady load."""

    outage_s = 120 if FULL else 12
    rate = 100

    def outage(self, down, up):
        worker = Worker(self, log={'level': 'info'}, accounts={ENOS: {'retry': USUAL}}).ready()
        load = self.load('enos', self.rate * (self.outage_s + 10), self.rate)
        support.wait_for('the load', lambda: worker.metric('kancel_results_total') > self.rate)
        down()
        support.wait_for('the breaker', lambda: worker.metric('kancel_breaker_state') > 0)
        began, asked = time.monotonic(), worker.metric('kancel_calls_total')
        answered = worker.metric('kancel_results_total')
        # What the test is about is this time going by.
        while time.monotonic() - began < self.outage_s:
            self.assertIsNone(load.poll(), 'the load waits for its results')
            time.sleep(0.1)
        seconds = time.monotonic() - began
        calls = worker.metric('kancel_calls_total') - asked
        # Answers that were under way when the breaker opened: the worker's own, in one transaction.
        self.assertLess(worker.metric('kancel_results_total') - answered, self.rate)
        up()
        back = time.monotonic()
        before = worker.metric('kancel_results_total')
        support.wait_for('results', lambda: worker.metric('kancel_results_total') > before + 10)
        first = time.monotonic() - back
        support.wait_for('what was held',
                         lambda: worker.metric('kancel_commands_in_flight') < self.rate, 240)
        caught_up = time.monotonic() - back
        figures = self.done(load)
        self.assertEqual(0, figures['bad'], 'no command failed for the outage')
        say(f'down for {seconds:.0f} s at {self.rate} commands/s: {calls:.0f} calls meanwhile '
            f'({calls / seconds:.2f}/s), first results {first:.1f} s after it was back, all that '
            f'was held after {caught_up:.1f} s, {figures["bad"]} failed')
        # One probe a second at first, then every five, of cancels and of statuses.
        self.assertLess(calls / seconds, 2 if FULL else 5)
        self.assertLess(first, 10 if FULL else 30)
        return worker

    def test_provider_that_answers_nothing_but_503(self):
        self.outage(lambda: self.simulator.fault({}, {'status': 503, 'body': 'down'}, times=-1),
                    self.simulator.no_faults)
        self.assert_no_violation()

    def test_provider_that_is_not_there(self):
        simulator, options = self.simulator, ('--listen', f'127.0.0.1:{self.simulator.port}')

        def up():
            self.simulator = support.Simulator(self.folder, *options)
            self.addCleanup(self.simulator.end)

        self.outage(simulator.kill, up)


class Group(Limits):
    """Workers that share a rate before a provider that allows 50 calls a second."""

    count = 10000 if FULL else 3000

    def share(self, workers):
        self.simulator.request('POST', 'reset')
        self.simulator.fault({'provider': 'scnet'}, {'throttle': True}, times=-1, above_per_s=50)
        limits = {'rate': '50/s', 'share': 'group'}
        # The tasks are many: lists of ten, so that the rate is what bounds it.
        if workers > 1:
            limits['batch'] = 10
        started = [Worker(self, f'worker-{workers}-{i}', log={'level': 'info'},
                          accounts={SCNET: {'limits': limits, 'retry': USUAL}})
                   for i in range(workers)]
        for worker in started:
            worker.ready()
        support.wait_for('the shares', lambda: all(
            worker.metric('kancel_rate_limit') == 50 / workers for worker in started))
        figures = self.loaded('scnet', self.count)
        summary = self.simulator.summary()
        calls = summary['operations']['scnet']['cancel'] + summary['operations']['scnet']['status']
        throttled = sum(fault['fired'] for fault in summary['faults'])
        say(f'{workers} workers, {self.count} cancels: {calls} calls, {throttled} throttled '
            f'({100 * throttled / calls:.2f} %), {figures["other_s"]:.1f} s, '
            f'{figures["bad"]} not succeeded')
        self.assertEqual(0, figures['bad'])
        self.assertLess(throttled, max(calls / 100, 1))
        if workers == 1:
            self.assertLess(calls, self.count / 50)
        for worker in started:
            self.assertEqual(0, worker.stop())

    def test_one_two_and_four_workers(self):
        for workers in (1, 2, 4):
            self.share(workers)
        self.assert_no_violation()


class Switches(Limits):
    def test_held_account_waits_and_dry_run_says_so(self):
        worker = Worker(self, accounts={ENOS: {'hold': True}, SCNET: {'dry_run': True}}).ready()
        self.kafka.produce([
            self.command('held', 'cancel', 'enos', {'channelId': 'c', 'taskId': 't'}, key='a'),
            self.command('dry', 'cancel', 'scnet', {'taskIds': ['t-1', 't-2']}, key='b')])
        result = self.answers(1)['dry']
        self.assertEqual(('refused', True, 0, 'not_permitted'),
                         (result['outcome'], result['dryRun'], result['attempts'],
                          result['error']['kind']))
        self.assertEqual(1, worker.metric('kancel_account_held'))
        self.assertEqual(0, self.simulator.summary()['requests'])
        self.assertEqual(0, worker.stop())
        Worker(self, 'after').ready()
        self.assertEqual('succeeded', self.answers(2)['held']['outcome'])


if __name__ == '__main__':
    support.main()
