#!/usr/bin/env python3
"""The command line against a real Kafka: sending many, watching, redriving, looking before one starts."""


import json
import os
import pty
import signal
import subprocess

import support
from support import SCNET, WORKER, wait_for


class Terminal:
    """A command that believes that it sits at a terminal; `text` is what it has shown so far."""

    def __init__(self, test, *words):
        master, slave = pty.openpty()
        self.process = subprocess.Popen([WORKER, *map(str, words)], stdin=slave, stdout=slave,
                                        stderr=slave, start_new_session=True)
        os.close(slave)
        self.master = master
        self.text = ''
        os.set_blocking(master, False)
        test.addCleanup(self.end)

    def read(self):
        try:
            self.text += os.read(self.master, 65536).decode()
        except BlockingIOError:
            pass
        except OSError:
            return False  # the other side is closed
        return True

    def wait_for(self, text):
        wait_for(f'"{text}"', lambda: not self.read() or text in self.text)
        if text not in self.text:
            raise AssertionError(f'never said "{text}": {self.text}')

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def wait(self):
        wait_for('its end', lambda: not self.read())
        return self.process.wait(support.PATIENCE_S)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)


class CommandLine(support.SystemTest):
    def setUp(self):
        super().setUp()
        self.file = self.folder / 'cli.yaml'
        self.write_config()

    def write_config(self, **settings):
        self.config = self.worker_config(**settings)
        self.file.write_text(json.dumps(self.config))

    def kancel(self, subcommand, *words, code=0, text=None):
        """Runs it to its end; what it says on stdout (stderr is in self.stderr)."""
        done = subprocess.run([WORKER, subcommand, '-c', self.file, *map(str, words)], text=True,
                              input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=support.PATIENCE_S, check=False)
        self.stderr = done.stderr
        self.assertEqual(code, done.returncode, done.stdout + done.stderr)
        return done.stdout

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    # ---- send

    def test_rows_of_a_table_are_sent_and_answered(self):
        support.Worker(self)
        rows = ''.join(f'c-{i},t-{i}\n' for i in range(50))
        file = self.write('many.csv', 'id,task\n' + rows)
        lines = self.kancel('send', '-w=1m', '-f', file, '-a', SCNET, 'scnet', 'cancel').split('\n')
        results = [json.loads(line) for line in lines if line]
        self.assertEqual({f'c-{i}' for i in range(50)}, {one['commandId'] for one in results})
        self.assertEqual({'succeeded'}, {one['outcome'] for one in results})
        # The worst outcome is the exit code, and a row that is no command is named.
        self.simulator.tasks({'provider': 'scnet', 'id': 'gone', 'state': 'succeeded'})
        file = self.write('worse.csv', 'id,task\nd-1,gone\nd-2,a b c d a\n')
        self.kancel('send', '-w=1m', '-f', file, 'scnet', 'cancel', code=2)
        self.assertIn('line 3', self.stderr)

    def test_a_terminal_shows_a_bar_and_a_table(self):
        support.Worker(self)
        rows = ''.join(f'c-{i},t-{i}\n' for i in range(30))
        file = self.write('many.csv', 'id,task\n' + rows)
        terminal = Terminal(self, 'send', '-c', self.file, '-w=1m', '-f', file, 'scnet', 'cancel')
        self.assertEqual(0, terminal.wait(), terminal.text)
        self.assertIn('30 sent: succeeded 30, open 0', terminal.text)
        self.assertIn(' of 30 answered: ', terminal.text)
        self.assertIn('[', terminal.text)

    def test_ctrl_c_asks_once_and_then_names_what_is_open(self):
        terminal = Terminal(self, 'send', '-c', self.file, '-w=10m', '--id', 'c-1', 'scnet',
                            'cancel', 't-1')
        self.kafka.consume(self.commands, count=1)  # nobody works on it
        terminal.interrupt()
        terminal.wait_for('Still open: 1. Ctrl-C again leaves')
        terminal.interrupt()
        self.assertEqual(1, terminal.wait(), terminal.text)
        self.assertIn('c-1: still open', terminal.text)

    # ---- watch

    def test_watch_shows_the_results_that_fit(self):
        support.Worker(self)
        self.kafka.produce([self.command('c-1', 'cancel', 'scnet', {'taskIds': ['t-1']}),
                            self.command('c-2', 'status', 'koodrive', {'jobId': '1001'}),
                            self.raw('{"id":"c-3"}')])
        self.answers(3)
        all_of_them = self.kancel('watch', '-b', '--until-end').split('\n')
        self.assertEqual(['c-1', 'c-2', 'c-3'],
                         [json.loads(line)['commandId'] for line in all_of_them if line])
        for filters, wanted in ((('-p', 'scnet'), 'c-1'), (('-o', 'invalid'), 'c-3'),
                                (('--operation', 'status'), 'c-2'), (('--command', 'c-2'), 'c-2'),
                                (('-a', SCNET), 'c-1')):
            with self.subTest(filters):
                line = self.kancel('watch', '-b', '--until-end', *filters)
                self.assertEqual(wanted, json.loads(line)['commandId'])
        self.assertEqual('', self.kancel('watch', '--until-end'), 'only what comes from now on')

    def test_watch_follows_until_it_is_interrupted(self):
        support.Worker(self)
        terminal = Terminal(self, 'watch', '-c', self.file, '-b')
        self.kafka.produce([self.command('c-1', 'cancel', 'scnet', {'taskIds': ['t-1']})])
        terminal.wait_for('c-1')
        terminal.interrupt()
        self.assertEqual(0, terminal.wait(), terminal.text)
        self.assertIn('outcome', terminal.text)


if __name__ == '__main__':
    support.main()
