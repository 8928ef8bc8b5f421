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

    missing = None  # an account that is not configured

    def worker_config(self, **settings):
        config = super().worker_config(**settings)
        config['accounts'].pop(self.missing, None)
        return config

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

    def test_progress_is_no_answer(self):
        support.Worker(self)
        self.simulator.tasks({'provider': 'enos', 'id': 't-1', 'parent': 'ch-1',
                              'cancelling_ms': 500})
        file = self.write('one.ndjson', json.dumps({
            'id': 'c-1', 'operation': 'cancel', 'provider': 'enos', 'until': 'settled',
            'progress': True, 'task': {'channelId': 'ch-1', 'taskId': 't-1'}}) + '\n')
        result = json.loads(self.kancel('send', '-w=1m', '-f', file))
        self.assertEqual((True, 'succeeded', 'cancelled'),
                         (result['final'], result['outcome'], result['state']))
        told = [record.json for record in self.kafka.consume(self.results, count=2)]
        self.assertEqual([(False, 'cancelling'), (True, 'cancelled')],
                         [(one['final'], one['state']) for one in told])
        self.assertEqual(told[1]['id'] + '-cancelling', told[0]['id'])

    def test_a_terminal_shows_a_bar_and_a_table(self):
        rows = ''.join(f'c-{i},t-{i}\n' for i in range(30))
        file = self.write('many.csv', 'id,task\n' + rows)
        terminal = Terminal(self, 'send', '-c', self.file, '-w=1m', '-f', file, 'scnet', 'cancel')
        terminal.wait_for('0 of 30 answered: ')
        support.Worker(self)
        self.assertEqual(0, terminal.wait(), terminal.text)
        self.assertIn('30 sent: succeeded 30, open 0', terminal.text)

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

    # ---- check --online

    def test_check_online_says_what_a_worker_would_meet(self):
        lines = self.kancel('check', '--online', '-q').splitlines()
        said = '\n'.join(lines)
        self.assertIn(f'topic {self.commands}: 1 partitions, 1 replicas', said)
        self.assertIn(f'permission to read topic {self.commands}: given', said)
        self.assertIn(f'permission to write topic {self.results}: given', said)
        self.assertIn(f'group {self.group}: may be used', said)
        self.assertIn('transactions: may be used', said)
        self.assertIn(f'account {SCNET}: {self.simulator.endpoint}/efile answers', said)
        self.assertIn(f'account {support.ENOS}: credentials are accepted', said)
        self.assertTrue(lines[-1].startswith('0 bad'), said)
        self.assertEqual([], self.simulator.ledger()['tasks'], 'no task was touched')

    def test_check_online_names_every_trouble(self):
        self.write_config(kafka={'commands': ['nobody-made-this'], 'results': 'nor-this'}, accounts={
            support.ENOS: {'auth': {'app_secret': 'wrong-secret'}},
            SCNET: {'endpoint': 'http://127.0.0.1:1/efile'}})
        said = self.kancel('check', '--online', '-q', code=1)
        self.assertRegex(said, r'BAD +topic nobody-made-this: there is none')
        self.assertRegex(said, r'warn +topic nor-this: there is none')
        self.assertRegex(said, rf'BAD +account {SCNET}: http://127.0.0.1:1/efile: ')
        self.assertRegex(said, rf'BAD +account {support.ENOS}: sign-in: unauthorized')
        self.assertNotIn('wrong-secret', said)
        self.write_config(kafka={'bootstrap_servers': '127.0.0.1:1'})
        self.assertRegex(self.kancel('check', '--online', '-q', code=1), r'BAD +brokers 127.0.0.1:1')

    # ---- redrive

    def bury(self, count):
        """So many commands that no account was there for; they stand in the dead-letter topic."""
        self.missing = support.ENOS
        worker = support.Worker(self)
        self.missing = None
        self.kafka.produce([self.command(f'c-{i}', 'cancel', 'enos',
                                         {'channelId': 'ch', 'taskId': f't-{i}'}, key=f'k{i % 7}',
                                         headers=[['trace', f'{i}']])
                            for i in range(count)])
        self.kafka.consume(self.dead, count=count)
        self.assertEqual(0, worker.stop())

    def letters(self, *words, code=0):
        return [json.loads(line) for line in self.kancel('redrive', *words, code=code).split('\n')
                if line]

    def test_dead_letters_are_listed_and_sent_back_once(self):
        self.bury(3)
        self.kafka.produce([{'topic': self.dead, 'value': 'not ours', 'headers': []}])
        letters = self.letters()
        self.assertEqual(3, len(letters))
        first, second, third = (letter['offset'] for letter in letters)
        self.assertIn('no account', letters[0]['reason'])
        self.assertEqual([], self.letters('--reason', 'something else'))
        self.assertEqual(3, len(self.kafka.consume(self.commands, quiet_ms=500)), 'a dry run')
        self.kancel('redrive', '--send', code=2)
        self.assertIn('choose by', self.stderr)
        place = f'0:{second}'
        self.assertEqual([second], [one['offset'] for one in self.letters('--send', place)])
        self.assertEqual([], self.letters('--send', place), 'never twice')
        self.assertEqual([first, third], [letter['offset'] for letter in self.letters()])
        self.assertEqual(2, len(self.letters('--send', '--all')))
        self.assertEqual([], self.letters('--send', '--all'))
        before, after = [], []
        for record in self.kafka.consume(self.commands, quiet_ms=500):
            (after if 'kancel-redriven' in record.headers else before).append(record)
        self.assertEqual(3, len(after))
        after.sort(key=lambda record: record.json['id'])
        for was, now in zip(before, after):
            self.assertEqual((was.key, was.value), (now.key, now.value))
            origin = now.headers.pop('kancel-redriven').decode()
            self.assertTrue(origin.startswith(f'{self.dead}-0-'), origin)
            self.assertEqual(was.headers, now.headers)
        # Now that there is an account they are done; a mark is no letter.
        support.Worker(self)
        self.kafka.consume(self.results, count=6)
        self.assertEqual([], self.letters())

    def test_a_letter_of_another_topic_is_not_sent_back(self):
        self.bury(1)
        self.write_config(kafka={'commands': ['elsewhere']})
        letter, = self.letters('--send', '--all', code=3)
        self.assertIn('none of kafka.commands', letter['hindrance'])

    def test_killed_and_competing_redrives_send_each_letter_once(self):
        self.bury(600)
        command = [WORKER, 'redrive', '-c', self.file, '--send', '--all']
        for _ in range(3):
            rival = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            doomed = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            doomed.stdout.read(1)  # something was committed, or it has left
            doomed.kill()
            doomed.communicate()
            rival.communicate()
        self.letters('--send', '--all')
        self.assertEqual([], self.letters())
        redriven = [record.json['id'] for record in self.kafka.consume(self.commands, quiet_ms=500)
                    if 'kancel-redriven' in record.headers]
        self.assertEqual(600, len(redriven))
        self.assertEqual(600, len(set(redriven)))


if __name__ == '__main__':
    support.main()
