#!/usr/bin/env python3
"""What requesters in Java have, as it is published: CloudEvents' SDK and Spring's request and reply
speak with the worker. The Java programs (interop/src) only send and read; here is what must be."""

import collections
import datetime
import hashlib
import itertools
import json
import pathlib
import subprocess
import time

import kafka
import support

PROJECT = pathlib.Path(__file__).resolve().parent / 'interop'
TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
TASK = {'jobId': '1'}


def run(what, command, **options):
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=3 * support.PATIENCE_S, **options)
    if done.returncode != 0:
        raise AssertionError(f'{what}: {done.stderr[-4000:]}')
    return done.stdout


def octets(headers, name):
    return bytes.fromhex(headers[name])


class Interop(support.SystemTest):
    partitions = 3
    simulator_options = ('--cancelling-ms', 2000)

    @classmethod
    def setUpClass(cls):
        pom = PROJECT / 'pom.xml'
        digest = hashlib.sha256(pom.read_bytes()).hexdigest()[:12]
        classes = support.RUN / 'interop' / 'classes'
        jars = kafka.fetched(f'interop-{digest}', pom)
        run('javac', ['javac', '-Xlint:all', '-Werror', '--release', '17', '-encoding', 'UTF-8',
                      '-cp', f'{jars}/*', '-d', classes,
                      *sorted((PROJECT / 'src').glob('*.java'))])
        cls.path = f'{classes}:{jars}/*'

    def java(self, program, *args, lines=()):
        """What the program printed, a JSON object a line."""
        output = run(program, [
            'java', '-Xmx128m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC',
            f'-Dpatience={support.PATIENCE_S:.0f}', '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
            '-cp', self.path, program, self.kafka.address, *map(str, args)
        ], input=''.join(json.dumps(line) + '\n' for line in lines))
        return [json.loads(line) for line in output.splitlines()]

    # CloudEvents

    def event(self, encoding, id, data, **attributes):
        return {'encoding': encoding, 'data': data,
                'attributes': {'id': id, 'source': '/shop/orders', 'type': 'shop.task.asked',
                               'datacontenttype': 'application/json', **attributes}}

    def events(self, lines):
        """What the SDK read of each command, by the causing event's id: results, progress."""
        results, progress = {}, collections.defaultdict(list)
        for event in self.java('Events', self.commands, self.results, lines=lines):
            cause = event['attributes']['causationid']
            if event['attributes']['type'] == 'kancel.result.v1':
                self.assertNotIn(cause, results)
                results[cause] = event
            else:
                progress[cause].append(event)
        self.assertEqual({line['attributes']['id'] for line in lines}, set(results))
        return results, progress

    def assert_mode(self, event, encoding):
        headers = event['headers']
        if encoding == 'STRUCTURED':
            self.assertEqual(b'application/cloudevents+json', octets(headers, 'content-type'))
            self.assertEqual([], [name for name in headers if name.startswith('ce_')])
        else:
            self.assertEqual(b'application/json', octets(headers, 'content-type'))
            self.assertEqual(b'1.0', octets(headers, 'ce_specversion'))

    def both(self, make):
        """An event in both encodings; `make` gets the encoding."""
        return [make(encoding) for encoding in ('BINARY', 'STRUCTURED')]

    def test_the_sdk_reads_the_result_of_its_command(self):
        support.Worker(self)
        now = datetime.datetime.now(datetime.timezone.utc).isoformat()
        results, _ = self.events(self.both(lambda encoding: self.event(
            encoding, f'e-{encoding}', {'id': f'c-{encoding}', 'operation': 'status',
                                        'provider': 'koodrive', 'task': TASK,
                                        'context': {'order': '7 ä'}},
            time=now, subject='order 7', partitionkey=f'k-{encoding}', traceparent=TRACE,
            tracestate='a=b', correlationid=f'talk-{encoding}')))
        for encoding in ('BINARY', 'STRUCTURED'):
            with self.subTest(encoding):
                event = results[f'e-{encoding}']
                self.assert_mode(event, encoding)
                data, finished = event['data'], event['attributes'].pop('time')
                self.assertEqual(
                    {'specversion': '1.0', 'type': 'kancel.result.v1', 'id': data['id'],
                     'source': f'/kancel/{self.group}', 'subject': f'c-{encoding}',
                     'datacontenttype': 'application/json', 'causationid': f'e-{encoding}',
                     'correlationid': f'talk-{encoding}', 'traceparent': TRACE,
                     'tracestate': 'a=b'}, event['attributes'])
                self.assertEqual(datetime.datetime.fromisoformat(data['finishedAt']),
                                 datetime.datetime.fromisoformat(finished))
                self.assertEqual(TRACE, event['traceparent'], "by the SDK's own extension")
                self.assertEqual(TRACE.encode(), octets(event['headers'], 'traceparent'))
                self.assertEqual(f'k-{encoding}'.encode().hex(), event['key'])
                self.assertRegex(data['id'], f'^{self.commands}-[0-2]-[0-9]+$')
                self.assertEqual(('succeeded', f'c-{encoding}', {'order': '7 ä'}),
                                 (data['outcome'], data['commandId'], data['context']))

    def test_what_an_event_leaves_out_or_adds_is_understood(self):
        support.Worker(self)
        data = {'operation': 'status', 'provider': 'koodrive', 'task': TASK}
        cases = {
            'bare': lambda encoding: self.event(encoding, f'bare-{encoding}', data),
            'late': lambda encoding: self.event(encoding, f'late-{encoding}', data,
                                                expirytime='2020-01-01T00:00:00Z'),
            'wrong': lambda encoding: self.event(encoding, f'wrong-{encoding}',
                                                 {**data, 'operation': 'stop'}),
        }
        lines = [line for make in cases.values() for line in self.both(make)]
        for encoding in ('BINARY', 'STRUCTURED'):  # the SDK does not ask for a content type
            line = self.event(encoding, f'plain-{encoding}', data)
            del line['attributes']['datacontenttype']
            lines.append(line)
        results, _ = self.events(lines)
        wanted = {'bare': 'succeeded', 'late': 'expired', 'wrong': 'invalid', 'plain': 'succeeded'}
        for name, encoding in itertools.product(wanted, ('BINARY', 'STRUCTURED')):
            with self.subTest(name, encoding=encoding):
                event = results[f'{name}-{encoding}']
                self.assert_mode(event, encoding)
                self.assertEqual(wanted[name], event['data']['outcome'])
                self.assertEqual(f'{name}-{encoding}', event['data']['commandId'])
                self.assertEqual(f'{name}-{encoding}', event['attributes']['subject'])

    def test_progress_comes_as_events(self):
        support.Worker(self)
        results, progress = self.events(self.both(lambda encoding: self.event(
            encoding, f'e-{encoding}',
            {'operation': 'cancel', 'provider': 'enos', 'until': 'settled', 'progress': True,
             'task': {'channelId': 'ch', 'taskId': f't-{encoding}'}}, partitionkey=encoding)))
        for encoding in ('BINARY', 'STRUCTURED'):
            with self.subTest(encoding):
                result, events = results[f'e-{encoding}'], progress[f'e-{encoding}']
                self.assertEqual((True, 'cancelled'),
                                 (result['data']['final'], result['data']['state']))
                self.assertIn('cancelling', [event['data']['state'] for event in events])
                for event in events:
                    self.assert_mode(event, encoding)
                    self.assertEqual('kancel.progress.v1', event['attributes']['type'])
                    self.assertIs(False, event['data']['final'])
                    self.assertEqual(f"{result['data']['id']}-{event['data']['state']}",
                                     event['attributes']['id'])

    # Spring

    def request(self, id, replies=None, operation='status', **more):
        value = {'id': id, 'operation': operation, 'provider': 'koodrive',
                 'task': TASK}
        return {'replies': replies or self.replies, 'key': f'k-{id}', 'value': json.dumps(value),
                **more}

    def assert_reply(self, request, answer, outcome):
        """It is this request's, where its template listens."""
        asked, reply = json.loads(request['value']), answer['reply']
        result = json.loads(reply['value'])
        self.assertEqual((asked['id'], outcome), (result['commandId'], result['outcome']), result)
        self.assertEqual(request['replies'], reply['topic'])
        self.assertEqual(request.get('partition', reply['partition']), reply['partition'])
        self.assertEqual(request['key'], reply['key'])

    def test_spring_gets_each_request_its_own_reply(self):
        support.Worker(self)
        # Copies of a service, each with a partition of its own; one that shares the topic, with
        # text for correlation ids; one that sends Spring's messages.
        kinds = [{'partition': 0}, {'partition': 1}, {}, {'text': True}, {'message': True},
                 {'partition': 1, 'text': True, 'message': True}]
        requests = [self.request(f'{number}-{at}', **kind)
                    for number in range(20) for at, kind in enumerate(kinds)]
        answers = self.java('Requests', self.commands, lines=requests)
        self.assertEqual(len(requests), len(answers))
        for request, answer in zip(requests, answers):
            with self.subTest(request=request):
                self.assert_reply(request, answer, 'succeeded')
                self.assertEqual(self.replies.encode(), octets(answer['sent'], 'kafka_replyTopic'))
                self.assertEqual(36 if request.get('text') else 16,
                                 len(octets(answer['sent'], 'kafka_correlationId')))
                self.assertEqual('partition' in request, 'kafka_replyPartition' in answer['sent'])
        self.assertEqual(len(requests), len(self.kafka.consume(self.replies, quiet_ms=200)))
        self.assertEqual([], self.kafka.consume(self.results, quiet_ms=200))

    def test_spring_gets_an_invalid_command_answered(self):
        support.Worker(self)
        requests = [self.request('bad', operation='stop'),
                    self.request('bad-message', operation='stop', partition=1, message=True),
                    self.request('good')]
        bad, message, good = self.java('Requests', self.commands, lines=requests)
        self.assert_reply(requests[0], bad, 'invalid')
        self.assert_reply(requests[1], message, 'invalid')
        self.assert_reply(requests[2], good, 'succeeded')
        self.assertEqual(2, len(self.kafka.consume(self.dead, quiet_ms=200)))

    def test_a_reply_topic_that_is_not_allowed_is_told_in_the_results(self):
        other = f'{self.group}.other'
        self.kafka.create(f'{other}:1')
        support.Worker(self)
        requests = [self.request('elsewhere', replies=other, answered=False), self.request('good')]
        elsewhere, good = self.java('Requests', self.commands, lines=requests)
        self.assert_reply(requests[1], good, 'succeeded')
        record, = self.kafka.consume(self.results, count=1)
        self.assertEqual(('elsewhere', 'succeeded'),
                         (record.json['commandId'], record.json['outcome']))
        self.assertIn(b'not allowed', record.headers['kancel-reply-rejected'])
        self.assertEqual(octets(elsewhere['sent'], 'kafka_correlationId'),
                         record.headers['kafka_correlationId'])
        self.assertEqual([], self.kafka.consume(other, quiet_ms=200))

    def test_a_dead_letter_tells_its_place_as_springs_do(self):
        ours = f'{self.group}.spring'
        self.kafka.create(f'{ours}:1')
        values = ['no command', None, json.dumps({'id': 'bad', 'operation': 'stop'}), b'\xff\x00']
        records = [self.raw(value, key=key, partition=partition, headers=[('trace', {'hex': 'ff'})])
                   for partition in range(self.partitions)
                   for value, key in zip(values, ('k', None, 'bad', 'k'))]
        now_ms = int(time.time() * 1000)
        for number, record in enumerate(records):
            record['timestamp'] = now_ms - 1000 * number
        places = self.kafka.produce(records)
        support.Worker(self)
        letters = self.java('DeadLetters', self.commands, self.dead, ours, len(records))
        by_topic = collections.defaultdict(dict)
        for letter in letters:
            place = letter['original-partition'], letter['original-offset']
            by_topic[letter['topic']][place] = letter
        self.assertEqual(len(records), len(by_topic[self.dead]), 'one each')
        for record, place in zip(records, places):
            with self.subTest(record=record, place=place):
                theirs = by_topic[ours][place['partition'], place['offset']]
                letter = by_topic[self.dead][place['partition'], place['offset']]
                self.assertEqual(self.commands, letter['original-topic'])
                self.assertEqual(record['timestamp'], letter['original-timestamp'])
                self.assertGreater(len(letter['exception-message']), 5)
                for name in ('key', 'value'):
                    self.assertEqual(theirs[name], letter[name])
                for name in ('trace', *(f'kafka_dlt-original-{what}' for what in
                                        ('topic', 'partition', 'offset', 'timestamp'))):
                    self.assertEqual(theirs['headers'][name], letter['headers'][name], name)


if __name__ == '__main__':
    support.main()
