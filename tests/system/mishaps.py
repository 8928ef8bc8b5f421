#!/usr/bin/env python3
"""What goes wrong around a worker - configuration, permissions, certificates, disks, crowds - is said
clearly, and loses nothing."""

import contextlib
import http.client
import os
import pathlib
import select
import socket
import ssl
import subprocess
import threading
import time

import kafka
import support
from support import ENOS, KOODRIVE, PATIENCE_S, WORKER, Worker, wait_for


class Mishaps(support.SystemTest):
    def cancel(self, id, **more):
        self.kafka.produce([self.command(id, 'cancel', 'koodrive', {'jobId': '1000'}, **more)])

    def check(self, *words, code):
        """`kancel check` of the worker's file; all that it says."""
        done = subprocess.run([WORKER, 'check', '-c', self.folder / 'worker.yaml', *words],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=PATIENCE_S, check=False)
        self.assertEqual(code, done.returncode, done.stdout)
        return done.stdout

    def logged(self, worker, *parts):
        return any(all(part in line for part in parts)
                   for line in worker.log.read_text().splitlines())


class Start(Mishaps):
    """Before anything is taken."""

    def test_every_mistake_is_told_at_once_and_nothing_starts(self):
        gone = str(self.folder / 'no-such-secret')
        worker = Worker(self, worker={'drian': '25s', 'window': '5 apples'}, accounts={
            ENOS: {'auth': {'app_secret': {'file': gone}}, 'limits': {'timeout': '10 parsecs'}}})
        self.assertEqual(2, worker.wait())
        for said in (worker.log.read_text(), self.check(code=2)):
            self.assertRegex(said, r'worker.yaml:\d+: worker.drian: unknown key; did you mean drain\?')
            self.assertRegex(said, 'worker.window: expected a whole number')
            self.assertRegex(said, 'limits.timeout: expected a duration such as 200ms, 30s')
            self.assertRegex(said, f'app_secret: {gone}: cannot open the file: No such file')
        self.assertEqual(0, self.kafka.members(self.group))

    def test_a_secret_that_everybody_reads_is_a_warning(self):
        secret = self.folder / 'secret'
        secret.write_text('app-secret\n')
        secret.chmod(0o644)
        worker = Worker(self, accounts={ENOS: {'auth': {'app_secret': {'file': str(secret)}}}})
        worker.ready()
        for said in (worker.log.read_text(), self.check(code=0)):
            self.assertRegex(said, f'warning: .*{secret}')
        secret.chmod(0o600)
        self.assertNotIn('warning: ', self.check(code=0))

    def test_an_admin_port_in_use_ends_it_with_1(self):
        with socket.socket() as taken:
            taken.bind(('127.0.0.1', 0))
            taken.listen()
            address = '127.0.0.1:%d' % taken.getsockname()[1]
            config = self.folder / 'taken.yaml'
            Worker(self).ready().kill()  # writes a file that is right but for the address
            text = (self.folder / 'worker.yaml').read_text()
            old = text.split('"listen": "')[1].split('"')[0]
            config.write_text(text.replace(old, address))
            done = subprocess.run([WORKER, 'worker', '-c', config], stderr=subprocess.PIPE,
                                  text=True, timeout=PATIENCE_S, check=False)
        self.assertEqual(1, done.returncode, done.stderr)
        self.assertIn('event=start_failed exit=1', done.stderr)
        self.assertIn(f'cannot listen on {address}: Address already in use', done.stderr)


