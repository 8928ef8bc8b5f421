#!/usr/bin/env python3
"""Bad records, odd requests and odd answers: each gets what the message document promises, and a
good command behind it on the same partition is still answered."""

import datetime
import hashlib
import json
import time

import support

VALUE_MAX = 64 * 1024
TASK = {'jobId': '1'}
LONG = 'x' * 10000


def text(**members):
    """The value of a good command, with these members instead; None leaves one out."""
    value = {'id': 'bad', 'operation': 'status', 'provider': 'koodrive', 'task': TASK, **members}
    return json.dumps({name: member for name, member in value.items() if member is not None})


def with_task(provider, task, operation='cancel'):
    return text(provider=provider, operation=operation, task=task)


# Nothing that answers could be read: dead-lettered only.
UNREADABLE = {
    'not json': 'cancel everything',
    'empty': '',
    'half an object': '{"id": "bad", "operation": "sta',
    'a list': '[]',
    'a number': '7',
    'null': 'null',
    'trailing bytes': text() + ' {}',
    'a byte order mark': '\ufeff' + text(),
    'not utf-8': text(context='@').encode().replace(b'@', b'\xff\xfe'),
    'a duplicate member': text()[:-1] + ', "task": {"jobId": "2"}}',
    'a nul in a string': text(context='a\0b'),
    'a lone surrogate': text(context='@').replace('@', '\\ud800'),
    'deeper than any command': text(context='@').replace('"@"', '[' * 500 + ']' * 500),
    'a tombstone': None,
    'over the ceiling': text(context='x' * VALUE_MAX),
    'no id': text(id=None),
    'an id that is a number': text(id=7),
    'an empty id': text(id=''),
    'an id of 129 characters': text(id='i' * 129),
}

# Dead-lettered, and answered invalid.
INVALID = {
    'no operation': text(operation=None),
    'operation of another type': text(operation=['status']),
    'unknown operation': text(operation='stop'),
    'no provider': text(provider=None),
    'unknown provider': text(provider='aws'),
    'unknown account': text(account='nobody'),
    'account of another provider': text(account=support.ENOS),
    'account of another type': text(account=7),
    'no task': text(task=None),
    'task of another type': text(task='1'),
    'empty task': text(task={}),
    'unknown until': text(until='done'),
    'expiresAt is no time': text(expiresAt='tomorrow'),
    'expiresAt of another type': text(expiresAt=7),
    'context over its ceiling': text(context='x' * 5000),
    'unknown member of a task': with_task('koodrive', {'jobId': '1', 'force': True}),
    'misspelt targets': with_task('iotda', {'taskId': 'abc', 'target': ['d-1'], 'all': True}),
    'iotda with neither targets nor all': with_task('iotda', {'taskId': 'abc'}),
    'iotda with both': with_task('iotda', {'taskId': 'abc', 'targets': ['d-1'], 'all': True}),
    'iotda with all false': with_task('iotda', {'taskId': 'abc', 'all': False}),
    'iotda with no target': with_task('iotda', {'taskId': 'abc', 'targets': []}),
    'iotda with a target twice': with_task('iotda', {'taskId': 'abc', 'targets': ['d', 'e', 'd']}),
    'iotda with 1001 targets': with_task('iotda', {'taskId': 'abc',
                                                   'targets': [f'd{i}' for i in range(1001)]}),
    'iotda task in capitals': with_task('iotda', {'taskId': 'ABC', 'all': True}),
    'iotda status with targets': with_task('iotda', {'taskId': 'abc', 'targets': ['d']}, 'status'),
    'scnet with 501 ids': with_task('scnet', {'taskIds': [f's{i}' for i in range(501)]}),
    'scnet with no id': with_task('scnet', {'taskIds': []}),
    'scnet with an id twice': with_task('scnet', {'taskIds': ['a', 'b', 'a']}),
    'scnet with a number': with_task('scnet', {'taskIds': [1]}),
    'scnet with no list': with_task('scnet', {'taskIds': 'a'}),
    'scnet with an empty id': with_task('scnet', {'taskIds': ['']}),
    'a job that is a number': with_task('koodrive', {'jobId': 1}),
    'a job with letters': with_task('koodrive', {'jobId': '1a'}),
    'a job of 33 digits': with_task('koodrive', {'jobId': '1' * 33}),
    'enos without channel': with_task('enos', {'taskId': 't'}),
    'enos task null': with_task('enos', {'channelId': 'ch', 'taskId': None}),
}
for name, bad in {'slash': 'a/b', 'dots': '..', 'question mark': 'a?b', 'line end': 'a\r\nb',
                  'percent': 'a%2fb', 'blank': 'a b', 'hash': 'a#b', 'umlaut': 'ä',
                  'ten thousand characters': LONG, 'nothing': ''}.items():
    INVALID[f'enos task with {name}'] = with_task('enos', {'channelId': 'ch', 'taskId': bad})
    INVALID[f'enos channel with {name}'] = with_task('enos', {'channelId': bad, 'taskId': 't'})
    INVALID[f'scnet id with {name}'] = with_task('scnet', {'taskIds': ['good', bad]})
    INVALID[f'iotda task with {name}'] = with_task('iotda', {'taskId': bad, 'all': True})


