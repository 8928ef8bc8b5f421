#!/usr/bin/env python3
"""The providers' eight operations, each answered rightly on a real Kafka."""


import support
from support import ENOS, IOTDA, KOODRIVE, PROJECT, SCNET


class Operations(support.SystemTest):
    def run_commands(self, commands):
        """Results by command id; every call was as the provider documents it."""
        worker = support.Worker(self)
        self.kafka.produce(commands)
        results = self.answers(len(commands))
        self.assertEqual(0, worker.stop(), 'drained')
        self.assert_no_violation()
        return results

    def assert_result(self, result, **members):
        self.assertEqual(members, {name: result.get(name) for name in members}, result)

    def test_cancel_of_running_tasks_is_taken(self):
        tasks = {
            'enos': {'channelId': 'ch-1', 'taskId': 't-1'},
            'scnet': {'taskIds': ['s-1', 's-2']},
            'iotda': {'taskId': '5c90fa7d3c4e4405e8525079', 'all': True},
            'koodrive': {'jobId': '1001'},
        }
        commands = [self.command(f'c-{provider}', 'cancel', provider, task, key=provider,
                                 context={'order': 7})
                    for provider, task in tasks.items()]
        results = self.run_commands(commands)
        for provider, account in (('enos', ENOS), ('scnet', SCNET), ('iotda', IOTDA),
                                  ('koodrive', KOODRIVE)):
            with self.subTest(provider):
                self.assert_result(results[f'c-{provider}'], operation='cancel', provider=provider,
                                   account=account, task=tasks[provider], outcome='succeeded',
                                   attempts=1, context={'order': 7}, error=None)
        self.assertIn(results['c-enos']['state'], ('cancelling', 'cancelled'))
        self.assertEqual('cancelled', results['c-scnet']['state'])
        self.assertEqual([{'id': 's-1', 'outcome': 'succeeded', 'state': 'cancelled'},
                          {'id': 's-2', 'outcome': 'succeeded', 'state': 'cancelled'}],
                         results['c-scnet']['items'])
        # The answers to these two cancels do not tell the state: the status was asked.
        self.assertIn(results['c-iotda']['state'], ('cancelling', 'cancelled'))
        self.assertEqual('cancelled', results['c-koodrive']['state'])
        for task in self.simulator.ledger()['tasks']:
            self.assertEqual(1, task['cancels_applied'], task)
            self.assertEqual(1, task['cancels_asked'], task)

    def test_status_tells_the_state(self):
        tasks = {
            'enos': {'channelId': 'ch-1', 'taskId': '9990000200'},
            'scnet': {'taskIds': ['s-1', '9990000500', '9990000499']},
            'iotda': {'taskId': '9990000206'},
            'koodrive': {'jobId': '9990000102'},
        }
        results = self.run_commands([self.command(provider, 'status', provider, task)
                                     for provider, task in tasks.items()])
        states = {'enos': 'succeeded', 'scnet': 'running', 'iotda': 'partial',
                  'koodrive': 'waiting'}
        for provider, state in states.items():
            with self.subTest(provider):
                self.assert_result(results[provider], operation='status', outcome='succeeded',
                                   state=state, attempts=1, error=None)
                self.assertIsInstance(results[provider]['response'], dict)
        self.assertEqual(['running', 'failed', 'cancelled'],
                         [item['state'] for item in results['scnet']['items']])
        for task in self.simulator.ledger()['tasks']:
            self.assertEqual(0, task['cancels_asked'], task)

    def test_cancel_of_finished_tasks_is_refused(self):
        tasks = {
            'enos': {'channelId': 'ch-1', 'taskId': '9990000200'},
            'scnet': {'taskIds': ['9990000500']},
            'iotda': {'taskId': '9990000200', 'all': True},
            'koodrive': {'jobId': '9990000200'},
        }
        results = self.run_commands([self.command(provider, 'cancel', provider, task)
                                     for provider, task in tasks.items()])
        for provider in tasks:
            with self.subTest(provider):
                self.assert_result(results[provider], outcome='refused',
                                   state='failed' if provider == 'scnet' else 'succeeded')
                self.assertEqual('not_cancellable', results[provider]['error']['kind'])

    def test_unknown_tasks_are_not_found(self):
        tasks = {
            'enos': {'channelId': 'ch-1', 'taskId': '9990000404'},
            'scnet': {'taskIds': ['9990000404']},
            'iotda': {'taskId': '9990000404'},
            'koodrive': {'jobId': '9990000404'},
        }
        commands = []
        for provider, task in tasks.items():
            commands.append(self.command(f'status-{provider}', 'status', provider, task))
            more = {'all': True} if provider == 'iotda' else {}
            commands.append(self.command(f'cancel-{provider}', 'cancel', provider,
                                         {**task, **more}))
        for result in self.run_commands(commands).values():
            with self.subTest(result['commandId']):
                self.assert_result(result, outcome='refused', state='unknown')
                self.assertEqual('not_found', result['error']['kind'])

    def test_a_list_in_part_is_partial(self):
        task_id = '5c90fa7d3c4e4405e8525079'
        self.simulator.tasks({'provider': 'iotda', 'id': task_id, 'state': 'running',
                              'targets': ['d-1', {'id': 'd-2', 'state': 'succeeded'}]})
        results = self.run_commands([
            self.command('iotda', 'cancel', 'iotda',
                         {'taskId': task_id, 'targets': ['d-1', 'd-2', 'd-3']}),
            self.command('scnet', 'cancel', 'scnet', {'taskIds': ['s-1', '9990000404']}),
        ])
        iotda, scnet = results['iotda'], results['scnet']
        self.assert_result(iotda, outcome='partial', error=None)
        self.assertEqual(['d-1', 'd-2', 'd-3'], [item['id'] for item in iotda['items']])
        self.assertEqual('succeeded', iotda['items'][0]['outcome'])
        self.assertEqual('refused', iotda['items'][1]['outcome'])
        self.assertEqual('refused', iotda['items'][2]['outcome'])
        self.assertEqual('IOTDA.014219', iotda['items'][2]['error']['code'])
        self.assert_result(scnet, outcome='partial', state='unknown', error=None)
        self.assertEqual(['succeeded', 'refused'], [item['outcome'] for item in scnet['items']])

    def test_settled_cancel_waits_for_the_end(self):
        tasks = {
            'enos': {'channelId': 'ch-1', 'taskId': 't-1'},
            'scnet': {'taskIds': ['s-1']},
            'iotda': {'projectId': PROJECT, 'taskId': 'abc', 'all': True},
            'koodrive': {'jobId': '7'},
        }
        results = self.run_commands([self.command(provider, 'cancel', provider, task,
                                                  until='settled')
                                     for provider, task in tasks.items()])
        for provider in tasks:
            with self.subTest(provider):
                self.assert_result(results[provider], outcome='succeeded', state='cancelled')

    def test_results_keep_key_and_correlation(self):
        headers = [('kafka_correlationId', {'hex': '00ff0d0a'}),
                   ('traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01')]
        worker = support.Worker(self)
        place, _ = self.kafka.produce([
            self.command('keyed', 'status', 'koodrive', {'jobId': '1'}, key={'hex': 'fffe'},
                         headers=headers, partition=0),
            self.command('keyless', 'status', 'koodrive', {'jobId': '2'}, key=None, partition=0)])
        records = {record.json['commandId']: record
                   for record in self.kafka.consume(self.results, count=2)}
        self.assertEqual(b'\xff\xfe', records['keyed'].key)
        self.assertIsNone(records['keyless'].key)
        self.assertEqual(b'\x00\xff\r\n', records['keyed'].headers['kafka_correlationId'])
        self.assertEqual(headers[1][1].encode(), records['keyed'].headers['traceparent'])
        self.assertNotIn('kafka_correlationId', records['keyless'].headers)
        self.assertEqual(f"{self.commands}-0-{place['offset']}", records['keyed'].json['id'])
        self.assertEqual(0, worker.stop())


if __name__ == '__main__':
    support.main()
