#!/usr/bin/env python3
"""Every way to authenticate, over every operation: signed, signed in, renewed, refused, changed.

Kafka is kancel-broker here: what is shown is between the worker and the providers, whose simulator
recomputes every signature and counts what does not fit.
"""

import itertools
import json
import os
import re
import unittest

import support
from support import PROJECT, wait_for

BROKER = os.environ['KANCEL_BROKER']
NUMBERS = itertools.count(1)

# What must never leave the worker: secrets as the simulator starts with them. Tokens that it issues
# begin with these words.
SECRETS = ('app-secret', 'secret-key', 'temporary-secret', 'security-token', 'scnet-token',
           'iotda-token', 'koodrive-token', 'pass-word-1', 'enos-token-', 'iam-token-',
           '.simulated-', 'not-for-any-log')


class DevelopmentKafka(support.Kafka):
    """kancel-broker, started with the topics that a test creates."""

    def __init__(self, test):
        self.test = test

    def create(self, *specs):
        folder = self.test.folder
        port_file = folder / 'broker.port'
        topics = [word for spec in specs
                  for word in ('--topic', ':'.join(spec.split(':')[:2]))]
        process = support.Process([BROKER, '--port', '0', '--port-file', port_file, *topics],
                                  folder / 'broker.log')
        self.test.addCleanup(process.end)
        wait_for('the broker', port_file.exists)
        self.address = f'127.0.0.1:{int(port_file.read_text())}'


def auths(port):
    """Account name -> its settings. One account a way to authenticate."""
    base = f'http://127.0.0.1:{port}'
    # The host decides on the signature; *.localhost is this machine.
    instance = f'http://abc.st1.iotda-app.cn-north-4.localhost:{port}'
    scnet = {'provider': 'scnet', 'endpoint': f'{base}/efile'}
    scnet_user = {'sign_in': base, 'user': 'user', 'cluster_id': '11112'}
    iotda = {'provider': 'iotda', 'endpoint': base, 'project_id': PROJECT}
    drive = {'provider': 'koodrive', 'endpoint': base, 'user_id': '1505'}
    enos = {'provider': 'enos', 'endpoint': base, 'org_id': 'o1'}
    key = {'access_key': 'access-key', 'secret_key': 'secret-key'}
    temporary = {'access_key': 'temporary-key', 'secret_key': 'temporary-secret',
                 'security_token': 'security-token+/=='}
    own = {'endpoint': instance, 'insecure_http': True}
    return {
        'enos': {**enos, 'auth': {'app_key': 'app-key', 'app_secret': 'app-secret'}},
        'enos-bearer': {**enos, 'auth': {'app_key': 'app-key', 'app_secret': 'app-secret',
                                         'bearer': True}},
        'scnet-fixed': {**scnet, 'auth': {'token': 'scnet-token'}},
        'scnet-key': {**scnet, 'auth': {**scnet_user, **key}},
        'scnet-password': {**scnet, 'auth': {**scnet_user, 'password': 'pass-word-1',
                                             'org_id': 'org'}},
        'iotda-fixed': {**iotda, 'auth': {'token': 'iotda-token'}},
        'iotda-iam': {**iotda, 'auth': {'iam': {'endpoint': base, 'user': 'user',
                                                'password': 'pass-word-1', 'domain': 'domain',
                                                'project': 'project'}}},
        'iotda-standard': {**iotda, 'auth': key},
        'iotda-derived': {**iotda, **own, 'auth': key},
        'iotda-instance': {**iotda, **own, 'instance_id': 'inst-1', 'auth': key},
        'iotda-temporary': {**iotda, 'auth': temporary},
        'iotda-temporary-derived': {**iotda, **own, 'auth': temporary},
        'koodrive-fixed': {**drive, 'auth': {'token': 'Bearer+koodrive-token'}},
        'koodrive-app': {**drive, 'auth': {'app_id': 'app-id', 'app_secret': 'app-secret'}},
    }


# Those whose calls or sign-ins are signed or carry a password, and the secret to spoil.
PROVED = {
    'enos': ('app_secret', 'app-secret'),
    'scnet-key': ('secret_key', 'secret-key'),
    'iotda-iam': ('iam.password', 'pass-word-1'),
    'iotda-derived': ('secret_key', 'secret-key'),
    'koodrive-app': ('app_secret', 'app-secret'),
}


