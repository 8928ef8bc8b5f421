"""What every system test stands on: Kafka through kancel-probe, the simulator, the worker.

The programs and the broker are found through the environment that ctest sets: KANCEL_WORKER,
KANCEL_SIMULATOR, KANCEL_PROBE and KANCEL_RUN (the folder that kafka.py keeps its broker in; the
tests' own files lie there too). Run by hand, a broker and a build folder must be named so.
"""

import collections
import http.client
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest

import kafka

WORKER = os.environ['KANCEL_WORKER']
SIMULATOR = os.environ['KANCEL_SIMULATOR']
PROBE = os.environ['KANCEL_PROBE']
# The worker with crash points and calls that hang: tests/system/crash_point.c.
CRASHING = os.environ.get('KANCEL_CRASHING')
LEDGER = os.environ.get('KANCEL_LEDGER')
RUN = pathlib.Path(os.environ['KANCEL_RUN'])

NUMBERS = itertools.count(1)

# How long anything may take that happens at once on a quiet machine. Sanitizers and loaded
# machines stretch it; no test waits it out when all is well.
PATIENCE_S = 60 * float(os.environ.get('KANCEL_PATIENCE', '1'))

ENOS, SCNET, IOTDA, KOODRIVE = 'enos-cn', 'hpc', 'iot-prod', 'drive'
PROJECT = '0123456789abcdef0123456789abcdef'


def wait_for(what, condition, seconds=PATIENCE_S):
    """Asks until `condition` gives something true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f'waited {seconds:.0f} s for {what}')
        time.sleep(0.02)


def octets(value):
    """A key, value or header of the probe's JSON as bytes, or None."""
    if value is None:
        return None
    return bytes.fromhex(value['hex']) if isinstance(value, dict) else value.encode()


class Record:
    """A record that was read: key, value and headers as bytes."""

    def __init__(self, line):
        fields = json.loads(line)
        self.topic, self.partition = fields['topic'], fields['partition']
        self.offset, self.timestamp = fields['offset'], fields['timestamp']
        self.key, self.value = octets(fields['key']), octets(fields['value'])
        self.header_list = [(name, octets(value)) for name, value in fields['headers']]
        self.headers = dict(self.header_list)

    @property
    def json(self):
        return json.loads(self.value)


class Kafka:
    def __init__(self, broker=None):
        self.broker = broker or kafka.Broker(RUN)
        self.address = self.broker.address
        if not self.broker.alive():
            raise unittest.SkipTest('no broker runs: tests/system/kafka.py up FOLDER')

    def probe(self, *args, lines=()):
        done = subprocess.run([PROBE, self.address, *map(str, args)], check=False, text=True,
                              input=''.join(json.dumps(line) + '\n' for line in lines),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode != 0:
            raise AssertionError(f'kancel-probe {args[0]}: {done.stderr}')
        return done.stdout.splitlines()

    def create(self, *specs):
        self.probe('create', *specs)

    def produce(self, records, transactional_id=None):
        """Returns [{topic, partition, offset}], one a record."""
        args = ['--transactional-id', transactional_id] if transactional_id else []
        return [json.loads(line) for line in self.probe('produce', *args, lines=records)]

    def consume(self, topic, count=None, quiet_ms=None, timeout_s=PATIENCE_S, committed=True):
        args = [topic, '--timeout-ms', int(timeout_s * 1000)]
        if count is not None:
            args += ['--count', count]
        if quiet_ms is not None:
            args += ['--quiet-ms', quiet_ms]
        if not committed:
            args.append('--uncommitted')
        return [Record(line) for line in self.probe('consume', *args)]

    def committed(self, group, topic):
        """{partition: (offset, metadata)}; an offset of -1001 says that there is none."""
        lines = [json.loads(line) for line in self.probe('committed', group, topic)]
        return {line['partition']: (line['offset'], line['metadata']) for line in lines}

    def members(self, group):
        return sum(json.loads(line)['members'] for line in self.probe('group', group))


class Reader(threading.Thread):
    """Reads a topic in the background until stopped; `records` grows as they come."""

    def __init__(self, test, topic):
        super().__init__(daemon=True)
        self.records = []
        self.probe = subprocess.Popen(
            [PROBE, test.kafka.address, 'consume', topic, '--timeout-ms', '3600000'],
            stdout=subprocess.PIPE, text=True)
        test.addCleanup(self.stop)
        self.start()

    def run(self):
        for line in self.probe.stdout:
            self.records.append(Record(line))

    def ids(self):
        """Of the results so far; one that came twice has the same."""
        return {record.json['id'] for record in self.records}

    def wait(self, count, seconds=PATIENCE_S):
        wait_for(f'{count} records, {len(self.records)} at first',
                 lambda: len(self.records) >= count, seconds)

    def stop(self):
        self.probe.kill()
        self.probe.wait()
        self.join()
        self.probe.stdout.close()


class Process:
    """A program of ours, with its output in a file."""

    def __init__(self, command, log, **environment):
        self.log = pathlib.Path(log)
        with open(self.log, 'ab') as out:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=out, env={**os.environ, **environment})

    def wait(self, seconds=PATIENCE_S):
        return self.process.wait(seconds)

    def kill(self):
        self.process.kill()
        return self.process.wait()

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def end(self):
        if self.process.poll() is None:
            self.kill()