class Provider(Mishaps):
    def expired(self):
        """The port of a server whose certificate ended yesterday, and the authority's file."""
        key, request, certificate = (self.folder / name for name in ('key', 'request', 'ca.pem'))
        for words in (['req', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', request,
                       '-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'],
                      ['x509', '-req', '-in', request, '-signkey', key, '-days', '-1',
                       '-copy_extensions', 'copy', '-out', certificate]):
            subprocess.run(['openssl', *words], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        listener = socket.create_server(('127.0.0.1', 0))
        self.requests = []

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    with context.wrap_socket(connection, server_side=True) as secure:
                        self.requests.append(secure.recv(100))
        thread = threading.Thread(target=serve)
        thread.start()

        def end():
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join()
        self.addCleanup(end)
        return listener.getsockname()[1], certificate

    def test_an_expired_certificate_gets_nothing_and_is_named(self):
        port, authority = self.expired()
        worker = Worker(self, accounts={KOODRIVE: {
            'endpoint': f'https://127.0.0.1:{port}', 'tls': {'ca_file': str(authority)},
            'retry': {'attempts': 2, 'give_up_after': '3s'}}}).ready()
        self.cancel('c-1')
        result = self.answers(1)['c-1']
        self.assertEqual(('failed', 'unavailable'), (result['outcome'], result['error']['kind']))
        self.assertIn('certificate has expired', result['error']['message'])
        self.assertRegex(self.check('--online', '-q', code=1),
                         f'BAD +account {KOODRIVE}: .*certificate has expired')
        self.assertEqual([], self.requests, 'nothing was sent to it')
        worker.ready()


class Logs(Mishaps):
    def assert_goes_on(self, worker):
        worker.ready()
        self.cancel('c-1')
        self.assertEqual('succeeded', self.answers(1)['c-1']['outcome'])
        wait_for('the count', lambda: worker.metric('kancel_log_lines_lost_total') > 0)
        self.assertIn('"event":"log_lines_lost"', worker.admin('/state')[1])
        self.assertEqual(0, worker.stop())

    def test_a_full_disk_under_the_log_stops_nothing(self):
        self.assert_goes_on(Worker(self, log_file='/dev/full'))

    def test_a_log_that_nobody_reads_any_more_stops_nothing(self):
        pipe = self.folder / 'pipe'
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        worker = Worker(self, log_file=pipe)
        os.close(reader)
        self.assert_goes_on(worker)


class Admin(Mishaps):
    """The worker's own HTTP server among people who mean no good."""

    def connect(self, text=b''):
        connection = socket.create_connection(('127.0.0.1', self.worker.admin_port), PATIENCE_S)
        self.addCleanup(connection.close)
        connection.sendall(text)
        return connection

    def files(self):
        return len(os.listdir(f'/proc/{self.worker.process.pid}/fd'))

    def probe_s(self):
        """How long a probe on a new connection takes."""
        began = time.monotonic()
        self.assertEqual((200, 'ok\n'), self.worker.admin('/livez'))
        return time.monotonic() - began

    def test_a_thousand_viewers_hold_up_nobody(self):
        self.worker = Worker(self).ready()
        files = self.files()
        viewers = [self.connect(b'GET /events HTTP/1.1\r\nHost: a\r\n\r\n') for _ in range(1000)]
        slowest = max(self.probe_s() for _ in range(20))
        self.kafka.produce(load := self.load(10, 20))
        self.answers(len(load))
        answers = [viewer.recv(12) for viewer in viewers]
        self.assertEqual(100, answers.count(b'HTTP/1.1 200'))
        self.assertEqual(900, answers.count(b'HTTP/1.1 503'))
        wait_for('only viewers that are served to be left', lambda: self.files() <= files + 110)
        slowest = max(slowest, *(self.probe_s() for _ in range(20)))
        self.assertLess(slowest, PATIENCE_S / 30, 'a probe beside a thousand viewers')
        self.assertEqual(0, self.worker.stop())

    def test_slow_requests_do_not_keep_probes_out(self):
        self.worker = Worker(self).ready()
        files = self.files()
        crowd = [self.connect(b'GET / HTTP/1.1\r\nX: ') for _ in range(400)]
        until = time.monotonic() + 5
        while time.monotonic() < until:  # a byte now and then from each of them
            for one in crowd:
                with contextlib.suppress(OSError):
                    one.send(b'y')
            self.assertLess(self.probe_s(), PATIENCE_S / 12)
            self.assertLessEqual(self.files(), files + 256)
        ended = sum(not self.is_open(one) for one in crowd)
        self.assertGreater(ended, 200)
        self.assertEqual(0, self.worker.stop())

    @staticmethod
    def is_open(connection):
        return not select.select([connection], [], [], 0)[0]

    def test_requests_that_are_too_large_are_refused(self):
        self.worker = Worker(self).ready()
        for request, status in (
                (b'GET /' + b'a' * 100_000 + b' HTTP/1.1\r\n\r\n', b'414'),
                (b'GET / HTTP/1.1\r\nX: ' + b'a' * 100_000 + b'\r\n\r\n', b'431'),
                (b'POST /drain HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999\r\n\r\n', b'413'),
                (b'POST /drain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n', b'413')):
            with self.subTest(status):
                connection = self.connect()
                with contextlib.suppress(OSError):
                    connection.sendall(request)
                self.assertEqual(b'HTTP/1.1 ' + status, connection.recv(12))
        self.probe_s()
        self.assertEqual(0, self.worker.stop())


class OwnBroker(Mishaps):
    """A broker with an authorizer that allows what no rule is about."""

    @classmethod
    def setUpClass(cls):
        folder = support.RUN / 'broker-for-mishaps'
        folder.mkdir(parents=True, exist_ok=True)
        cls.broker = kafka.Broker(folder)
        cls.broker.up(
            authorizer_class_name='org.apache.kafka.metadata.authorizer.StandardAuthorizer',
            allow_everyone_if_no_acl_found='true')
        cls.addClassCleanup(cls.broker.down)

    def open_kafka(self):
        return support.Kafka(self.broker)

    @contextlib.contextmanager
    def denied(self, kind, name, operation):
        self.kafka.probe('deny', kind, name, operation)
        try:
            yield
        finally:
            self.kafka.probe('undeny', kind, name)

    def start(self, name='worker'):
        watch = {'statistics.interval.ms': '500', 'topic.metadata.refresh.interval.ms': '1000'}
        return Worker(self, name, worker={'stuck_after': '2s'}, kafka={'properties': watch})

    def assert_said(self, worker, *words):
        wait_for(f'/readyz with {words}', lambda: all(
            word in worker.admin('/readyz')[1] for word in words))
        self.assertEqual(503, worker.admin('/readyz')[0])

    def test_commands_that_may_not_be_read(self):
        self.cancel('c-1')
        with self.denied('topic', self.commands, 'read'):
            worker = self.start()
            self.assert_said(worker, self.commands, 'Topic authorization failed')
            self.assertRegex(self.check('--online', '-q', code=1),
                             f'BAD +permission to read topic {self.commands}: not given')
        self.assertEqual('succeeded', self.answers(1)['c-1']['outcome'])
        worker.ready()
        self.assertEqual(0, worker.stop())

    def test_results_that_may_not_be_written(self):
        worker = self.start().ready()
        with self.denied('topic', self.results, 'write'):
            self.cancel('c-1')
            self.assert_said(worker, 'the results topic may not be written')
            self.assertRegex(self.check('--online', '-q', code=1),
                             f'BAD +permission to write topic {self.results}: not given')
        self.assertEqual('succeeded', self.answers(1)['c-1']['outcome'])
        worker.ready()
        self.assertEqual(0, worker.stop())

    def test_a_reply_topic_that_may_not_be_written(self):
        """Its requester's fault; the others' results are not held up."""
        worker = self.start().ready()
        with self.denied('topic', self.replies, 'write'):
            self.assertRegex(self.check('--online', '-q', code=1),
                             f'BAD +permission to write topic {self.replies}: not given')
            self.cancel('c-1', headers=[['kafka_replyTopic', self.replies]])
            self.assertEqual('succeeded', self.answers(1)['c-1']['outcome'])
        self.assertEqual(0, worker.stop())

    def test_a_group_that_may_not_be_used(self):
        self.cancel('c-1')
        with self.denied('group', self.group, 'read'):
            worker = self.start()
            self.assert_said(worker, 'Group authorization failed')
            self.assertRegex(self.check('--online', '-q', code=1), f'BAD +group {self.group}: ')
        self.assertEqual('succeeded', self.answers(1)['c-1']['outcome'])
        worker.ready()
        self.assertEqual(0, worker.stop())

    def test_brokers_that_are_not_there_yet_are_waited_for(self):
        self.cancel('c-1')
        port = int(self.broker.address.rsplit(':', 1)[1])
        self.broker.down()
        worker = self.start()
        wait_for('the word for it',
                 lambda: 'no broker is reachable' in worker.admin('/readyz')[1])
        self.assertEqual((200, 'ok\n'), worker.admin('/livez'))
        self.assertEqual(503, worker.admin('/startupz')[0])
        self.assertRegex(self.check('--online', '-q', code=1),
                         f'BAD +brokers 127.0.0.1:{port}: .*Connection refused')
        self.broker.restart(port)
        self.assertEqual('succeeded', self.answers(1)['c-1']['outcome'])
        worker.ready()
        self.assertEqual(0, worker.stop())


if __name__ == '__main__':
    support.main()
