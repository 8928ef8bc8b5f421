"""What docker/screenshots.sh shows: a worker with one command that is stuck, one account that its provider throttles, one
whose provider is away, and two that are fine."""

import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

import support
from credentials import DevelopmentKafka
from page import Browser
from support import ENOS, IOTDA, KOODRIVE, SCNET, WORKER, Worker, wait_for

OUT = pathlib.Path(sys.argv.pop())
MOMENT_S = 45  # of load before the pictures are taken: so much of the curves is seen

# A file with what people get wrong.
MISTAKES = '''\
kafka:
  bootstrap_server: kafka-1:9092
  commands: [task-commands, task-results]
worker:
  drain: 25
accounts:
  drive:
    provider: koodrive
    endpoint: https://cn.myhuaweicloud-koodrive.com
    user_id: '1505'
    auth: {token: '${KOODRIVE_TOKEN}'}
    limits: {concurency: 20}
  hpc:
    provider: scnet
    endpoint: http://efile.example/efile
    auth: {sign_in: 'https://api.example', user: bob, access_key: ak}
'''


class Terminal:
    """A shell in tmux, 130 columns wide, whose screen is kept as text."""

    def __init__(self, test, rows=36):
        self.socket = test.folder / 'tmux'
        self.tmux('new-session', '-d', '-x', '130', '-y', str(rows), 'bash', '--norc')
        test.addCleanup(self.tmux, 'kill-server')
        self.type(f"PS1='$ '; PATH={pathlib.Path(WORKER).parent}:$PATH; cd {test.folder}; clear")

    def tmux(self, *words):
        return subprocess.run(['tmux', '-S', self.socket, *words], check=True,
                              stdout=subprocess.PIPE, text=True).stdout

    def type(self, line):
        self.tmux('send-keys', '-l', line)
        self.tmux('send-keys', 'Enter')

    def interrupt(self):
        self.tmux('send-keys', 'C-c')

    def screen(self):
        lines = [line.rstrip() for line in self.tmux('capture-pane', '-p').splitlines()]
        return '\n'.join(lines).strip('\n')

    def shows(self, text):
        return wait_for(f'"{text}" on the screen', lambda: text in self.screen() and self.screen())

    def run(self, line):
        """The screen once the prompt is back."""
        self.type('clear')
        wait_for('a clear screen', lambda: self.screen() == '$')
        self.type(line)
        wait_for('the prompt', lambda: self.screen().endswith('\n$'))
        return self.screen().removesuffix('\n$')


class Kafka(DevelopmentKafka):
    """With names as in the documents, in place of the tests' own."""

    def create(self, *specs):
        super().create('task-commands:4', 'task-results:4', 'task-commands-dead:1')


