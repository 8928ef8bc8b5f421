"""The operator's page in a real browser: Chromium, driven over the WebDriver protocol."""

import base64
import http.client
import json
import os
import pathlib
import shutil
import socket
import subprocess
import unittest

import kafka
from support import KOODRIVE, PATIENCE_S, SystemTest, Worker, main, wait_for

ENTER, TAB = '\ue007', '\ue004'


class Browser:
    """One window of headless Chromium."""

    def __init__(self, test, width=1200, height=1000):
        self.port = kafka.free_ports(1)
        self.driver = subprocess.Popen(['chromedriver', f'--port={self.port}', '--silent'],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        test.addCleanup(self.end)
        wait_for('chromedriver', self.listens)
        options = {'args': ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic',
                            '--no-first-run', '--disable-background-networking',
                            '--disable-component-update', '--disable-sync',
                            '--disable-dev-shm-usage', f'--window-size={width},{height}',
                            f'--user-data-dir={test.folder}/profile']}
        self.session = ''
        answer = self.call('POST', '', {'capabilities': {'alwaysMatch': {
            'goog:chromeOptions': options, 'goog:loggingPrefs': {'performance': 'ALL',
                                                                'browser': 'ALL'}}}})
        self.session = '/' + answer['sessionId']

    def listens(self):
        with socket.socket() as one:
            return one.connect_ex(('127.0.0.1', self.port)) == 0

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=PATIENCE_S)
        connection.request(method, f'/session{self.session}{path}',
                           None if method == 'GET' else json.dumps(body or {}))
        answer = json.loads(connection.getresponse().read())['value']
        connection.close()
        if isinstance(answer, dict) and 'error' in answer:
            raise AssertionError(f'browser: {answer["message"]}')
        return answer

    def open(self, url):
        self.call('POST', '/url', {'url': url})

    def run(self, script, *args):
        return self.call('POST', '/execute/sync', {'script': script, 'args': list(args)})

    def text(self, id):
        return self.run('return document.getElementById(arguments[0]).innerText', id)

    def keys(self, text):
        """As typed on the keyboard, wherever the focus is."""
        actions = [action for key in text for action in ({'type': 'keyDown', 'value': key},
                                                         {'type': 'keyUp', 'value': key})]
        self.call('POST', '/actions', {'actions': [{'type': 'key', 'id': 'keyboard',
                                                    'actions': actions}]})

    def emulate(self, command, **params):
        self.call('POST', '/goog/cdp/execute', {'cmd': f'Emulation.{command}', 'params': params})

    def log(self, kind):
        return self.call('POST', '/se/log', {'type': kind})

    def requested(self):
        """The URLs of all requests so far."""
        events = [json.loads(line['message'])['message'] for line in self.log('performance')]
        return [event['params']['request']['url'] for event in events
                if event['method'] == 'Network.requestWillBeSent']

    def screenshot(self, file):
        pathlib.Path(file).write_bytes(base64.b64decode(self.call('GET', '/screenshot')))

    def end(self):
        try:
            if self.session:
                self.call('DELETE', '')
        finally:
            self.driver.terminate()
            self.driver.wait()


