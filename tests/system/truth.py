#!/usr/bin/env python3
"""Results tell the truth: what a result says is compared with the simulator's own tasks.

A row is a situation at a provider: the task, what goes wrong, what the result must say, what the
simulator must have seen. Every command has an account of its own, so that rows do not meet, and
all run at once. The simulator writes down each request that named a task: C a cancel that took
effect, c one that did not, s a status; a row's pattern says how many there may be and in which
order - after a cancel of unknown fate no other one before a status.
"""

import dataclasses
import datetime
import functools
import itertools
import re
import time

import support
from support import wait_for

WHOLE, PART = 'iotda-all', 'iotda-targets'
FORMS = ('enos', 'scnet', WHOLE, PART, 'koodrive')
LISTS = ('scnet', PART)

# What a cancel leads to. The simulator's enos and whole IoTDA tasks are cancelling for 100 ms.
STOPPED = {'enos': {'cancelling', 'cancelled'}, 'scnet': {'cancelled'},
           WHOLE: {'cancelling', 'cancelled'}, PART: {'cancelling', 'cancelled'},
           'koodrive': {'cancelled'}}

# The worker waits so long for an answer in the rows that need it to give up, and for everything in
# the others: a loaded machine must not turn these into those.
HASTY = {'limits': {'timeout': '4s', 'connect_timeout': '4s'}}
LATE_MS = 15000
SOON_S = 10  # a deadline that a command is called long before
UNSURE = {'retry': {'attempts': 3}}

REFUSED = ('refused', None)
NUMBERS = itertools.count(1)


def page(status, body=None, **more):
    return {'status': status, **({} if body is None else {'body': body}), **more}


@dataclasses.dataclass
class Row:
    form: str
    situation: str
    result: dict                # members of the result; a set: one of these
    seen: str                   # a pattern of the requests that named the task
    after: object = None        # the task's own state afterwards, or a set of such
    task: dict = dataclasses.field(default_factory=dict)
    cancel: object = None       # what goes wrong with the cancel: an action, once
    status: object = None       # with each status
    status_times: int = -1
    cancel_times: int = 1
    settings: dict = dataclasses.field(default_factory=dict)
    command: dict = dataclasses.field(default_factory=dict)
    items: list = None          # [(id, state before, result's members, state after)]
    operation: str = 'cancel'
    age: int = 0                # of its record, s
    together: str = None        # the account of several rows, whose commands share a call

    def __post_init__(self):
        number = next(NUMBERS)
        self.name = f'{self.form}: {self.situation}'
        self.account = self.together or f'row-{number}'
        self.provider = self.form.split('-')[0]
        self.ids = [f'{item[0]}-{number}' for item in self.items or []]
        self.task_id = {'enos': f't-{number}', 'scnet': f's-{number}', 'iotda': f'{number:024x}',
                        'koodrive': f'77{number:06d}'}[self.provider]
        self.target = f'd-{number}'
        self.first = self.ids[0] if self.form == 'scnet' and self.ids else self.task_id

    def body(self):
        """The command's task, as asked."""
        if self.form == WHOLE and self.operation == 'status':
            return {'taskId': self.task_id}
        return {'enos': lambda: {'channelId': 'ch', 'taskId': self.task_id},
                'scnet': lambda: {'taskIds': self.ids or [self.task_id]},
                WHOLE: lambda: {'taskId': self.task_id, 'all': True},
                PART: lambda: {'taskId': self.task_id, 'targets': self.ids or [self.target]},
                'koodrive': lambda: {'jobId': self.task_id}}[self.form]()

    def scripts(self):
        """The tasks as the simulator has them at first."""
        if self.form == 'scnet' and self.items:
            return [{'provider': 'scnet', 'id': id, 'state': item[1]}
                    for id, item in zip(self.ids, self.items)]
        script = {'provider': self.provider, 'id': self.task_id, **self.task}
        if self.form == PART:
            script['targets'] = [{'id': id, 'state': item[1]}
                                 for id, item in zip(self.ids, self.items or [])
                                 if item[1] != 'missing'] or self.part(script)
        return [script]

    def part(self, script):
        """One target in the state that the row gives the task, and one that goes on."""
        state = script.get('state', 'running')
        if state in ('succeeded', 'failed', 'cancelled'):
            script['state'] = 'running'
        return [{'id': self.target, 'state': state if state not in ('missing', 'cancelling')
                 else 'running'}, 'd-other']

    def faults(self):
        for operation, action, times in (('cancel', self.cancel, self.cancel_times),
                                         ('status', self.status, self.status_times)):
            actions = action if isinstance(action, list) else [action] if action else []
            for one in actions:
                if callable(one):
                    one = one(self)
                yield {'match': {'provider': self.provider, 'operation': operation,
                                 'task': self.first},
                       'action': one, 'times': 1 if isinstance(action, list) else times}


# ---- what the providers say ----------------------------------------------------------------------

