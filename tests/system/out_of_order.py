#!/usr/bin/env python3
"""A stuck command holds up nobody but its own key, and what was answered beyond it stays answered
after a crash."""

import support

STUCK = 5  # where the stuck command stands among the others


class OutOfOrder(support.SystemTest):
    # One partition: the stuck command is in everybody's way if it is in anybody's.
    partitions = 1

    def start(self, name, **settings):
        patient = {'limits': {'timeout': '5m'}}
        return support.Worker(self, name, accounts={support.ENOS: patient,
                                                    support.KOODRIVE: patient}, **settings)

    def job(self, id, operation, job, key):
        return self.command(id, operation, 'koodrive', {'jobId': str(job)}, key=key)

    def answered(self):
        return [record.json['commandId']
                for record in self.kafka.consume(self.results, quiet_ms=300)]

    def asked(self):
        """{job: what was asked about it, in order}"""
        return {task['id']: task['history'] for task in self.simulator.ledger()['tasks']}

    def test_a_stuck_status_holds_only_its_key(self):
        others = [self.job(f'other-{i}', 'status', 1000 + i, f'key-{i}') for i in range(300)]
        stuck = [self.job('stuck', 'status', 1, 'stuck'), self.job('behind', 'status', 2, 'stuck')]
        commands = others[:STUCK] + stuck + others[STUCK:]
        self.simulator.fault({'provider': 'koodrive', 'task': '1'}, {'hang': True}, times=-1)
        worker = self.start('killed')
        self.kafka.produce(commands)
        support.Reader(self, self.results).wait(len(others))
        self.assertNotIn('2', self.asked(), 'calls of one key one after another')
        offset, metadata = support.wait_for(
            'the commit', lambda: (self.kafka.committed(self.group, self.commands)[0]
                                   if self.kafka.committed(self.group, self.commands)[0][0]
                                   == STUCK else None))
        self.assertEqual(STUCK, offset, 'the frontier stays before the stuck command')
        self.assertTrue(metadata, 'what was answered beyond it is in the metadata')
        worker.kill()

        before = self.asked()
        self.simulator.no_faults()
        worker = self.start('next')
        support.Reader(self, self.results).wait(len(commands))
        self.assertEqual(0, worker.stop())
        ids = self.answered()
        self.assertEqual(len(commands), len(ids))
        self.assertEqual({f'other-{i}' for i in range(300)} | {'stuck', 'behind'}, set(ids))
        self.assertLess(ids.index('stuck'), ids.index('behind'))
        after = self.asked()
        self.assertEqual({id: 's' for id in before if id != '1'},
                         {id: history for id, history in after.items() if id not in ('1', '2')},
                         'nothing answered was asked again')
        self.assertEqual('s', after['2'])

    def test_a_stuck_cancel_is_not_repeated_after_a_crash(self):
        def cancel(id, task):
            return self.command(id, 'cancel', 'enos', {'channelId': 'ch', 'taskId': task}, key=id)

        for task, apply in (('taken', True), ('lost', False)):
            self.simulator.fault({'provider': 'enos', 'operation': 'cancel', 'task': task},
                                 {'hang': True, 'apply': apply}, times=-1)
        others = [cancel(f'other-{i}', f't-{i}') for i in range(100)]
        worker = self.start('killed')
        self.kafka.produce([cancel('taken', 'taken'), cancel('lost', 'lost')] + others)
        support.Reader(self, self.results).wait(len(others))
        before = self.asked()
        self.assertEqual(('C', 'c'), (before.pop('taken'), before.pop('lost')))
        support.wait_for('the commit',
                         lambda: self.kafka.committed(self.group, self.commands)[0][0] == 0)
        worker.kill()
        self.assert_faults_fired()

        self.simulator.no_faults()
        worker = self.start('next')
        reader = support.Reader(self, self.results)
        reader.wait(len(others) + 2)
        self.assertEqual(0, worker.stop())
        results = {record.json['commandId']: record.json for record in reader.records}
        self.assertEqual(len(others) + 2, len(reader.records))
        after = self.asked()
        self.assertEqual(before, {task: after[task] for task in before}, 'answered: left alone')
        # The status is asked first. One cancel had been taken; the other had not and is sent again.
        self.assertEqual(('Cs', 'csC'), (after['taken'], after['lost']))
        for id in ('taken', 'lost'):
            self.assertEqual('succeeded', results[id]['outcome'], results[id])
            self.assertIn(results[id]['state'], ('cancelling', 'cancelled'))
        self.assert_no_violation()

    def test_results_of_a_key_keep_their_order_where_calls_need_not(self):
        """A settling command frees its key; without ordering nothing waits. The results do."""
        for ordering in ('key', 'none'):
            with self.subTest(ordering):
                self.simulator.request('POST', 'reset')
                self.simulator.tasks({'provider': 'enos', 'id': 'slow', 'cancelling_ms': 1500})
                slow = self.command(f'{ordering}-slow', 'cancel', 'enos',
                                    {'channelId': 'ch', 'taskId': 'slow'}, until='settled')
                quick = [self.job(f'{ordering}-{i}', 'status', i, 'k') for i in range(20)]
                # Answered without any call.
                bad = self.job(f'{ordering}-bad', 'status', 'x', 'k')
                worker = self.start(f'worker-{ordering}', ordering=ordering)
                self.kafka.produce([slow] + quick + [bad])
                support.wait_for('the quick ones',
                                 lambda: self.simulator.summary()['operations']['koodrive']
                                 .get('status') == 20)
                self.assertEqual('cancelling', self.simulator.task('enos', 'slow')['state'],
                                 'called while the first was settling')
                count = len(quick) + 2
                support.Reader(self, self.results).wait(count * (1 if ordering == 'key' else 2))
                ids = [id for id in self.answered() if id.startswith(ordering)]
                self.assertEqual([f'{ordering}-slow'] + [f'{ordering}-{i}' for i in range(20)]
                                 + [f'{ordering}-bad'], ids)
                self.assertEqual(0, worker.stop())

    def test_one_slow_account_leaves_the_others_their_slots(self):
        self.simulator.fault({'provider': 'koodrive'}, {'hang': True}, times=-1)
        slow = [self.job(f'slow-{i}', 'status', i, f'slow-{i}') for i in range(400)]
        quick = [self.command(f'quick-{i}', 'status', 'enos',
                              {'channelId': 'ch', 'taskId': f't-{i}'}, key=f'quick-{i}')
                 for i in range(200)]
        worker = self.start('worker')
        self.kafka.produce(slow + quick)
        support.Reader(self, self.results).wait(len(quick))
        self.assertEqual({'enos'}, {record.json['provider'] for record in
                                    self.kafka.consume(self.results, quiet_ms=100)})
        worker.kill()


if __name__ == '__main__':
    support.main()
