#!/usr/bin/env python3
"""What each feature costs, by switching it off (or on): `run.sh features` starts it.

All rows run at one point, in turn; the difference to the usual configuration is taken within each
round. Commit metadata's map cannot be switched off: `run.sh profile` shows its part.
"""

import http.server
import statistics
import subprocess
import threading

import measure
import support
from measure import Column, say
from point import Point


class Collector(http.server.ThreadingHTTPServer):
    """Takes spans and forgets them."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = 'HTTP/1.1'

        def do_POST(self):
            self.server.spans += self.rfile.read(int(self.headers['Content-Length'])).count(
                b'"traceId"')
            self.send_response(200)
            self.send_header('Content-Length', '0')
            self.end_headers()

        def log_message(self, *args):
            pass

    daemon_threads = True

    def __init__(self):
        self.spans = 0
        super().__init__(('127.0.0.1', 0), self.Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = f'http://127.0.0.1:{self.server_port}/v1/traces'


class Usual(Point):
    """As the configuration's defaults have it: transactions, order by key, a line a result."""

    calls = 100

    def start(self, name='worker', **more):
        return super().start(name, **support.merged({'log': {'level': 'info'}}, more))


class Without(Usual):
    """With these settings over the usual ones."""

    def __init__(self, **over):
        super().__init__()
        self.over = over

    def start(self, name='worker', **more):
        return super().start(name, **support.merged(self.over, more))


class WithoutAdmin(Without):
    def runTest(self):
        worker = self.start()
        self.warm_up()  # nothing else tells that it is ready
        self.figures = self.loaded(worker)
        self.assertEqual(0, worker.stop())


class WithTracing(Usual):
    def start(self, name='worker', **more):
        self.collector = Collector()
        self.addCleanup(self.collector.server_close)
        self.addCleanup(self.collector.shutdown)
        return super().start(name, tracing={'endpoint': self.collector.url}, **more)

    def runTest(self):
        super().runTest()
        self.assertGreater(self.collector.spans, self.count, 'spans have come')


class WithTls(Usual):
    """The provider's side; Kafka stays plain."""

    def setUp(self):
        support.RUN.mkdir(parents=True, exist_ok=True)
        self.certificate = support.RUN / 'bench.pem'
        key = support.RUN / 'bench.key'
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                        'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=bench',
                        '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out',
                        self.certificate], check=True, capture_output=True)
        self.more_simulator_options = ('--tls-certificate', self.certificate, '--tls-key', key)
        super().setUp()

    def start(self, name='worker', **more):
        endpoint = self.simulator.endpoint.replace('http:', 'https:')
        account = {'endpoint': endpoint, 'tls': {'ca_file': str(self.certificate)}}
        return super().start(name, accounts={support.ENOS: account}, **more)

    def assert_no_violation(self):
        """The simulator's own pages are behind TLS too, which support.py does not speak."""


def rows():
    quiet_account = {'limits': {'adaptive': False}, 'breaker': {'failures': 0}}
    return {
        'as usual': Usual(),
        'without transactions (at_least_once)': Without(delivery='at_least_once'),
        'without order (ordering: none)': Without(ordering='none'),
        'without a line a result (log: warn)': Without(log={'level': 'warn'}),
        'without admin and metrics': WithoutAdmin(admin={'listen': 'off'}),
        'without breaker and adaptive limit': Without(accounts={support.ENOS: quiet_account}),
        'with tracing, every command': WithTracing(),
        'with TLS to the provider': WithTls(),
    }


COLUMNS = [Column('commands/s', 'per_s', 0, 1), Column('CPU us/command', 'cpu_us', 1, -1),
           Column('difference us', 'cpu_more', 1), Column('memory MiB', 'memory_mib', 0, -1)]


def main():
    parser = measure.parser(__doc__, repeat=5)
    parser.add_argument('--size', type=float, default=1, help='0.1: a tenth as long, to try it')
    options = parser.parse_args()
    book, points = measure.Book('features'), rows()
    for turn in range(options.repeat):
        for label, point in points.items():
            say(f'measuring {turn + 1}/{options.repeat}: {label}')
            point.count = max(200, int(60000 * options.size))
            figures = measure.measured(point)
            book.add(label, figures)
            figures['cpu_more'] = figures['cpu_us'] - book.rows['as usual'][-1]['cpu_us']
    point = points['as usual']
    print(f'{point.provider}, {point.delay_ms} ms a call, {point.calls} calls in flight; medians '
          f'(least-most) of {options.repeat}')
    book.print(COLUMNS)
    usual = statistics.median(book.values('as usual', 'cpu_us'))
    print('\n' + '; '.join(f"{label}: {100 * book.median(label, 'cpu_more') / usual:+.0f} %"
                           for label in points if label != 'as usual') + " of the usual row's CPU")
    measure.finish(book, options, COLUMNS)


if __name__ == '__main__':
    main()