def enos_says(progress, task_id=None):
    return lambda row: page(200, {'code': 0, 'msg': 'OK', 'data': {
        'taskId': task_id or row.task_id, 'progressCode': str(progress), 'progressDesc': 'x'}},
        apply=True)


def scnet_says(result, status):
    item = {'result': result, 'status': status}
    return lambda row: page(200, {'code': '0', 'msg': 'success', 'data': [
        {'taskId': row.task_id,
         **{name: value for name, value in item.items() if value is not None}}]}, apply=True)


def iotda_says(word):
    return lambda row: page(200, {'batchtask': {'task_id': row.task_id, 'status': word},
                                  'task_details': [{'target': row.target, 'status': word}],
                                  'page': {'count': 1}})


def koodrive_says(status):
    return lambda row: page(200, {'code': '0', 'msg': 'OK',
                                  'data': {'jobInfo': {'taskId': row.task_id, 'status': status}}})


# A word for a state that no document knows, in the answer to a status.
UNKNOWN_WORD = {'enos': enos_says(9), 'scnet': scnet_says(None, ''), WHOLE: iotda_says('Frozen'),
                PART: iotda_says('Frozen'), 'koodrive': koodrive_says(9)}

# No, in the provider's own words, to an account that may not.
FORBIDDEN = {
    'enos': page(403, {'code': 81400, 'msg': 'channel or data source error'}),
    'scnet': page(200, {'code': '911030', 'msg': 'no permission'}),
    WHOLE: page(403, {'error_code': 'IOTDA.000021', 'error_msg': 'Operation not allowed.'}),
    PART: page(403, {'error_code': 'IOTDA.000021', 'error_msg': 'Operation not allowed.'}),
    'koodrive': page(403, {'code': '13000410', 'msg': 'No permission on the space.'}),
}

# A refusal that leaves open why.
NO_WHY = {
    'enos': page(200, {'code': 81400, 'msg': 'channel or data source error'}),
    'scnet': scnet_says(False, None),
    WHOLE: page(400, {'error_code': 'IOTDA.014297', 'error_msg': 'Operation not allowed.'}),
    PART: page(400, {'error_code': 'IOTDA.014297', 'error_msg': 'Operation not allowed.'}),
    'koodrive': page(200, {'code': '13000301', 'msg': 'The space is abnormal.'}),
}
for form in ('scnet',):
    says = NO_WHY[form]
    NO_WHY[form] = lambda row, says=says: {**says(row), 'apply': False}

# An internal error of the provider's own, after the cancel took effect.
INTERNAL = {
    'enos': page(200, {'code': 81500, 'msg': 'internal error'}, apply=True),
    'scnet': page(200, {'code': '10001', 'msg': 'internal error'}, apply=True),
    WHOLE: page(500, {'error_code': 'IOTDA.000020', 'error_msg': 'Decrypt IAM'}, apply=True),
    PART: page(200, {'error_code': 'IOTDA.014111', 'error_msg': 'timeout'}, apply=True),
    'koodrive': page(500, {'code': '13000201', 'msg': 'Call internal server failed.'}, apply=True),
}

GATEWAY_404 = page(404, '<html><body>404 Not Found</body></html>')

# ---- the table -----------------------------------------------------------------------------------

ROWS, CRASHES, ALONE = [], [], []
NOT_THERE = {}  # (form, situation): why


def row(form, situation, result, seen, after=None, table=ROWS, **more):
    table.append(Row(form, situation, result, seen, after, **more))


def succeeded(form, **more):
    return {'outcome': 'succeeded', 'state': STOPPED[form], 'alreadyCancelled': None, **more}


def no(kind, state='unknown', outcome='refused', **more):
    return {'outcome': outcome, 'state': state, 'kind': kind, 'alreadyCancelled': None, **more}


# A confirming look follows where the answer to a cancel does not tell the state.
CONFIRM = {'enos': '', 'scnet': '', WHOLE: 's', PART: '', 'koodrive': 's'}

