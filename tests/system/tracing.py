"""Spans over OTLP/HTTP to a collector, from a real command on a real Kafka."""

import http.server
import json
import threading

from support import Worker, SystemTest, main, wait_for

TRACE, PARENT = '4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'


class Collector(http.server.ThreadingHTTPServer):
    """Keeps the spans; answers `status`."""

    def __init__(self, test):
        collector = self
        self.spans, self.status = [], 200

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
                if collector.status == 200:
                    for resource in body['resourceSpans']:
                        for scope in resource['scopeSpans']:
                            collector.spans += scope['spans']
                self.send_response(collector.status)
                self.send_header('Content-Length', '0')
                self.end_headers()

            def log_message(self, *args):
                pass

        super().__init__(('127.0.0.1', 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        test.addCleanup(self.server_close)
        test.addCleanup(self.shutdown)
        self.url = f'http://127.0.0.1:{self.server_port}/v1/traces'


class Tracing(SystemTest):
    def send(self, id, job, *headers):
        self.kafka.produce([self.command(id, 'cancel', 'koodrive', {'jobId': job}, key=id,
                                         headers=headers)])

    def test_a_requesters_trace_goes_through_to_call_and_result(self):
        collector = Collector(self)
        Worker(self, tracing={'endpoint': collector.url}).ready()
        self.send('c-1', '1', ('traceparent', f'00-{TRACE}-{PARENT}-01'), ('tracestate', 'a=b'))
        self.send('c-2', '2', ('traceparent', f'00-{TRACE[::-1]}-{PARENT}-00'))
        records = self.kafka.consume(self.results, count=2)
        first = next(record for record in records if record.json['commandId'] == 'c-1')
        self.assertEqual(f'00-{TRACE}-{PARENT}-01'.encode(), first.headers['traceparent'])
        self.assertEqual(b'a=b', first.headers['tracestate'])
        # The cancel, the status that confirms it, publishing, the command.
        wait_for('four spans', lambda: len(collector.spans) == 4)
        self.assertEqual({TRACE}, {span['traceId'] for span in collector.spans})
        command = next(span for span in collector.spans if span['kind'] == 5)
        self.assertEqual(PARENT, command['parentSpanId'])
        self.assertEqual(f'process {self.commands}', command['name'])
        for span in collector.spans:
            if span is not command:
                self.assertEqual(command['spanId'], span['parentSpanId'])
            self.assertLessEqual(int(span['startTimeUnixNano']), int(span['endTimeUnixNano']))
        self.assert_no_violation()  # the simulator knows traceparent, and no other new header

    def test_a_collector_that_fails_holds_up_nobody(self):
        collector = Collector(self)
        collector.status = 503
        worker = Worker(self, tracing={'endpoint': collector.url}).ready()
        self.send('c-1', '1')
        self.assertEqual('succeeded', self.answers(1)['c-1']['outcome'])
        wait_for('the warning', lambda: 'spans_not_delivered' in worker.log.read_text())
        self.assertEqual(0, worker.stop())


if __name__ == '__main__':
    main()