class Simulator(Process):
    def __init__(self, folder, *options):
        port_file = folder / 'simulator.port'
        port_file.unlink(missing_ok=True)
        super().__init__([SIMULATOR, '--port-file', port_file, *map(str, options)],
                         folder / 'simulator.log')
        wait_for('the simulator', port_file.exists)
        self.port = int(port_file.read_text())
        self.endpoint = f'http://127.0.0.1:{self.port}'

    def request(self, method, page, body=None):
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=PATIENCE_S)
        connection.request(method, f'/_simulator/{page}', body and json.dumps(body),
                           {'Content-Type': 'application/json'})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status != 200:
            raise AssertionError(f'simulator: {page}: {text.decode()}')
        return json.loads(text)

    def tasks(self, *tasks):
        self.request('POST', 'tasks', list(tasks))

    def fault(self, match, action, times=1, **more):
        self.request('POST', 'faults', {'match': match, 'action': action, 'times': times, **more})

    def no_faults(self):
        self.request('DELETE', 'faults')

    def ledger(self):
        return self.request('GET', 'ledger')

    def summary(self):
        return self.request('GET', 'ledger?summary=1')

    def task(self, provider, task_id):
        for task in self.ledger()['tasks']:
            if (task['provider'], task['id']) == (provider, task_id):
                return task
        return None


class Worker(Process):
    """`kancel worker` with a configuration of its own. `settings` go over the usual ones. With
    an `environment` it is the worker with crash points, and is told by that where."""

    def __init__(self, test, name='worker', environment=None, log_file=None, **settings):
        self.test = test
        self.name = name
        self.config = test.worker_config(**settings)
        self.admin_port = kafka.free_ports(1)
        self.config.setdefault('admin', {}).setdefault('listen', f'127.0.0.1:{self.admin_port}')
        file = test.folder / f'{name}.yaml'
        file.write_text(json.dumps(self.config, indent=2))  # JSON is YAML
        super().__init__([CRASHING if environment else WORKER, 'worker', '-c', file],
                         log_file or test.folder / f'{name}.log', **(environment or {}))
        test.addCleanup(self.end)

    def admin(self, page):
        connection = http.client.HTTPConnection('127.0.0.1', self.admin_port, timeout=PATIENCE_S)
        try:
            connection.request('GET', page)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, ''
        finally:
            connection.close()

    def metric(self, name):
        """The sum of all samples of a metric."""
        total = 0.0
        for line in self.admin('/metrics')[1].splitlines():
            if line.split('{')[0].split(' ')[0] == name:
                total += float(line.rsplit(' ', 1)[1])
        return total

    def ready(self):
        def is_ready():
            if self.process.poll() is not None:
                raise AssertionError(f'the worker left with {self.process.returncode}, see '
                                     f'{self.log}')
            return self.admin('/readyz')[0] == 200
        wait_for('the worker to be ready', is_ready)
        return self

    def stop(self):
        """SIGTERM; the exit code."""
        self.terminate()
        return self.wait()


def merged(base, over):
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