for form in FORMS:
    stopped = STOPPED[form]
    confirm = CONFIRM[form]

    # It was applied, and its answer did not come.
    for situation, action in {
            'applied, the answer lost': {'reset_after': True},
            'applied, the answer breaks off': {'cut_short': True},
            'applied, half an answer': {'cut_json': True},
            'applied, an answer beyond all bounds': {'huge_body': 2 << 20, 'apply': True},
            'applied, then 500': {'http_500_after_applying': True},
            'applied, then 502': page(502, apply=True),
            'applied, then 504': page(504, apply=True),
            'applied, then an empty 200': page(200, '', apply=True),
            'applied, then an internal error': INTERNAL[form]}.items():
        row(form, situation, succeeded(form, attempts=1), 'Cs+', stopped, cancel=action)
    row(form, 'applied, the answer late', succeeded(form, attempts=1), 'Cs+', stopped,
        cancel={'delay_ms': LATE_MS}, settings=HASTY)

    # It was not applied, which nobody can know.
    for situation, action in {'reset before it was applied': {'reset_before': True},
                              'never applied, then 500': page(500),
                              'never applied, then 503': page(503)}.items():
        row(form, situation, succeeded(form, attempts=2), f'cs+C{confirm}', stopped, cancel=action)
    row(form, 'swallowed', succeeded(form, attempts=2), f'cs+C{confirm}', stopped,
        cancel={'hang': True}, settings=HASTY)
    row(form, 'lost twice before it was applied', succeeded(form, attempts=3),
        f'cs+cs+C{confirm}', stopped, cancel={'reset_before': True}, cancel_times=2)

    # The task finishes meanwhile.
    row(form, 'finished between request and answer', no('not_cancellable', 'succeeded'), 'cs?',
        'succeeded', cancel={'becomes_before': 'succeeded'})
    row(form, 'failed between request and answer', no('not_cancellable', 'failed'), 'cs?',
        'failed', cancel={'becomes_before': 'failed'})
    row(form, 'finished, and the answer lost', no('not_cancellable', 'succeeded'), 'cs+',
        'succeeded', cancel={'reset_after': True, 'becomes_before': 'succeeded'})
    row(form, 'finished before the second try', no('not_cancellable', 'succeeded'), 'cs+cs?',
        'succeeded', cancel=[{'reset_before': True}, {'becomes_before': 'succeeded'}])
    row(form, 'gone, and the answer lost', no('not_found'), 'Cs+', 'missing',
        cancel={'reset_after': True, 'becomes': 'missing'})

    # It had ended before.
    row(form, 'finished long ago', no('not_cancellable', 'succeeded'), 'cs?', 'succeeded',
        task={'state': 'succeeded'})
    row(form, 'finished long ago, the answer lost', no('not_cancellable', 'succeeded'), 'cs+',
        'succeeded', task={'state': 'succeeded'}, cancel={'reset_after': True})
    row(form, 'unknown task, the answer lost', no('not_found'), 'cs+', 'missing',
        task={'state': 'missing'}, cancel={'reset_after': True})

    # Not permitted.
    row(form, 'not permitted by the provider', no('forbidden'), 'cs+', 'running',
        cancel=FORBIDDEN[form], status=FORBIDDEN[form])
    row(form, 'may look, not cancel', no('forbidden', 'running'), 'cs+', 'running',
        cancel=FORBIDDEN[form])
    row(form, 'operation not allowed by us', no('not_permitted', attempts=0), '', 'running',
        settings={'allow': {'operations': ['status']}})
    row(form, 'topic not allowed by us', no('not_permitted', attempts=0), '', 'running',
        settings=lambda test: {'allow': {'topics': [test.other]}})

    # No, and not why.
    row(form, 'refused without why, running', no('forbidden', 'running'), 'cs+', 'running',
        cancel=NO_WHY[form])
    row(form, 'refused without why, had finished', no('not_cancellable', 'succeeded'), 'cs+',
        'succeeded', cancel=NO_WHY[form], task={'state': 'succeeded'})
    row(form, 'refused without why, was cancelled', succeeded(form, alreadyCancelled=True,
                                                             state='cancelled'),
        'cs+', 'cancelled', cancel=NO_WHY[form], task={'state': 'cancelled'})
    row(form, 'refused without why, and no status', no('forbidden'), 'cs+', 'running',
        cancel=NO_WHY[form], status=page(500), settings=UNSURE)

    # A page that is not there, says a gateway: no word of the provider's about the task.
    row(form, 'a gateway knows no such page', succeeded(form, attempts=2), f'cs+C{confirm}',
        stopped, cancel=GATEWAY_404)
    row(form, 'a gateway never knows the page', no('bad_response', outcome='failed'), 'cs+',
        'running', cancel=GATEWAY_404, status=GATEWAY_404, cancel_times=-1, settings=UNSURE)
    row(form, 'lost, and a gateway knows no status page',
        no('unknown_outcome', outcome='failed'), 'Cs{3}', stopped, cancel={'reset_after': True},
        status=GATEWAY_404, settings=UNSURE)

    # Its fate cannot be learned.
    row(form, 'lost, and no status', no('unknown_outcome', outcome='failed', attempts=1),
        'Cs{3}', stopped, cancel={'reset_after': True}, status=page(503), settings=UNSURE)
    row(form, 'lost, and no status until the deadline',
        {**no('expired', outcome='expired'), 'applied': 'unknown', 'attempts': 1}, 'Cs+', stopped,
        cancel={'reset_after': True}, status=page(503),
        settings={'retry': {'attempts': 1000, 'backoff': '200ms..500ms'}},
        command={'expiresAt': SOON_S})
    row(form, 'lost, and states that nobody knows', no('unknown_outcome', outcome='failed'),
        'Cs{3}', stopped, cancel={'reset_after': True}, status=UNKNOWN_WORD[form],
        settings=UNSURE)
    row(form, 'lost, then a state that nobody knows, once', succeeded(form), 'Cs+', stopped,
        cancel={'reset_after': True}, status=UNKNOWN_WORD[form], status_times=1)
    row(form, 'lost, and the status may not be asked', no('unknown_outcome', outcome='failed'),
        'Cs+', stopped, cancel={'reset_after': True}, status=FORBIDDEN[form], settings=UNSURE)

    # Until it has settled.
    row(form, 'settles', {**succeeded(form), 'state': 'cancelled'}, 'Cs*', 'cancelled',
        command={'until': 'settled'})
    row(form, 'settles, the answer lost', {**succeeded(form), 'state': 'cancelled'}, 'Cs+',
        'cancelled', cancel={'reset_after': True}, command={'until': 'settled'})
    row(form, 'taken, and the task finishes all the same, settled',
        no('not_cancellable', 'succeeded'), 'Cs+', 'succeeded',
        cancel={'reset_after': True, 'becomes': 'succeeded'}, command={'until': 'settled'})

