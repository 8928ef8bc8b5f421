#!/usr/bin/env python3
"""A blocking Kafka call that does not come back ends the worker with exit 1 within the limit, its
log says which call it was, and the next worker answers what is left."""

import support

LIMIT_MS = 8000  # instead of 30 s

# What hangs (tests/system/crash_point.c), and the name that the log has for it.
CALLS = {'init_transactions': 'init_transactions', 'begin_transaction': 'begin_transaction',
         'send_offsets_to_transaction': 'send_offsets_to_transaction',
         'commit_transaction': 'commit_transaction', 'abort_transaction': 'abort_transaction',
         'produceva': 'produce', 'flush': 'flush', 'commit_queue': 'commit',
         'committed': 'committed', 'offsets_for_times': 'offsets_for_times',
         'metadata': 'metadata', 'destroy': 'destroy'}
AT_LEAST_ONCE = ('flush', 'commit_queue')


class Stuck(support.SystemTest):
    def settings(self, call):
        name = f'{self.group}-{call}'
        return {'kafka': {'group': name, 'commands': [f'{name}.commands'],
                          'results': f'{name}.results'},
                'delivery': 'at_least_once' if call in AT_LEAST_ONCE else 'exactly_once'}

    def create(self, call):
        name = f'{self.group}-{call}'
        self.kafka.create(f'{name}.commands:1')
        if call == 'abort_transaction':  # refuses a record without a key
            self.kafka.create(f'{name}.results:1:cleanup.policy=compact')
        elif call != 'destroy':  # made to ask for a missing topic
            self.kafka.create(f'{name}.results:1')
        command = self.command('c', 'status', 'enos', {'channelId': 'ch', 'taskId': 't'}, key=None)
        self.kafka.produce([{**command, 'topic': f'{name}.commands'}])

    def test_every_call_that_may_block(self):
        for call in CALLS:
            self.create(call)
        workers = {call: support.Worker(self, call, {'KANCEL_HANG': call,
                                                     'KANCEL_HANG_LIMIT_MS': str(LIMIT_MS)},
                                        **self.settings(call)) for call in CALLS}
        for call, name in CALLS.items():
            with self.subTest(call):
                self.assertEqual(1, workers[call].wait())
                lines = workers[call].log.read_text().splitlines()
                self.assertIn('reason="a Kafka call did not come back"', lines[-1])
                self.assertIn(f'call={name} ', lines[-1])
        self.kafka.create(f'{self.group}-destroy.results:1')
        self.kafka.probe('alter', f'{self.group}-abort_transaction.results')
        for call in CALLS:
            support.Worker(self, f'{call}-next', **self.settings(call))
        for call in CALLS:
            with self.subTest(call):
                records = self.kafka.consume(f'{self.group}-{call}.results', count=1)
                self.assertEqual(['c'], [record.json['commandId'] for record in records])


if __name__ == '__main__':
    support.main()
