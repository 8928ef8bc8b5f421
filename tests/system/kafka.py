#!/usr/bin/env python3
"""A real Apache Kafka for the system tests, KRaft, on 127.0.0.1: one node, or three.

    kafka.py up FOLDER [3]   starts fresh brokers whose files lie in FOLDER, prints their addresses
    kafka.py down FOLDER     stops them

A broker that an earlier run left in FOLDER is stopped first; brokers of other folders are left
alone. KANCEL_KAFKA_HEAP is a single node's memory, 512m if unset. The jars come from Maven Central once and are kept in ${XDG_CACHE_HOME:-~/.cache}/kancel.
"""

import base64
import concurrent.futures
import fcntl
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

VERSION = os.environ.get('KANCEL_KAFKA_VERSION', '4.4.0')
HEAP = os.environ.get('KANCEL_KAFKA_HEAP', '512m')
HERE = pathlib.Path(__file__).resolve().parent
START_S = 120  # a loaded machine of two cores; 4 s on a quiet one
STOP_S = 20

# Small (one node, little memory) and quick to notice that a client is gone.
PROPERTIES = '''
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
num.partitions=8
default.replication.factor={replicas}
min.insync.replicas={in_sync}
offsets.topic.num.partitions=4
offsets.topic.replication.factor={replicas}
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
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
log.cleaner.backoff.ms=500
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


def jars(version=VERSION):
    """The folder with the broker's jars."""
    return fetched(f'kafka-{version}', HERE / 'kafka-pom.xml', f'-Dkafka.version={version}')


def fetched(name, pom, *options):
    """The folder `name` of the cache with the jars of a Maven project, filled on first use."""
    cache = pathlib.Path(os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache')
    folder = cache / 'kancel' / name
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    say(f'fetching the jars of {name} from Maven Central (once, under a minute)')
    fresh = pathlib.Path(tempfile.mkdtemp(prefix='fresh-', dir=folder.parent))
    try:
        for attempt in range(1, 4):
            done = subprocess.run(
                ['mvn', '-B', '-q', '-f', pom, *options, 'dependency:copy-dependencies',
                 '-DincludeScope=runtime', f'-DoutputDirectory={fresh}'], stdout=sys.stderr,
                check=False)
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


def new_cluster_id():
    return base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip('=')


class Broker:
    """The broker of one folder. Its pid, with its start time against reuse, is kept there."""

    def __init__(self, folder, node=1, version=VERSION):
        self.version = version
        self.folder = pathlib.Path(folder).resolve()
        self.home = self.folder / 'kafka'
        self.state_file = self.folder / 'kafka.json'
        self.node = node
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
        port = free_ports(2)
        began = time.monotonic()
        self.format(port, {self.node: port + 1}, new_cluster_id(), properties)
        self.launch(port)
        self.wait(1)
        say(f'Kafka {self.version} answers on {self.address} after {time.monotonic() - began:.1f} s')

    def format(self, port, controllers, cluster, properties):
        """A fresh storage; `controllers` are the ports of all nodes."""
        self.down()
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        voters = ','.join(f'{node}@127.0.0.1:{at}' for node, at in controllers.items())
        config = self.home / 'server.properties'
        lines = [f"{name.replace('_', '.')}={value}\n" for name, value in properties.items()]
        config.write_text(PROPERTIES.format(
            node=self.node, voters=voters, port=port, controller=controllers[self.node],
            data=self.home / 'data', replicas=len(controllers), in_sync=(len(controllers) + 1) // 2)
            + ''.join(lines))
        (self.home / 'log4j2.properties').write_text(LOGGING)
        done = subprocess.run(
            ['java', '-Xmx128m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', self.logging(),
             '-cp', f'{jars(self.version)}/*', 'kafka.tools.StorageTool', 'format', f'--cluster-id={cluster}',
             '--config', config],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f'kafka: the storage could not be formatted:\n{done.stdout}')

    def logging(self):
        return f"-Dlog4j2.configurationFile={self.home / 'log4j2.properties'}"

    def launch(self, port, *options):
        """Starts the broker whose files lie in the folder, again perhaps."""
        with open(self.home / 'log', 'ab') as log:
            self.java = subprocess.Popen(
                ['java', '-Xms64m', f'-Xmx{HEAP}', '-XX:+UseSerialGC', '-XX:-UsePerfData',
                 '-Djava.awt.headless=true', *options, self.logging(), '-cp', f'{jars(self.version)}/*',
                 'kafka.Kafka', self.home / 'server.properties'],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        fresh = self.state_file.with_suffix('.new')
        fresh.write_text(json.dumps({'pid': self.java.pid, 'port': port,
                                     'started': process_start(self.java.pid)}))
        fresh.rename(self.state_file)

    def wait(self, brokers):
        """Until it answers and knows of so many brokers, itself among them."""
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            listing = subprocess.run(['kcat', '-b', self.address, '-L', '-m', '2'],
                                     capture_output=True, text=True, check=False)
            if (f'\n  broker {self.node} at ' in listing.stdout and
                    listing.stdout.count('\n  broker ') >= brokers):
                return
            if not self.alive():
                break
            time.sleep(0.1)
        self.down()
        sys.exit(f"kafka: the broker did not start, see {self.home / 'log'}")

    def restart(self, port):
        """After down(), with the data that it had."""
        self.launch(port)
        self.wait(1)

    def down(self):
        """kill -9: nothing of a test's data needs an orderly shutdown."""
        state = self.state()
        if not state:
            return
        if self.alive():
            os.kill(state['pid'], signal.SIGKILL)
            end = time.monotonic() + STOP_S
            while self.alive() and time.monotonic() < end:
                time.sleep(0.02)
        if self.java:
            self.java.wait()
            self.java = None
        self.state_file.unlink(missing_ok=True)


class Cluster:
    """Three brokers, each a controller too; replication 3, two in sync. Any may be killed and
    started again."""

    nodes = (1, 2, 3)
    # Three on a small machine: less memory, and the quick compiler only.
    options = ('-Xmx256m', '-XX:TieredStopAtLevel=1')

    def __init__(self, folder):
        self.folder = pathlib.Path(folder).resolve()
        self.brokers = {node: Broker(self.folder / f'node-{node}', node) for node in self.nodes}
        self.ports = {}

    @property
    def address(self):
        return ','.join(f'127.0.0.1:{port}' for port in self.ports.values())

    def alive(self):
        return any(broker.alive() for broker in self.brokers.values())

    def up(self, **properties):
        first = free_ports(2 * len(self.nodes))
        self.ports = {node: first + 2 * at for at, node in enumerate(self.nodes)}
        controllers = {node: port + 1 for node, port in self.ports.items()}
        cluster = new_cluster_id()
        began = time.monotonic()
        jars()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(lambda node: self.brokers[node].format(
                self.ports[node], controllers, cluster, properties), self.nodes))
        for node in self.nodes:
            self.launch(node)
        for broker in self.brokers.values():
            broker.wait(len(self.nodes))
        say(f'three nodes of Kafka {VERSION} answer on {self.address} after '
            f'{time.monotonic() - began:.1f} s')

    def in_sync(self):
        """True when every replica of every partition is."""
        listing = subprocess.run(['kcat', '-b', self.address, '-L', '-m', '5'],
                                 capture_output=True, text=True, check=False).stdout
        replicas = re.findall(r'leader (\d+), replicas: ([\d,]+), isrs: ([\d,]+)', listing)
        return bool(replicas) and all(len(wanted) == len(there) for _, wanted, there in replicas)

    def kill(self, node):
        self.brokers[node].down()

    def launch(self, node):
        self.brokers[node].launch(self.ports[node], *self.options)

    def down(self):
        for broker in self.brokers.values():
            broker.down()


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in ('up', 'down') or sys.argv[3:] not in ([], ['3']):
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / 'lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Also those that a test had for itself and was killed before it could stop.
        for left in [folder / 'kafka.json', *folder.glob('*/kafka.json'),
                     *folder.glob('*/node-*/kafka.json')]:
            Broker(left.parent).down()
        if sys.argv[1] == 'up':
            brokers = Cluster(folder) if sys.argv[3:] else Broker(folder)
            brokers.up()
            print(brokers.address)


if __name__ == '__main__':
    main()