# Unknown to the provider, in its own words.
for form in FORMS:
    row(form, 'unknown task', no('not_found', attempts=1), 'c', 'missing',
        task={'state': 'missing'})
row(PART, 'unknown target', no('not_found', attempts=1), 'c', None,
    items=[('d-x', 'missing', no('not_found'), None)])
for form in ('enos', 'scnet', WHOLE, PART):
    NOT_THERE[form, 'unknown task, cancel answered ok'] = 'the answer to a cancel names the task'
row('koodrive', 'unknown task, cancel answered ok', no('not_found', attempts=1), 'cs', 'missing',
    task={'state': 'missing'}, cancel=page(200, {'code': 0, 'msg': 'OK'}))

# Cancelled, or being cancelled, by somebody else. The answers of enos and koodrive do not say when.
ALREADY = {'enos': (None, 'cs'), 'scnet': (True, 'c'), WHOLE: (True, 'cs'), PART: (True, 'cs'),
           'koodrive': (None, 'cs')}
for form, (already, seen) in ALREADY.items():
    row(form, 'already cancelled', {**succeeded(form), 'state': 'cancelled',
                                    'alreadyCancelled': already}, seen, 'cancelled',
        task={'state': 'cancelled'})
for form, seen in (('enos', 'c'), (WHOLE, 'cs')):
    row(form, 'already cancelling', {'outcome': 'succeeded', 'state': 'cancelling',
                                     'alreadyCancelled': None if form == 'enos' else True},
        seen, 'cancelling', task={'state': 'cancelling', 'cancelling_ms': -1})
    row(form, 'already cancelling, settled', {'outcome': 'succeeded', 'state': 'cancelled',
                                              'alreadyCancelled': None if form == 'enos' else True},
        'cs*', 'cancelled', task={'state': 'cancelling', 'cancelling_ms': 1500},
        command={'until': 'settled'})
# That its task is stopping does not say what becomes of one target; its own word counts.
for situation, command in (('already cancelling', {}),
                           ('already cancelling, settled', {'until': 'settled'})):
    row(PART, situation, no('forbidden', 'running'), 'cs', 'cancelling',
        task={'state': 'cancelling', 'cancelling_ms': -1}, command=command)
for form in ('scnet', 'koodrive'):
    NOT_THERE[form, 'already cancelling'] = 'has no such state'
    NOT_THERE[form, 'already cancelling, settled'] = 'has no such state'
# The refusal of a second try is about the first one, which may have been applied late.
for form in ('scnet', WHOLE, PART):
    row(form, 'cancelled by the try that was lost', {**succeeded(form), 'attempts': 2},
        'cs+cs*', 'cancelled', cancel=[{'reset_before': True}, {'becomes_before': 'cancelled'}])
for form in ('enos', 'koodrive'):
    NOT_THERE[form, 'cancelled by the try that was lost'] = 'never says that it had been cancelled'

# Says cancelling, and completes.
for form in ('enos', WHOLE):
    row(form, 'cancelling, then completes', {**succeeded(form), 'state': 'cancelling'},
        'C' + CONFIRM[form], 'succeeded',
        task={'cancelling_ms': 8000, 'cancelling_ends_as': 'succeeded'})
    row(form, 'cancelling, then completes, settled', no('not_cancellable', 'succeeded'), 'Cs+',
        'succeeded', task={'cancelling_ms': 1000, 'cancelling_ends_as': 'succeeded'},
        command={'until': 'settled'})
row(PART, 'cancelling, then completes', {**succeeded(PART), 'state': 'cancelling'}, 'C',
    'succeeded', cancel={'becomes': 'succeeded'})
row(PART, 'cancelling, then completes, settled', no('not_cancellable', 'succeeded'), 'Cs+',
    'succeeded', cancel={'becomes': 'succeeded'}, command={'until': 'settled'})