@unittest.skipUnless(shutil.which('chromedriver'), 'no Chromium: docker/install-deps.sh --tests')
class Page(SystemTest):
    def start(self, **settings):
        self.worker = Worker(self, **settings).ready()
        self.url = f'http://127.0.0.1:{self.worker.admin_port}/'
        return self.worker

    def show(self, **size):
        browser = Browser(self, **size)
        browser.open(self.url)
        wait_for('the page to be ready', lambda: browser.text('health') == 'ready')
        return browser

    def cancel(self, id, job, key=None):
        self.kafka.produce([self.command(id, 'cancel', 'koodrive', {'jobId': job}, key=key or id)])

    def test_a_stuck_command_is_on_top_with_its_reason(self):
        self.simulator.fault({'task': '777'}, {'hang': True}, times=-1)
        self.start(worker={'stuck_after': '1s'})
        browser = self.show()
        self.cancel('stuck-one', '777', key='k')
        self.cancel('behind-it', '778', key='k')
        wait_for('both commands and their reasons', lambda: all(
            words in browser.text('slowest')
            for words in ('stuck-one', 'its call is out', 'behind-it', 'waits for its turn behind')))
        rows = browser.text('slowest').splitlines()
        first = next(i for i, row in enumerate(rows) if 'stuck-one' in row)
        self.assertLess(first, next(i for i, row in enumerate(rows) if 'behind-it' in row))
        wait_for('the partition that it holds up', lambda:
                 f'holds up {self.commands}-0: its call' in browser.text('slowest'))
        self.assertIn('1 of 1 partitions stand still', browser.text('notice'))
        self.assertIn(f'{self.commands}-0', browser.text('partitions'))

    def test_results_and_the_flow_are_shown_as_they_come(self):
        self.start()
        browser = self.show()
        for number in range(20):
            self.cancel(f'c-{number}', str(1000 + number))
        self.answers(20)
        bar = '[...document.querySelectorAll("#accounts .bar")].map(e => e.ariaLabel)'
        wait_for('the outcomes', lambda: '20 succeeded' in browser.run(f'return {bar}'))
        wait_for('a rate', lambda: browser.text('t-answered') not in ('-', ''))
        self.assertIn('nothing is unanswered', browser.text('slowest'))

    def test_nothing_is_loaded_from_elsewhere_and_strangers_texts_stay_texts(self):
        self.simulator.fault({'task': '777'}, {'hang': True}, times=-1)
        self.start()
        browser = self.show()
        evil = '<img src=x onerror="document.title=1">'
        self.cancel(evil, '777')
        wait_for('the id as text', lambda: evil in browser.text('slowest'))
        self.assertEqual([], browser.run('return [...document.querySelectorAll("img,iframe")]'))
        outside = [url for url in browser.requested()
                   if not url.startswith((self.url, 'data:', 'chrome:'))]
        self.assertEqual([], outside)
        errors = [line for line in browser.log('browser') if line['level'] == 'SEVERE']
        self.assertEqual([], errors)

    def test_a_phone_and_the_dark(self):
        self.start()
        browser = self.show(width=500, height=844)
        browser.emulate('setDeviceMetricsOverride', width=390, height=844, deviceScaleFactor=2,
                        mobile=True)
        fits = 'return document.documentElement.scrollWidth <= innerWidth'
        wait_for('no sideways scrolling', lambda: browser.run(fits))
        colour = 'return getComputedStyle(document.body).backgroundColor'
        light = browser.run(colour)
        browser.emulate('setEmulatedMedia', features=[{'name': 'prefers-color-scheme',
                                                       'value': 'dark'}])
        wait_for('another ground', lambda: browser.run(colour) != light)
        if 'KANCEL_SCREENSHOTS' in os.environ:
            browser.screenshot(pathlib.Path(os.environ['KANCEL_SCREENSHOTS']) / 'page-phone.png')

    def test_an_account_is_held_by_keyboard_with_the_token(self):
        token = self.folder / 'token'
        token.write_text('sesame\n')
        token.chmod(0o600)
        self.start(admin={'token': {'file': str(token)}})
        browser = self.show()
        focus = 'document.getElementById(arguments[0]).focus(); return document.activeElement.id'
        hold = f'hold-{KOODRIVE}'
        self.assertEqual(hold, browser.run(focus, hold))
        browser.keys(ENTER)
        wait_for('the question', lambda: browser.run('return document.getElementById("ask").open'))
        browser.run(focus, 'token')
        browser.keys('sesame' + ENTER)
        wait_for('the account to be held', lambda: 'held by operator' in browser.text('accounts'))
        self.cancel('waits', '1')
        wait_for('the command to wait', lambda: 'waits' in browser.text('slowest'))
        browser.run(focus, hold)
        browser.keys(ENTER)
        wait_for('the question', lambda: browser.run('return document.getElementById("ask").open'))
        browser.keys(ENTER)
        self.assertEqual('succeeded', self.answers(1)['waits']['outcome'])
        self.assertIn('admin_hold', self.worker.log.read_text())
        self.assertNotIn('sesame', self.worker.log.read_text())

    def test_it_says_when_the_worker_is_gone(self):
        self.start()
        browser = self.show()
        self.worker.kill()
        wait_for('the word', lambda: browser.text('health') == 'not reachable')


if __name__ == '__main__':
    main()
