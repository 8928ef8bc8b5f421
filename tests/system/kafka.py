#!/usr/bin/env python3
"""A real Apache Kafka for the system tests: one node, KRaft, on 127.0.0.1.

    kafka.py up FOLDER     starts a fresh broker whose files lie in FOLDER, prints its address
    kafka.py down FOLDER   stops it

A broker that an earlier run left in FOLDER is stopped first; brokers of other folders are left
alone. The jars come from Maven Central once and are kept in ${XDG_CACHE_HOME:-~/.cache}/kancel.
"""

import base64
import fcntl
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

VERSION = os.environ.get('KANCEL_KAFKA_VERSION', '4.4.0')
HERE = pathlib.Path(__file__).resolve().parent
START_S = 120  # a loaded machine of two cores; 4 s on a quiet one
STOP_S = 20

# Small (one node, little memory) and quick to notice that a client is gone.
PROPERTIES = '''
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
num.partitions=8
default.replication.factor=1
min.insync.replicas=1
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
num.network.threads=2
num.io.threads=2
num.recovery.threads.per.data.dir=1
log.cleaner.dedupe.buffer.size=8388608
log.segment.bytes=67108864
controlled.shutdown.enable=false
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=3000
group.consumer.min.heartbeat.interval.ms=500
group.consumer.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
'''

LOGGING = '''
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{HH:mm:ss.SSS} %p %c{1} %m%n
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = out
'''


def say(text):
    print('kafka:', text, file=sys.stderr, flush=True)


def jars():
    """The folder with the broker's jars, filled on first use."""
    cache = pathlib.Path(os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache')
    folder = cache / 'kancel' / f'kafka-{VERSION}'
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    say(f'fetching the jars of Kafka {VERSION} from Maven Central (once, under a minute)')
    fresh = pathlib.Path(tempfile.mkdtemp(prefix='kafka-', dir=folder.parent))
    try:
        for attempt in range(1, 4):
            done = subprocess.run(
                ['mvn', '-B', '-q', '-f', HERE / 'kafka-pom.xml', f'-Dkafka.version={VERSION}',
                 'dependency:copy-dependencies', '-DincludeScope=runtime',
                 f'-DoutputDirectory={fresh}'], stdout=sys.stderr, check=False)
            if done.returncode == 0:
                break
            say(f'attempt {attempt} failed')
            time.sleep(5 * attempt)
        else:
            sys.exit('kafka: the jars could not be fetched')
        os.chmod(fresh, 0o755)
        try:
            fresh.rename(folder)
        except OSError:  # another run was faster
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def free_ports(count):
    """Ports in a row below 32768: those above are taken at random by outgoing connections."""
    for _ in range(200):
        first = random.randrange(18000, 32000)
        sockets = []
        try:
            for port in range(first, first + count):
                sockets.append(socket.socket())
                sockets[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sockets[-1].bind(('127.0.0.1', port))
            return first
        except OSError:
            continue
        finally:
            for one in sockets:
                one.close()
    sys.exit('kafka: no free ports')


def process_start(pid):
    """When a process began, in clock ticks since boot; None when there is none (or a zombie)."""
    try:
        text = pathlib.Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return None
    fields = text.rsplit(')', 1)[1].split()
    return None if fields[0] == 'Z' else int(fields[19])


class Broker:
    """The broker of one folder. Its pid, with its start time against reuse, is kept there."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder).resolve()
        self.state_file = self.folder / 'kafka.json'
        self.java = None  # where this very process started it

    def state(self):
        try:
            return json.loads(self.state_file.read_text())
        except (OSError, ValueError):
            return None

    def alive(self):
        state = self.state()
        return bool(state) and process_start(state['pid']) == state['started']

    @property
    def address(self):
        state = self.state()
        return f"127.0.0.1:{state['port']}" if state else None

    @property
    def pid(self):
        return self.state()['pid']

    def up(self, **properties):
        """A fresh broker; `properties` (dots as underscores) replace those above."""
        self.down()
        shutil.rmtree(self.folder / 'kafka', ignore_errors=True)
        home = self.folder / 'kafka'
        home.mkdir(parents=True)
        port = free_ports(2)
        config = home / 'server.properties'
        lines = [f"{name.replace('_', '.')}={value}\n" for name, value in properties.items()]
        config.write_text(PROPERTIES.format(port=port, controller=port + 1, data=home / 'data')
                          + ''.join(lines))
        (home / 'log4j2.properties').write_text(LOGGING)
        logging = f"-Dlog4j2.configurationFile={home / 'log4j2.properties'}"
        cluster = base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip('=')
        began = time.monotonic()
        done = subprocess.run(
            ['java', '-Xmx128m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', logging, '-cp',
             f'{jars()}/*', 'kafka.tools.StorageTool', 'format', f'--cluster-id={cluster}',
             '--config', config],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f'kafka: the storage could not be formatted:\n{done.stdout}')
        self.launch(port)
        say(f'Kafka {VERSION} answers on 127.0.0.1:{port} after {time.monotonic() - began:.1f} s')

    def launch(self, port):
        """Starts the broker whose files lie in the folder, again perhaps, and waits for it."""
        home = self.folder / 'kafka'
        logging = f"-Dlog4j2.configurationFile={home / 'log4j2.properties'}"
        with open(home / 'log', 'ab') as log:
            self.java = subprocess.Popen(
                ['java', '-Xms64m', '-Xmx512m', '-XX:+UseSerialGC', '-XX:-UsePerfData',
                 '-Djava.awt.headless=true', logging, '-cp', f'{jars()}/*', 'kafka.Kafka',
                 home / 'server.properties'],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        fresh = self.state_file.with_suffix('.new')
        fresh.write_text(json.dumps({'pid': self.java.pid, 'port': port,
                                     'started': process_start(self.java.pid)}))
        fresh.rename(self.state_file)
        self.wait(port, home / 'log')

    def wait(self, port, log):
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            listing = subprocess.run(['kcat', '-b', f'127.0.0.1:{port}', '-L', '-m', '2'],
                                     capture_output=True, text=True, check=False)
            if '\n  broker 1 at ' in listing.stdout:
                return
            if not self.alive():
                break
            time.sleep(0.1)
        self.down()
        sys.exit(f'kafka: the broker did not start, see {log}')

    def down(self):
        state = self.state()
        if not state:
            return
        if self.alive():
            # Nothing of its data is kept: no orderly shutdown is needed.
            os.kill(state['pid'], signal.SIGKILL)
            end = time.monotonic() + STOP_S
            while self.alive() and time.monotonic() < end:
                time.sleep(0.02)
        if self.java:
            self.java.wait()
            self.java = None
        self.state_file.unlink(missing_ok=True)


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ('up', 'down'):
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / 'lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        broker = Broker(folder)
        if sys.argv[1] == 'up':
            broker.up()
            print(broker.address)
        else:
            broker.down()
            # And those that a test had for itself and was killed before it could stop.
            for left in folder.glob('*/kafka.json'):
                Broker(left.parent).down()


if __name__ == '__main__':
    main()