row('koodrive', 'cancelling, then completes', no('not_cancellable', 'succeeded'), 'Cs',
    'succeeded', cancel={'becomes': 'succeeded'})
row('koodrive', 'cancelling, then completes, settled', no('not_cancellable', 'succeeded'), 'Cs+',
    'succeeded', cancel={'becomes': 'succeeded'}, command={'until': 'settled'})
for situation in ('cancelling, then completes', 'cancelling, then completes, settled'):
    NOT_THERE['scnet', situation] = 'its answer is final'
for form in FORMS:
    if form == 'scnet':
        NOT_THERE[form, 'taken, and the end may not be seen'] = 'its answer is final'
        continue
    row(form, 'taken, and the end may not be seen',
        no('unknown_outcome', {'unknown', 'cancelling'}, outcome='failed'), 'Cs+', STOPPED[form],
        status=FORBIDDEN[form], command={'until': 'settled'})

# Answers that contradict themselves or the document.
row('enos', 'taken is all that 5 says', {**succeeded('enos')}, 'Cs', STOPPED['enos'],
    cancel=enos_says(5))
row('enos', 'answers 5 to a task that ends otherwise', no('not_cancellable', 'succeeded'), 'Cs',
    'succeeded', cancel=lambda r: {**enos_says(5)(r), 'becomes': 'succeeded'})
row('enos', 'answers 5 to a task that ends otherwise, settled', no('not_cancellable', 'succeeded'),
    'Cs+', 'succeeded', cancel=lambda r: {**enos_says(5)(r), 'becomes': 'succeeded'},
    command={'until': 'settled'})
row('enos', 'answers a state nobody knows', succeeded('enos'), 'Cs+', STOPPED['enos'],
    cancel=enos_says(9))
row('enos', 'answers about another task', succeeded('enos'), 'Cs+', STOPPED['enos'],
    cancel=enos_says(4, 'another'))
row('enos', 'answers ok, and the task goes on', {**succeeded('enos'), 'state': 'running'}, 'c',
    'running', cancel=lambda r: {**enos_says(1)(r), 'apply': False})
row('scnet', 'taken, and complete', succeeded('scnet'), 'Cs+', 'cancelled',
    cancel=scnet_says(True, 'complete'))
row('scnet', 'taken or not is not said', succeeded('scnet'), 'Cs+', 'cancelled',
    cancel=scnet_says(None, 'cancel'))
row('scnet', 'not taken, and not finished', no('forbidden', 'running'), 'cs+', 'running',
    cancel=lambda r: {**scnet_says(False, 'queued')(r), 'apply': False})
row('scnet', 'an answer without a list', succeeded('scnet'), 'Cs+', 'cancelled',
    cancel=page(200, {'code': '0', 'msg': 'success', 'data': None}, apply=True))
for form in (WHOLE, PART):
    row(form, 'ok, with an error code in it', succeeded(form), 'Cs+', STOPPED[form],
        cancel=page(200, {'error_code': 'IOTDA.099999', 'error_msg': '?'}, apply=True))
    row(form, 'gateway has no such interface', no('unavailable', outcome='failed'), 'c', 'running',
        cancel=page(404, {'error_code': 'APIGW.0101', 'error_msg': 'The API does not exist'}))
row(PART, 'the answer leaves the target out', succeeded(PART), 'Cs+', STOPPED[PART],
    cancel=page(200, {'targets': []}, apply=True))
row(WHOLE, 'ok, then a state nobody knows', {**succeeded(WHOLE), 'state': 'unknown'}, 'Cs',
    STOPPED[WHOLE], status=UNKNOWN_WORD[WHOLE])
row(WHOLE, 'ok, and no status', {**succeeded(WHOLE), 'state': 'unknown'}, 'Cs', STOPPED[WHOLE],
    status=page(503))
row('koodrive', 'ok, then a state nobody knows', {**succeeded('koodrive'), 'state': 'unknown'},
    'Cs', 'cancelled', status=UNKNOWN_WORD['koodrive'])
row('koodrive', 'ok, and no status', {**succeeded('koodrive'), 'state': 'unknown'}, 'Cs',
    'cancelled', status=page(503))
row('koodrive', 'ok, and still running', {**succeeded('koodrive'), 'state': 'running'}, 'cs',
    'running', cancel=page(200, {'code': 0, 'msg': 'OK'}))
row('koodrive', 'ok, with a code that is none', succeeded('koodrive'), 'Cs+', 'cancelled',
    cancel=page(200, {'code': True, 'msg': 'OK'}, apply=True))

# Certainly not applied, so sent again without a look.
for form in FORMS:
    row(form, 'throttled', succeeded(form, attempts=2), f'cC{CONFIRM[form]}', STOPPED[form],
        cancel={'throttle': True, 'retry_after': 1})
for form in set(FORMS) - {'enos'}:
    row(form, 'token ran out', no('unauthorized', outcome='failed', attempts=1), 'c', 'running',
        cancel={'expired_token': True})

