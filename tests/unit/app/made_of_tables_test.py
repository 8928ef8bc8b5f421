#!/usr/bin/env python3
"""What the program makes of its own tables: completions, manual, schemas.

usage: made_of_tables_test.py KANCEL [NAME...]
"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

KANCEL = sys.argv.pop(1)
ROOT = pathlib.Path(__file__).resolve().parents[3]
SUBCOMMANDS = ['worker', 'check', 'send', 'watch', 'redrive', 'health', 'schema', 'completion', 'manual']


def run(*command, code=0, text=None):
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != code:
        raise AssertionError(f'{command}: {done.returncode}: {done.stdout}{done.stderr}')
    return done.stdout


def options_of(subcommand):
    """As --help shows them."""
    lines = run(KANCEL, subcommand, '--help').splitlines()
    return [line.split('--', 1)[1].split('[')[0].split()[0].split('=')[0] for line in lines
            if line.startswith('  -') or line.startswith('      --')]


class Completion(unittest.TestCase):
    def bash(self, *words):
        """What bash offers for the last word."""
        script = ('source <("$1" completion bash); shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
                  '_kancel; printf "%s\\n" "${COMPREPLY[@]}"')
        return set(run('bash', '-uc', script, 'bash', KANCEL, 'kancel', *words).split())

    def test_bash_offers_subcommands(self):
        self.assertEqual({*SUBCOMMANDS, '--help', '--version'}, self.bash(''))
        self.assertEqual({'send', 'schema'}, self.bash('s'))

    def test_bash_offers_every_option(self):
        for subcommand in SUBCOMMANDS:
            with self.subTest(subcommand):
                wanted = {f'--{name}' for name in options_of(subcommand)}
                self.assertEqual(wanted, self.bash(subcommand, '--'))

    def test_bash_offers_values_and_operands(self):
        self.assertEqual({'accepted', 'settled'}, self.bash('send', '--until', ''))
        self.assertEqual({'settled'}, self.bash('send', '--until', '=', 's'))
        self.assertEqual({'refused'}, self.bash('watch', '-o', 'r'))
        self.assertEqual({'enos', 'scnet', 'iotda', 'koodrive'}, self.bash('send', ''))
        self.assertEqual({'enos', 'scnet', 'iotda', 'koodrive'},
                         self.bash('send', '--topic', 'x', '-w', ''))
        self.assertEqual({'cancel', 'status'}, self.bash('send', '--until=settled', 'scnet', ''))
        self.assertEqual(set(), self.bash('send', '--id', ''))
        with tempfile.NamedTemporaryFile(suffix='.csv') as file:
            self.assertEqual({file.name}, self.bash('send', '-f', file.name[:-3]))

    def test_other_shells_take_their_scripts(self):
        for shell in ('zsh', 'fish'):
            script = run(KANCEL, 'completion', shell)
            for subcommand in SUBCOMMANDS:
                self.assertIn(subcommand, script)
                for name in set(options_of(subcommand)) - {'help', 'version'}:
                    self.assertIn(name, script)
            if shutil.which(shell):
                run(shell, '-n', '/dev/stdin', text=script)
        if shutil.which('fish'):
            offered = run('fish', '-c', f'{KANCEL} completion fish | source; '
                                        'complete -C "kancel send --until "').splitlines()
            self.assertEqual(['accepted', 'settled'], [line.split('\t')[0] for line in offered])
        if shutil.which('zsh'):
            said = run('zsh', '-fc', 'autoload -U compinit; compinit -D; '
                                     f'source <({KANCEL} completion zsh); echo $_comps[kancel]')
            self.assertEqual('_kancel\n', said)

    def test_an_unknown_shell_is_refused(self):
        run(KANCEL, 'completion', 'tcsh', code=2)
        run(KANCEL, 'completion', code=2)


class Manual(unittest.TestCase):
    def shown(self, page):
        """The page as a reader sees it, or its source where there is no formatter."""
        source = run(KANCEL, 'manual', page)
        self.assertTrue(source.startswith(f'.TH {page} '), source[:40])
        if shutil.which('groff'):
            done = subprocess.run(['groff', '-ww', '-man', '-Tutf8', '-P-cbou'], input=source,
                                  capture_output=True, text=True, timeout=60, check=True)
            self.assertEqual('', done.stderr)
            return done.stdout
        return source.replace('\\-', '-').replace('\\fB', '').replace('\\fR', '')

    def test_the_first_page_has_every_option(self):
        text = self.shown('kancel')
        for subcommand in SUBCOMMANDS:
            self.assertIn(f'kancel {subcommand}', text)
            for name in set(options_of(subcommand)) - {'help', 'version'}:
                self.assertIn(f'--{name}', text)

    def test_the_fifth_page_has_every_key(self):
        text = self.shown('kancel.yaml')
        for key in ('kafka.bootstrap_servers', 'delivery', 'worker.deny_addresses', 'accounts.*.limits.rate',
                    'accounts.*.auth.app_key', 'accounts.*.user_id', 'log.level'):
            self.assertIn(key, text)
        self.assertIn('200ms..30s', text)

    def test_an_unknown_page_is_refused(self):
        run(KANCEL, 'manual', 'kafka', code=2)


class Schema(unittest.TestCase):
    def test_documents_are_those_of_the_source(self):
        for name, file in (('command', 'command.schema.json'), ('result', 'result.schema.json'),
                           ('asyncapi', 'asyncapi.yaml')):
            self.assertEqual((ROOT / 'proto' / file).read_text('utf-8'), run(KANCEL, 'schema', name))
        json.loads(run(KANCEL, 'schema', 'command'))

    def test_all_are_written_into_a_folder(self):
        with tempfile.TemporaryDirectory() as folder:
            run(KANCEL, 'schema', '--into', folder)
            self.assertEqual({'command.schema.json', 'result.schema.json', 'asyncapi.yaml'},
                             {path.name for path in pathlib.Path(folder).iterdir()})
        run(KANCEL, 'schema', '--into', '/nowhere/at/all', code=1)

    def test_what_there_is_not_is_refused(self):
        run(KANCEL, 'schema', 'comand', code=2)
        run(KANCEL, 'schema', code=2)


class Help(unittest.TestCase):
    def test_every_subcommand_is_listed_and_helps(self):
        text = run(KANCEL, '--help')
        for subcommand in SUBCOMMANDS:
            self.assertIn(f'  {subcommand} ', text)
            self.assertIn(f'usage: kancel {subcommand}', run(KANCEL, subcommand, '--help'))
        for provider in ('enos', 'scnet', 'iotda', 'koodrive'):
            self.assertIn(f'  {provider} ', text)


if __name__ == '__main__':
    unittest.main(verbosity=2)