class Looks(support.SystemTest):
    def open_kafka(self):
        return Kafka(self)

    def setUp(self):
        super().setUp()
        self.group, self.commands, self.results = 'kancel', 'task-commands', 'task-results'
        self.dead = 'task-commands-dead'

    def worker_config(self, **settings):
        config = super().worker_config(**settings)
        usual = {'retry': {'attempts': 100, 'backoff': '1s..5s', 'give_up_after': '30m'}}
        for account in config['accounts'].values():
            account.update(usual)
        config['accounts'][ENOS]['limits'] = {'timeout': '10m'}
        config['accounts'][SCNET]['limits'] = {'rate': '20/s'}
        config['kafka']['reply_topics'] = []
        config['kafka']['properties'] = {'fetch.wait.max.ms': '10', 'statistics.interval.ms': '1000'}
        config['worker'] = {'stuck_after': '20s'}
        config['log'] = {'level': 'info'}
        token = self.folder / 'token'
        token.write_text('sesame')
        token.chmod(0o600)
        config['admin'] = {'token': {'file': str(token)}}
        return config

    def scene(self):
        """One command that is stuck and one behind it; a provider that is away; one that throttles."""
        self.simulator.fault({'task': 'dl-20261126-0042'}, {'hang': True}, times=-1)
        self.simulator.fault({'provider': 'koodrive'}, {'status': 503, 'body': 'away'}, times=-1)
        self.simulator.fault({'provider': 'scnet'}, {'throttle': True, 'retry_after': 4}, times=-1, every=3)
        self.simulator.tasks({'provider': 'iotda', 'id': 'f00d', 'state': 'succeeded'})
        stuck = {'channelId': 'read-7', 'taskId': 'dl-20261126-0042'}
        self.kafka.produce([
            self.command('nightly-export-42', 'cancel', 'enos', stuck, key='dl-20261126-0042'),
            self.command('nightly-export-42-again', 'cancel', 'enos', stuck, key='dl-20261126-0042')])

    def load(self):
        number = 0
        while not self.over.is_set():
            batch = []
            for _ in range(12):
                number += 1
                batch += [
                    self.command(f'stop-{number}', 'cancel', 'iotda',
                                 {'taskId': 'f00d' if number % 9 == 0 else f'{number:x}',
                                  **({'targets': [f'd-{number}']})}, key=f'i{number}'),
                    self.command(f'export-{number}', 'cancel', 'enos',
                                 {'channelId': 'read-7', 'taskId': f'dl-{number}'}, key=f'e{number}')]
            batch += [self.command(f'copy-{number}-{i}', 'status', 'scnet', {'taskIds': [f'cp-{number}-{i}']},
                                   key=f's{number}-{i}') for i in range(4)]
            if number % 60 == 12:
                batch += [self.command(f'upload-{number}', 'cancel', 'koodrive', {'jobId': f'{number}'},
                                       key=f'd{number}'),
                          self.raw('{"id": "job-%d", "operation": "cancle"}' % number, key=f'r{number}')]
            self.kafka.produce(batch)
            self.over.wait(0.6)

    def test_page(self):
        self.worker = Worker(self).ready()
        self.over = threading.Event()
        self.scene()
        load = threading.Thread(target=self.load)
        load.start()
        self.addCleanup(load.join)
        self.addCleanup(self.over.set)
        browser = Browser(self, width=1240, height=1180)
        browser.open(f'http://127.0.0.1:{self.worker.admin_port}/')
        # So long the curves have to grow.
        time.sleep(MOMENT_S)
        self.picture(browser, 'page-light', 'light', 1240, 1640)
        self.picture(browser, 'page-dark', 'dark', 1240, 1040)
        self.picture(browser, 'page-phone', 'light', 390, 2600, mobile=True)
        errors = [line for line in browser.log('browser') if line['level'] == 'SEVERE']
        self.assertEqual([], errors)

    def picture(self, browser, name, scheme, width, height, mobile=False):
        browser.emulate('setEmulatedMedia', features=[{'name': 'prefers-color-scheme', 'value': scheme}])
        browser.emulate('setScrollbarsHidden', hidden=True)
        browser.emulate('setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=1,
                        mobile=mobile)
        wide = 'return innerWidth'
        wait_for('the width', lambda: browser.run(wide) == width)
        browser.screenshot(OUT / f'{name}.png')

    def test_terminal(self):
        shutil.copy(pathlib.Path(WORKER), self.folder / 'kancel')
        os.environ.pop('KOODRIVE_TOKEN', None)
        (self.folder / 'mistakes.yaml').write_text(MISTAKES)
        rows = ''.join(f'{i},cp-{i}\n' for i in range(1, 401))
        (self.folder / 'tasks.csv').write_text('id,taskIds\n' + rows)
        self.simulator.request('POST', 'options', {'delay_ms': 300})
        self.simulator.tasks({'provider': 'scnet', 'id': 'cp-7', 'state': 'succeeded'},
                             {'provider': 'scnet', 'id': 'cp-8', 'state': 'missing'})
        self.worker = Worker(self, name='kancel').ready()
        self.kafka.produce([self.raw('{"id": "job-7", "operation": "cancle"}'), self.raw('not JSON', key='x')])
        self.kafka.consume(self.dead, count=2)
        terminal = Terminal(self)
        shown = [terminal.run('kancel --help'), terminal.run('kancel check -c mistakes.yaml'),
                 terminal.run('kancel send -w iotda cancel 5c90fa7d --targets d-1,d-2')]
        terminal.type('clear')
        terminal.type('kancel send -w=1m -f tasks.csv scnet cancel')
        wait_for('the bar half way', lambda: 'answered' in terminal.screen() and
                 ' 0 of' not in terminal.screen())
        shown.append(terminal.screen())
        wait_for('the prompt', lambda: terminal.screen().endswith('\n$'))
        shown.append('...\n' + '\n'.join(terminal.screen().removesuffix('\n$').splitlines()[-3:]))
        shown.append(terminal.run('kancel redrive'))
        terminal.type('clear')
        terminal.type('kancel watch -b -p iotda')
        terminal.shows('succeeded')
        shown.append(terminal.screen())
        terminal.interrupt()
        (OUT / 'terminal.txt').write_text('\n\n'.join(shown) + '\n')


if __name__ == '__main__':
    support.main()