# Looking alone. A target has no status command.
for form in FORMS:
    if form == PART:
        continue
    for state in ('waiting', 'running', 'succeeded', 'failed', 'cancelled'):
        said = 'running' if (form, state) == ('scnet', 'waiting') else state
        row(form, f'status, {state}', {'outcome': 'succeeded', 'state': said}, 's', state,
            operation='status', task={'state': state})
    row(form, 'status, unknown task', no('not_found'), 's', 'missing', operation='status',
        task={'state': 'missing'})
    row(form, 'status, the answer lost', {'outcome': 'succeeded', 'state': 'running'}, 'ss',
        'running', operation='status', status={'reset_after': True}, status_times=1)
    row(form, 'status, a gateway never knows the page', no('bad_response', outcome='failed'),
        'sss', 'running', operation='status', status=GATEWAY_404, settings=UNSURE)
    row(form, 'status, not permitted', no('forbidden'), 's', 'running', operation='status',
        status=FORBIDDEN[form])
    row(form, 'status, settled', {'outcome': 'succeeded', 'state': 'failed'}, 's+', 'failed',
        operation='status', command={'until': 'settled'},
        task={'duration_ms': 1500, 'ends_as': 'failed'})

# Lists, some each way.
row('scnet', 'some each way', {'outcome': 'partial', 'state': 'unknown'}, 'Cs*', 'cancelled',
    items=[('run', 'running', {'outcome': 'succeeded', 'state': 'cancelled'}, 'cancelled'),
           ('end', 'succeeded', no('not_cancellable', 'succeeded'), 'succeeded'),
           ('bad', 'failed', no('not_cancellable', 'failed'), 'failed'),
           ('off', 'cancelled', {'outcome': 'succeeded', 'state': 'cancelled',
                                 'alreadyCancelled': True}, 'cancelled'),
           ('not', 'missing', no('not_found'), 'missing')])
row('scnet', 'some each way, the answer lost', {'outcome': 'partial', 'state': 'unknown'}, 'Cs+',
    'cancelled', cancel={'reset_after': True},
    items=[('run', 'running', {'outcome': 'succeeded', 'state': 'cancelled'}, 'cancelled'),
           ('end', 'succeeded', no('not_cancellable', 'succeeded'), 'succeeded'),
           ('bad', 'failed', no('not_cancellable', 'failed'), 'failed'),
           ('off', 'cancelled', {'outcome': 'succeeded', 'state': 'cancelled',
                                 'alreadyCancelled': None}, 'cancelled'),
           ('not', 'missing', no('not_found'), 'missing')])
row('scnet', 'none of a list, the answer lost', no('not_cancellable', 'succeeded'), 'cs+',
    'succeeded', cancel={'reset_after': True},
    items=[('end', 'succeeded', no('not_cancellable', 'succeeded'), 'succeeded'),
           ('en2', 'succeeded', no('not_cancellable', 'succeeded'), 'succeeded')])
row(PART, 'some each way', {'outcome': 'partial', 'state': 'unknown'}, 'Cs+', None,
    items=[('run', 'running', {'outcome': 'succeeded', 'state': 'cancelling'}, 'cancelled'),
           ('end', 'succeeded', no('not_cancellable', 'succeeded'), 'succeeded'),
           ('bad', 'failed', no('not_cancellable', 'failed'), 'failed'),
           ('off', 'cancelled', {'outcome': 'succeeded', 'state': 'cancelled',
                                 'alreadyCancelled': True}, 'cancelled'),
           ('not', 'missing', no('not_found'), None)])
row(PART, 'some each way, the answer lost', {'outcome': 'partial', 'state': 'cancelled'}, 'Cs+',
    None, cancel={'reset_after': True}, task={'state': 'running'},
    items=[('run', 'running', {'outcome': 'succeeded', 'state': 'cancelled'}, 'cancelled'),
           ('end', 'succeeded', no('not_cancellable', 'succeeded'), 'succeeded'),
           ('bad', 'failed', no('not_cancellable', 'failed'), 'failed'),
           ('off', 'cancelled', {'outcome': 'succeeded', 'state': 'cancelled',
                                 'alreadyCancelled': None}, 'cancelled')])
# Commands that share a call whose answer is lost, for each its own truth.
SHARED = {'together': 'shared', 'settings': {'limits': {'linger': '3s'}}}
for number in range(3):
    row('scnet', f'shared {number}, the answer lost', {'outcome': 'partial'}, 'Cs+', 'cancelled',
        cancel={'reset_after': True} if number == 0 else None,
        items=[('run', 'running', {'outcome': 'succeeded', 'state': 'cancelled'}, 'cancelled'),
               ('end', 'succeeded', no('not_cancellable', 'succeeded'), 'succeeded'),
               ('not', 'missing', no('not_found'), 'missing')], **SHARED)