class Messages(support.SystemTest):
    def setUp(self):
        super().setUp()
        self.kafka.create(f'{self.group}.other:1')

    def start(self, **settings):
        return support.Worker(self, **settings)

    def good(self, id='good'):
        return self.command(id, 'status', 'koodrive', TASK, partition=0)

    def dead_letters(self, count):
        """By the offset of the record that each was."""
        letters = self.kafka.consume(self.dead, quiet_ms=200)
        by_offset = {int.from_bytes(letter.headers['kafka_dlt-original-offset'], 'big'): letter
                     for letter in letters}
        self.assertEqual(count, len(letters), 'dead letters')
        self.assertEqual(count, len(by_offset), 'one dead letter a record')
        return by_offset

    def assert_dead_letter(self, letter, record, place):
        headers = letter.headers
        self.assertEqual(support.octets(record['key']), letter.key)
        self.assertEqual(support.octets(record['value']), letter.value)
        self.assertEqual(self.commands.encode(), headers['kafka_dlt-original-topic'])
        self.assertEqual(b'\0\0\0\0', headers['kafka_dlt-original-partition'])
        self.assertEqual(place['offset'].to_bytes(8, 'big'), headers['kafka_dlt-original-offset'])
        age_ms = time.time() * 1000 - int.from_bytes(headers['kafka_dlt-original-timestamp'],
                                                     'big')
        self.assertLess(abs(age_ms), 600000)
        self.assertGreater(len(headers['kancel-reason']), 5)
        self.assertEqual(headers['kancel-reason'], headers['kafka_dlt-exception-message'])
        original = [(name, support.octets(value)) for name, value in record['headers']]
        self.assertEqual(original, letter.header_list[:len(original)])

    def test_bad_records_are_dead_lettered(self):
        odd = [('trace', {'hex': '00ff'}), ('trace', 'twice'), ('none', None)]
        records, names = [], list(UNREADABLE) + list(INVALID)
        for i, name in enumerate(names):
            value = UNREADABLE.get(name) if name in UNREADABLE else INVALID[name]
            if name in INVALID:
                value = value.replace('"id": "bad"', f'"id": "bad-{i}"')
            records.append(self.raw(value, key=f'key-{i}', headers=odd))
        worker = self.start()
        places = self.kafka.produce(records + [self.good()])
        results = self.answers(len(INVALID) + 1)
        letters = self.dead_letters(len(names))
        for i, name in enumerate(names):
            with self.subTest(name):
                self.assert_dead_letter(letters[places[i]['offset']], records[i], places[i])
                if name in INVALID:
                    result = results[f'bad-{i}']
                    self.assertEqual('invalid', result['outcome'])
                    self.assertEqual('invalid_command', result['error']['kind'])
                    self.assertLessEqual(len(result['error']['message'].encode()), 256)
                    self.assertEqual(0, result['attempts'])
                    self.assertNotIn('state', result)
                    self.assertNotIn('items', result)
        self.assertEqual('succeeded', results['good']['outcome'])
        self.assertEqual(1, self.simulator.summary()['requests'], 'nothing bad was ever called')
        self.assertEqual(0, worker.stop())
        self.assertEqual({0: places[-1]['offset'] + 1},
                         {partition: offset for partition, (offset, _) in
                          self.kafka.committed(self.group, self.commands).items()})

    def test_a_value_too_large_for_the_dead_letters_leaves_its_digest(self):
        value = {'repeat': 'x', 'times': 3000000}
        record = {'topic': self.commands, 'key': 'k', 'value': value, 'partition': 0}
        self.start()
        place, _ = self.kafka.produce([record, self.good()])
        self.assertEqual('succeeded', self.answers(1)['good']['outcome'])
        letter = self.dead_letters(1)[place['offset']]
        self.assertIsNone(letter.value)
        self.assertEqual(hashlib.sha256(b'x' * 3000000).hexdigest().encode(),
                         letter.headers['kancel-value-sha256'])

    def test_expired_commands_are_never_called(self):
        now = datetime.datetime.now(datetime.timezone.utc)
        past = (now - datetime.timedelta(seconds=5)).strftime('%Y-%m-%dT%H:%M:%SZ')
        future = (now + datetime.timedelta(hours=1)).isoformat()
        old = self.command('old', 'status', 'koodrive', TASK, partition=0)
        old['timestamp'] = int((time.time() - 2 * 86400) * 1000)
        self.start()
        self.kafka.produce([
            self.command('cancel', 'cancel', 'koodrive', TASK, partition=0, expiresAt=past),
            self.command('status', 'status', 'koodrive', TASK, partition=0, expiresAt=past),
            old,
            self.command('list', 'cancel', 'scnet', {'taskIds': ['a', 'b']}, partition=0,
                         expiresAt=past),
            self.command('good', 'status', 'koodrive', TASK, partition=0, expiresAt=future)])
        results = self.answers(5)
        for id in ('cancel', 'status', 'old', 'list'):
            with self.subTest(id):
                self.assertEqual('expired', results[id]['outcome'])
                self.assertEqual('expired', results[id]['error']['kind'])
                self.assertEqual('unknown', results[id]['state'])
                self.assertEqual(0, results[id]['attempts'])
        self.assertEqual('no', results['cancel']['applied'])
        self.assertEqual('no', results['list']['applied'])
        self.assertNotIn('applied', results['status'])
        self.assertEqual(['a', 'b'], [item['id'] for item in results['list']['items']])
        self.assertEqual('succeeded', results['good']['outcome'])
        self.assertEqual(1, self.simulator.summary()['requests'])
        self.dead_letters(0)

    def test_replies_go_where_they_may(self):
        missing = f'{self.group}.missing'

        def asking(id, topic, partition=None):
            headers = [('kafka_replyTopic', topic), ('kafka_correlationId', {'hex': '00' + id})]
            if partition is not None:
                headers.append(('kafka_replyPartition', {'hex': partition}))
            return self.command(id, 'status', 'koodrive', TASK, partition=0, headers=headers)

        self.start(kafka={'reply_topics': [self.replies, '^.*\\.missing$']})
        self.kafka.produce([
            asking('01', self.replies, '00000001'),
            asking('02', f'{self.group}.other'),
            asking('03', missing),
            asking('04', self.replies, '00000007'),
            asking('05', self.replies, '0001'),
            asking('06', 'no topic / at all'),
            asking('07', self.commands),
            self.good()])
        reply, = self.kafka.consume(self.replies, count=1)
        self.assertEqual(('01', 1), (reply.json['commandId'], reply.partition))
        self.assertEqual(b'\x00\x01', reply.headers['kafka_correlationId'])
        self.assertNotIn('kancel-reply-rejected', reply.headers)
        records = {record.json['commandId']: record
                   for record in self.kafka.consume(self.results, count=7)}
        for id in ('02', '03', '04', '05', '06', '07'):
            with self.subTest(id):
                self.assertEqual('succeeded', records[id].json['outcome'])
                self.assertGreater(len(records[id].headers['kancel-reply-rejected']), 3)
                self.assertEqual(bytes.fromhex('00' + id),
                                 records[id].headers['kafka_correlationId'])
        self.assertNotIn('kancel-reply-rejected', records['good'].headers)
        self.assertEqual(1, len(self.kafka.consume(self.replies, quiet_ms=200)))
        self.assertEqual(0, len(self.kafka.consume(f'{self.group}.other', quiet_ms=200)))

    def test_odd_answers_to_a_status_fail_it(self):
        html = '<html><body>Welcome to the captive portal</body></html>'
        odd = {
            'html': ({'status': 200, 'body': html}, 'bad_response'),
            'half a json': ({'cut_json': True}, 'bad_response'),
            '50 MB': ({'huge_body': 50000000}, 'bad_response'),
            '204': ({'status': 204}, 'bad_response'),
            '302': ({'status': 302, 'headers': {'Location': f'{self.simulator.endpoint}/x'}},
                    'bad_response'),
            'a list': ({'status': 200, 'body': []}, 'bad_response'),
            'no members': ({'status': 200, 'body': {}}, 'bad_response'),
            'connection cut': ({'cut_short': True}, None),
        }
        tasks = {
            'enos': lambda i: {'channelId': 'ch', 'taskId': f't{i}'},
            'scnet': lambda i: {'taskIds': [f's{i}']},
            'iotda': lambda i: {'taskId': f'{i:x}'},
            'koodrive': lambda i: {'jobId': str(i)},
        }
        commands, wanted, number = [], {}, 4096
        for name, (action, kind) in odd.items():
            for provider, task in tasks.items():
                number += 1
                asked = task(number)
                task_id = next(iter(asked['taskIds'] if 'taskIds' in asked
                                    else [asked.get('taskId') or asked.get('jobId')]))
                self.simulator.fault({'provider': provider, 'task': task_id}, action, times=-1)
                id = f'{provider}: {name}'
                wanted[id] = kind
                commands.append(self.command(id, 'status', provider, asked, key=id, partition=0))
        # Not to be shared with others: a list call has only one answer.
        worker = self.start(accounts={support.SCNET: {'limits': {'batch': 1}}})
        self.kafka.produce(commands)
        self.kafka.produce([self.good()])
        results = self.answers(len(commands) + 1)
        self.assertEqual('succeeded', results['good']['outcome'])
        for id, kind in wanted.items():
            with self.subTest(id):
                error = results[id].get('error')
                self.assertEqual(('failed', 'unknown'),
                                 (results[id]['outcome'], results[id]['state']), results[id])
                self.assertEqual(kind or error['kind'], error['kind'])
        self.assert_faults_fired()
        self.assertLess(worker.metric('process_resident_memory_bytes'), 300e6)
        self.assertEqual(0, worker.stop())

    def test_an_error_code_in_a_200_counts(self):
        codes = {
            'enos': ({'channelId': 'ch', 'taskId': 't'}, {'code': 81404, 'msg': 'no channel'}),
            'scnet': ({'taskIds': ['s']}, {'code': '911020', 'msg': 'no task'}),
        }
        self.start()
        for provider, (task, body) in codes.items():
            with self.subTest(provider):
                self.simulator.fault({'provider': provider, 'operation': 'status'},
                                     {'status': 200, 'body': body}, times=-1)
                self.kafka.produce([self.command(provider, 'status', provider, task)])
        for result in self.answers(2).values():
            self.assertEqual('refused', result['outcome'], result)
            self.assertEqual('not_found', result['error']['kind'])
            self.assertEqual(str(codes[result['provider']][1]['code']), result['error']['code'])
            self.assertEqual(200, result['error']['httpStatus'])

    def test_a_cancel_with_an_odd_answer_is_looked_at_before_it_is_repeated(self):
        odd = {
            'html': {'status': 200, 'body': '<html></html>'},
            'half': {'cut_json': True},
            '500': {'http_500_after_applying': True},
            'reset': {'reset_after': True},
            'lost': {'reset_before': True},
            '204': {'status': 204},
        }
        commands, number = [], 100
        for name, action in odd.items():
            for provider in ('enos', 'iotda'):
                number += 1
                task = ({'channelId': 'ch', 'taskId': str(number)} if provider == 'enos'
                        else {'taskId': str(number), 'all': True})
                self.simulator.fault({'provider': provider, 'operation': 'cancel',
                                      'task': str(number)}, action, times=1)
                commands.append(self.command(f'{name}/{provider}/{number}', 'cancel', provider,
                                             task, key=str(number)))
        self.start()
        self.kafka.produce(commands)
        results = self.answers(len(commands))
        tasks = {task['id']: task for task in self.simulator.ledger()['tasks']}
        for id, result in results.items():
            with self.subTest(id):
                self.assertEqual('succeeded', result['outcome'], result)
                task = tasks[id.split('/')[2]]
                self.assertEqual(1, task['cancels_applied'], task)
                history = task['history'].upper()
                self.assertNotIn('CC', history, 'no cancel straight after another')
        self.assert_faults_fired()
        self.assert_no_violation()


if __name__ == '__main__':
    support.main()