def tasks(provider):
    """(name, operation, task, more) of every operation, each with tasks of its own."""
    number = next(NUMBERS)
    if provider == 'enos':
        task = {'channelId': 'ch-1', 'taskId': f't-{number}'}
        return [('cancel', 'cancel', task, {}), ('status', 'status', task, {})]
    if provider == 'scnet':
        task = {'taskIds': [f's-{number}', f'r-{number}']}
        return [('cancel', 'cancel', task, {}), ('status', 'status', task, {})]
    if provider == 'koodrive':
        task = {'jobId': str(number)}
        return [('cancel', 'cancel', task, {'until': 'settled'}), ('status', 'status', task, {})]
    task = {'taskId': f'{number:x}a'}
    return [('targets', 'cancel', {**task, 'targets': ['d-1', 'd-2']}, {}),
            ('all', 'cancel', {'taskId': f'{number:x}b', 'all': True}, {}),
            ('settled', 'cancel', {'taskId': f'{number:x}c', 'targets': ['d-1']},
             {'until': 'settled'}),
            ('status', 'status', task, {})]


class Credentials(support.SystemTest):
    def open_kafka(self):
        return DevelopmentKafka(self)

    def setUp(self):
        super().setUp()
        self.simulator.request('POST', 'credentials', {
            'scnet': {'password': 'pass-word-1'}, 'iam': {'password': 'pass-word-1'}})
        self.accounts = auths(self.simulator.port)
        self.seen = []

    def worker_config(self, **settings):
        config = super().worker_config(**settings)
        usual = {'retry': {'attempts': 4, 'backoff': '20ms..200ms', 'give_up_after': '30s'},
                 'settle': {'poll': '50ms..500ms', 'limit': '1m'}}
        config['accounts'] = {name: {**usual, **account}
                              for name, account in self.accounts.items()}
        config['kafka']['properties'] = {'fetch.wait.max.ms': '10'}
        return config

    def ask(self, accounts):
        """Sends every operation of these accounts; the results by (account, operation's name)."""
        commands = []
        for name in accounts:
            for what, operation, task, more in tasks(self.accounts[name]['provider']):
                id = f'{next(NUMBERS)}/{name}/{what}'
                commands.append(self.command(id, operation, self.accounts[name]['provider'], task,
                                             key=id, account=name, **more))
        self.kafka.produce(commands)
        self.seen = wait_for(
            'the results', lambda: self.results_beyond(len(self.seen) + len(commands)))
        by_id = {record.json['commandId']: record.json for record in self.seen}
        return {tuple(id.split('/')[1:]): by_id[id]
                for id in (json.loads(command['value'])['id'] for command in commands)}

    def results_beyond(self, count):
        records = self.kafka.consume(self.results, count=count)
        return records if len(records) >= count else None

    def operations(self, provider):
        return self.simulator.summary()['operations'][provider]

    def assert_succeeded(self, results):
        for key, result in results.items():
            with self.subTest('/'.join(key)):
                self.assertEqual('succeeded', result['outcome'], result)

    def assert_no_secret(self, worker):
        texts = {'log': worker.log.read_text(), 'metrics': worker.admin('/metrics')[1],
                 'results': ''.join(record.value.decode() for record in self.seen)}
        for where, text in texts.items():
            for secret in SECRETS:
                self.assertNotIn(secret, text, where)

    def test_every_way_to_authenticate_does_every_operation(self):
        worker = support.Worker(self)
        self.simulator.request('POST', 'credentials', {'iotda': {'project_id': PROJECT}})
        self.assert_succeeded(self.ask(self.accounts))
        self.assert_no_violation()
        self.assert_no_secret(worker)
        # One sign-in an account, whatever the number of commands; signing keys need none.
        self.assertEqual([2, 2, 1], [self.operations(provider)['sign_in']
                                     for provider in ('enos', 'scnet', 'iam')])
        wait_for('the counter', lambda: worker.metric('kancel_sign_ins_total') == 5)
        self.assertEqual(0, worker.metric('kancel_credentials_refused_total'))
        self.assertEqual(0, worker.stop())

    def test_tokens_are_renewed_while_calls_go_on(self):
        self.accounts = {name: self.accounts[name]
                         for name in ('enos', 'scnet-key', 'scnet-password', 'iotda-iam')}
        self.simulator.request('POST', 'credentials', {
            provider: {'token_ms': 3000} for provider in ('enos', 'scnet', 'iam')})
        worker = support.Worker(self)

        def renewed():
            self.assert_succeeded(self.ask(self.accounts))
            return (self.operations('enos')['renew'] >= 2 and
                    self.operations('scnet')['renew'] >= 4 and
                    self.operations('iam')['sign_in'] >= 3)
        wait_for('two renewals each', renewed)
        self.assert_no_violation()
        self.assert_no_secret(worker)
        # Renewals, not new sign-ins: on a loaded machine one may come too late.
        self.assertLessEqual(self.operations('enos')['sign_in'], 3)
        self.assertLessEqual(self.operations('scnet')['sign_in'], 6)
        self.assertEqual(0, worker.stop())

    def test_an_expired_token_is_renewed_once_and_the_call_sent_again(self):
        ways = {'enos': ('enos', ('apim_status', 'status', 'code')),
                'scnet': ('scnet-key', ('911406', '10008', '401')),
                'iotda': ('iotda-iam', ('APIGW.0307', 'IOTDA.000004', 'IOTDA.000002'))}
        signs_in_at = {'enos': 'enos', 'scnet': 'scnet', 'iotda': 'iam'}
        worker = support.Worker(self)
        for provider, (account, rejections) in ways.items():
            self.assert_succeeded(self.ask([account]))
            for rejection in rejections:
                self.simulator.request('POST', 'credentials', {provider: {'rejection': rejection}})
                before = self.operations(signs_in_at[provider])['sign_in']
                self.simulator.fault({'provider': provider, 'operation': 'cancel'},
                                     {'expired_token': True})
                with self.subTest(f'{provider} {rejection}'):
                    results = self.ask([account])
                    self.assert_succeeded(results)
                    self.assertEqual(1, self.operations(signs_in_at[provider])['sign_in'] - before)
                    self.assertEqual(2, max(result['attempts'] for result in results.values()))
        self.assert_faults_fired()
        self.assert_no_violation()
        self.assert_no_secret(worker)
        self.assertEqual(0, worker.stop())

    def secret_file(self, account, text):
        path = self.folder / f'{account}.secret'
        beside = path.with_suffix('.new')
        beside.write_text(text + '\n')
        beside.chmod(0o600)
        beside.rename(path)
        return path

    def test_refused_secrets_hold_their_account_until_their_file_changes(self):
        self.accounts = {name: self.accounts[name] for name in (*PROVED, 'koodrive-fixed')}
        for name, (path, _) in PROVED.items():
            auth = self.accounts[name]['auth']
            *groups, last = path.split('.')
            for group in groups:
                auth = auth[group]
            auth[last] = {'file': str(self.secret_file(name, 'wr0ng-secret'))}
        worker = support.Worker(self)
        results = self.ask(self.accounts)
        for (account, what), result in results.items():
            with self.subTest(f'{account}/{what}'):
                if account == 'koodrive-fixed':
                    self.assertEqual('succeeded', result['outcome'])
                    continue
                self.assertEqual('failed', result['outcome'], result)
                self.assertEqual('unauthorized', result['error']['kind'])
                self.assertNotEqual('', result['error']['message'])
        # Each was tried once, whatever the number of commands; no key comes near its lock.
        violations = self.simulator.summary()['violations']
        self.assertEqual(len(PROVED), len(violations), violations)
        self.assertEqual([], [one for one in violations if 'locked' in one['what']])
        wait_for('the gauge', lambda: worker.metric('kancel_credentials_refused_in_a_row') ==
                 len(PROVED))
        self.assertEqual(len(PROVED), worker.log.read_text().count('event=account_held'))
        for name, (_, secret) in PROVED.items():
            self.secret_file(name, secret)
        self.assert_succeeded(self.ask(self.accounts))
        self.assertEqual(len(PROVED), self.simulator.summary()['violations_count'])
        wait_for('the gauge', lambda: worker.metric('kancel_credentials_refused_in_a_row') == 0)
        self.assertNotIn('wr0ng-secret', worker.log.read_text())
        self.assert_no_secret(worker)
        self.assertEqual(0, worker.stop())

    def test_a_clock_that_is_off_is_named(self):
        self.accounts = {name: self.accounts[name]
                         for name in ('enos', 'scnet-key', 'iotda-standard', 'koodrive-app')}
        self.simulator.request('POST', 'options', {'clock_ms': -3600 * 1000})
        worker = support.Worker(self)
        for key, result in self.ask(self.accounts).items():
            with self.subTest('/'.join(key)):
                self.assertEqual('unauthorized', result['error']['kind'], result)
                self.assertRegex(result['error']['message'],
                                 r"^the worker's clock is 3\d\d\d s ahead of the provider's: ")
        log = worker.log.read_text()
        self.assertEqual(4, len(set(re.findall(r'event=clock_off account=(\S+) ahead_s=3\d\d\d',
                                               log))), log)
        wait_for('the gauge', lambda: abs(worker.metric('kancel_clock_skew_seconds') -
                                          4 * 3600) < 40)
        wait_for('the counter', lambda: worker.metric('kancel_clock_refusals_total') >= 4)
        self.assertEqual(0, worker.stop())

    def test_a_clock_a_little_ahead_does_no_harm(self):
        self.accounts = {name: self.accounts[name] for name in ('koodrive-app', 'iotda-standard')}
        self.simulator.request('POST', 'options', {'clock_ms': -15 * 1000})
        worker = support.Worker(self)
        self.assert_succeeded(self.ask(self.accounts))
        self.assert_no_violation()
        self.assertEqual(0, worker.stop())


if __name__ == '__main__':
    support.main()