row('scnet', 'shared 3, the answer lost', no('not_cancellable', 'failed'), 'cs+', 'failed',
    items=[('bad', 'failed', no('not_cancellable', 'failed'), 'failed')], **SHARED)
for form in set(FORMS) - set(LISTS):
    for situation in ('some each way', 'some each way, the answer lost'):
        NOT_THERE[form, situation] = 'one task a command'

# A worker that is killed while its cancel is out.
crash = functools.partial(row, table=CRASHES)
for form in FORMS:
    stopped, confirm = STOPPED[form], CONFIRM[form]
    crash(form, 'crash, applied', succeeded(form, attempts=0), 'Cs+', stopped,
        cancel={'hang': True, 'apply': True})
    crash(form, 'crash, not applied', succeeded(form, attempts=1), f'cs+C{confirm}', stopped,
        cancel={'hang': True})
    crash(form, 'crash, finished meanwhile', no('not_cancellable', 'succeeded', attempts=0), 'cs+',
        'succeeded', cancel={'hang': True, 'becomes_before': 'succeeded'})
    crash(form, 'crash, gone meanwhile', no('not_found', attempts=0), 'Cs+', 'missing',
        cancel={'hang': True, 'apply': True, 'becomes': 'missing'})
    crash(form, 'crash, and no status', no('unknown_outcome', outcome='failed', attempts=0), 'Cs+',
        stopped, cancel={'hang': True, 'apply': True}, status=page(503), settings=UNSURE)
    crash(form, 'crash, settled', {**succeeded(form, attempts=0), 'state': 'cancelled'}, 'Cs+',
        'cancelled', cancel={'hang': True, 'apply': True}, command={'until': 'settled'})
    crash(form, 'crash, expired meanwhile',
        {'outcome': 'succeeded', 'state': stopped, 'attempts': 0}, 'Cs+', stopped,
        cancel={'hang': True, 'apply': True}, command={'expiresAt': SOON_S})
    crash(form, 'crash, expired meanwhile, not applied',
        {**no('expired', 'running', outcome='expired', attempts=0), 'applied': 'unknown'}, 'cs+',
        'running', cancel={'hang': True}, command={'expiresAt': SOON_S})
    # The heir takes nothing that is older than ten minutes.
    crash(form, 'crash, too old by then', {'outcome': 'succeeded', 'state': stopped, 'attempts': 0},
        'Cs+', stopped, cancel={'hang': True, 'apply': True}, age=3600)
    crash(form, 'crash, too old by then, not applied',
        {**no('expired', 'running', outcome='expired', attempts=0), 'applied': 'unknown'}, 'cs+',
        'running', cancel={'hang': True}, age=3600)
    # Its time is over but for one call's, though there are tries left.
    crash(form, 'crash, and no status in the time that is left',
        no('unknown_outcome', outcome='failed', attempts=0), 'Cs+', stopped,
        cancel={'hang': True, 'apply': True}, status=page(503), age=300,
        settings={'limits': {'timeout': '5s', 'connect_timeout': '5s'},
                  'retry': {'attempts': 1000, 'backoff': '500ms..1s', 'give_up_after': '4m'}})
for form in LISTS:
    crash(form, 'crash, some each way', {'outcome': 'partial'}, 'Cs+', None,
        cancel={'hang': True, 'apply': True},
        items=[('run', 'running', {'outcome': 'succeeded', 'state': 'cancelled'}, 'cancelled'),
               ('end', 'succeeded', no('not_cancellable', 'succeeded'), 'succeeded')])

# The simulator gives every account the same token: this one is alone.
row('enos', 'token ran out', succeeded('enos', attempts=2), 'cC', STOPPED['enos'],
    cancel={'expired_token': True}, table=ALONE)