class SystemTest(unittest.TestCase):
    """One test: a folder, a simulator, topics and a group of its own."""

    maxDiff = None
    partitions = 1
    simulator_options = ()

    def setUp(self):
        self.kafka = self.open_kafka()
        name = self._testMethodName.removeprefix('test_')
        self.folder = RUN / pathlib.Path(sys.argv[0]).stem / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.simulator = Simulator(self.folder, *self.simulator_options)
        self.addCleanup(self.simulator.end)
        # Topics of an earlier run of the same test against this broker are not met again.
        prefix = f'{name}-{os.getpid()}-{next(NUMBERS)}'
        self.group = prefix
        self.commands, self.results = f'{prefix}.commands', f'{prefix}.results'
        self.dead, self.replies = f'{prefix}.dead', f'{prefix}.replies'
        self.kafka.create(f'{self.commands}:{self.partitions}:max.message.bytes=8000000',
                          f'{self.results}:{self.partitions}', f'{self.dead}:1',
                          f'{self.replies}:2')

    def open_kafka(self):
        """The broker that all tests share."""
        return Kafka()

    def worker_config(self, **settings):
        endpoint = self.simulator.endpoint
        account = {'retry': {'attempts': 4, 'backoff': '20ms..200ms', 'give_up_after': '30s'},
                   'settle': {'poll': '50ms..500ms', 'limit': '1m'}}
        config = {
            'kafka': {
                'bootstrap_servers': self.kafka.address, 'group': self.group,
                'commands': [self.commands], 'results': self.results, 'dead_letters': self.dead,
                'reply_topics': [self.replies],
                'properties': {'session.timeout.ms': '3000', 'heartbeat.interval.ms': '500'},
            },
            'log': {'level': 'debug'},
            'accounts': {
                ENOS: {**account, 'provider': 'enos', 'endpoint': endpoint, 'org_id': 'o1',
                       'auth': {'app_key': 'app-key', 'app_secret': 'app-secret'}},
                SCNET: {**account, 'provider': 'scnet', 'endpoint': f'{endpoint}/efile',
                        'auth': {'token': 'scnet-token'}},
                IOTDA: {**account, 'provider': 'iotda', 'endpoint': endpoint,
                        'project_id': PROJECT, 'auth': {'token': 'iotda-token'}},
                KOODRIVE: {**account, 'provider': 'koodrive', 'endpoint': endpoint,
                           'user_id': '1505', 'auth': {'token': 'Bearer+koodrive-token'}},
            },
        }
        return merged(config, settings)

    def command(self, id, operation, provider, task, key='k', partition=None, headers=(), **more):
        """A record for Kafka.produce()."""
        value = {'id': id, 'operation': operation, 'provider': provider, 'task': task, **more}
        record = {'topic': self.commands, 'key': key, 'value': json.dumps(value),
                  'headers': [list(header) for header in headers]}
        if partition is not None:
            record['partition'] = partition
        return record

    def raw(self, value, key='k', partition=0, headers=()):
        """A record with any value: text, bytes, None."""
        if isinstance(value, bytes):
            value = {'hex': value.hex()}
        return {'topic': self.commands, 'key': key, 'value': value, 'partition': partition,
                'headers': [list(header) for header in headers]}

    def answers(self, count, topic=None):
        """Exactly so many results, as {command id: result}; each command once."""
        records = self.kafka.consume(topic or self.results, count=count)
        self.assertEqual(count, len(records), 'results in time')
        results = [record.json for record in records]
        by_id = {result['commandId']: result for result in results}
        self.assertEqual(count, len(by_id), 'one result a command')
        return by_id

    def load(self, keys, each, **command):
        """`each` cancels for each of `keys` keys, of as many tasks, in turn: id "KEY-NUMBER"."""
        return [self.command(f'{key}-{number}', 'cancel', 'enos',
                             {'channelId': 'ch', 'taskId': f't-{key}-{number}'}, key=f'k{key}',
                             **command)
                for number in range(each) for key in range(keys)]

    def assert_exactly_once(self, commands, topic=None):
        """Every command of a load() has one result, in order within its key, and every task was
        cancelled once."""
        records = self.kafka.consume(topic or self.results, quiet_ms=500)
        ids = [record.json['commandId'] for record in records]
        counts = collections.Counter(ids)
        wanted = [json.loads(command['value'])['id'] for command in commands]
        self.assertEqual([], [id for id in wanted if id not in counts][:5], 'unanswered')
        self.assertEqual([], [id for id, count in counts.items() if count > 1][:5], 'doubled')
        self.assertEqual(len(wanted), len(records))
        self.assertEqual({'succeeded'}, {record.json['outcome'] for record in records})
        self.assert_order_of_keys(records)
        wrong = [task for task in self.simulator.ledger()['tasks'] if task['cancels_applied'] != 1]
        self.assertEqual([], wrong[:5], 'tasks that were not cancelled once')
        self.assert_no_violation()

    def assert_order_of_keys(self, records):
        """Records of one partition are read in their order, and a key is in one partition."""
        last = {}
        for record in records:
            key, number = record.json['commandId'].split('-')
            self.assertEqual(f'k{key}'.encode(), record.key)
            self.assertLess(last.get(key, -1), int(number), f'order of key {key}')
            last[key] = int(number)

    def assert_faults_fired(self):
        """Every fault that was scripted was met: the test is about what it says."""
        idle = [fault for fault in self.simulator.summary()['faults'] if fault['fired'] == 0]
        self.assertEqual([], idle)

    def assert_no_violation_of_copies(self):
        """Copies that start together may ask for a token in the same millisecond, which enos takes
        for a replay: one of them asks again."""
        strange = [violation for violation in self.simulator.summary()['violations']
                   if 'used before (replay guard)' not in violation['what']]
        self.assertEqual([], strange)

    def assert_no_violation(self):
        summary = self.simulator.summary()
        self.assertEqual([], summary['violations'])
        self.assertEqual(0, summary['violations_count'])


def main():
    """Runs the file's tests; on failure the folder with the logs is named."""
    program = unittest.main(module='__main__', exit=False, verbosity=2)
    if not program.result.wasSuccessful():
        print(f'logs: {RUN}/{pathlib.Path(sys.argv[0]).stem}', file=sys.stderr)
        sys.exit(1)
    if len(program.result.skipped) == program.result.testsRun:
        sys.exit(77)