class Truth(support.SystemTest):
    partitions = 4

    def setUp(self):
        super().setUp()
        self.other = f'{self.group}.other'
        self.kafka.create(f'{self.other}:1')

    def accounts(self, rows):
        usual = self.worker_config()['accounts']
        names = {'enos': support.ENOS, 'scnet': support.SCNET, 'iotda': support.IOTDA,
                 'koodrive': support.KOODRIVE}
        patient = {'limits': {'timeout': '60s', 'connect_timeout': '30s'},
                   'retry': {'attempts': 10, 'give_up_after': '10m'},
                   'settle': {'poll': '50ms..200ms'}}
        accounts = {}
        for row in rows:
            settings = row.settings(self) if callable(row.settings) else row.settings
            accounts[row.account] = support.merged(
                support.merged(usual[names[row.provider]], patient), settings)
        return accounts

    def worker(self, rows, name='worker', **settings):
        return support.Worker(self, name, accounts=self.accounts(rows), worker=settings,
                              kafka={'commands': [self.commands, self.other]})

    def script(self, rows):
        self.simulator.tasks(*[script for row in rows for script in row.scripts()])
        faults = [fault for row in rows for fault in row.faults()]
        if faults:
            self.simulator.request('POST', 'faults', faults)

    def send(self, rows):
        records = []
        for row in rows:
            more = dict(row.command)
            if 'expiresAt' in more:
                at = time.time() + more['expiresAt']
                more['expiresAt'] = datetime.datetime.fromtimestamp(
                    at, datetime.timezone.utc).isoformat(timespec='milliseconds')
            record = self.command(row.name, row.operation, row.provider, row.body(), key=None,
                                  account=row.account, partition=0 if row.together else None,
                                  **more)
            if row.age:
                record['timestamp'] = int((time.time() - row.age) * 1000)
            records.append(record)
        self.kafka.produce(records)

    def tell(self, rows, results):
        """Compares each row with its result and with the simulator's tasks, which may still be on
        their way; the rows that lie are named together."""
        def lies():
            tasks = {(task['provider'], task['id']): task
                     for task in self.simulator.ledger()['tasks']}
            return [lie for row in rows for lie in compare(row, results[row.name], tasks)]
        try:
            wait_for('the simulator to agree', lambda: not lies(), 20)
        except AssertionError:
            self.fail('\n' + '\n'.join(lies()))

    def assert_calls_as_documented(self):
        """Many accounts with one AppKey sign in within a millisecond, which a real account, signing
        in once at a time, does not: the simulator takes that for a replay."""
        violations = [violation for violation in self.simulator.summary()['violations']
                      if 'replay guard' not in violation['what']]
        self.assertEqual([], violations[:5])

    def run_through(self, rows):
        self.worker(rows).ready()
        self.script(rows)
        self.send(rows)
        self.tell(rows, self.answers(len(rows)))
        self.assert_faults_fired()
        self.assert_calls_as_documented()

    def test_whole_table(self):
        self.run_through(ROWS)

    def test_token_that_ran_out(self):
        self.run_through(ALONE)

    def test_killed_while_the_cancel_is_out(self):
        worker = self.worker(CRASHES).ready()
        self.script(CRASHES)
        self.send(CRASHES)
        sent = time.time()
        wait_for('every cancel to be out', lambda: all(
            task['cancels_asked'] for task in self.simulator.ledger()['tasks']
            if task['id'] in {row.first for row in CRASHES}))
        worker.kill()
        wait_for('the deadlines to be over', lambda: time.time() > sent + SOON_S)
        self.worker(CRASHES, 'heir', max_age='10m')
        self.tell(CRASHES, self.answers(len(CRASHES)))
        self.assert_faults_fired()
        self.assert_calls_as_documented()

    def test_every_situation_has_a_row_or_a_reason(self):
        rows = {(row.form, row.situation) for row in ROWS + ALONE + CRASHES}
        several = {situation for form, situation in list(rows) + list(NOT_THERE)
                   if sum((other, situation) in rows for other in FORMS) > 2}
        missing = [(form, situation) for situation in several for form in FORMS
                   if (form, situation) not in rows and (form, situation) not in NOT_THERE
                   and not situation.startswith('crash, some')
                   and not (form == PART and situation.startswith('status, '))]
        self.assertEqual([], missing)


def compare(row, result, tasks):
    """What the result says and must not, and what the simulator saw and must not."""
    found = members(result['items'][0] if row.form in LISTS and not row.items and
                    'items' in result else result, result)
    lies = [f'{name}: {found.get(name)!r} instead of {wanted!r}'
            for name, wanted in row.result.items() if not fits(found.get(name), wanted)]
    for id, (_, _, wanted, after), item in zip(row.ids, row.items or [], result.get('items', [])):
        said = members(item, result)
        lies += [f'{id}: {name}: {said.get(name)!r} instead of {value!r}'
                 for name, value in wanted.items() if not fits(said.get(name), value)]
        state = state_of(row, tasks, id)
        lies += [f'{id} is {state}, not {after}'] if after and state != after else []
    task = tasks[row.provider, row.first]
    if not re.fullmatch(row.seen, task['history']):
        lies.append(f'seen: {task["history"]} instead of {row.seen}')
    state = state_of(row, tasks, row.target if row.form == PART else row.first)
    if row.after and not row.items and not fits(state, row.after):
        lies.append(f'the task is {state}, not {row.after}')
    return [f'{row.name}: {lie}' for lie in lies]


def members(said, result):
    return {**said, 'kind': said.get('error', {}).get('kind'),
            **{name: result.get(name) for name in ('attempts', 'applied')}}


def fits(value, wanted):
    return value in wanted if isinstance(wanted, set) else value == wanted


def state_of(row, tasks, id):
    if row.form != PART:
        return tasks[row.provider, id]['state']
    task = tasks['iotda', row.task_id]
    if task['state'] in ('missing', 'cancelling'):
        return task['state']
    return {target['id']: target['state'] for target in task['targets']}.get(id)


if __name__ == '__main__':
    support.main()
