#!/usr/bin/env python3
"""What an autoscaler makes of kancel's committed offsets. The chart scales by KEDA's kafka scaler; here
stands that scaler's arithmetic (kedacore/keda 2.20, pkg/scalers/kafka_scaler.go), fed with the
chart's own fields and with what a real broker says of the group."""

import json
import math
import pathlib
import re

import support
from support import ENOS, KOODRIVE, Reader, Worker, wait_for

CHART = pathlib.Path(__file__).resolve().parents[2] / 'docker' / 'kubernetes'
NO_OFFSET = -1001  # librdkafka's; KEDA's client says -1
COPIES = 8


def chart_fields():
    """The fields of the chart's trigger that are the same for everybody, and the default values."""
    template = (CHART / 'templates' / 'scaledobject.yaml').read_text()
    values = (CHART / 'values.yaml').read_text()
    scaling = values[values.index('\nscaling:'):]
    fields = dict(re.findall(r'^ +"(\w+)" "(true|false|earliest|latest)"', template, re.M))
    for name in ('lagThreshold', 'activationLagThreshold'):
        fields[name] = re.search(rf'^  {name}: (\d+)', scaling, re.M)[1]
    return fields


class Scaler:
    """One look is one polling cycle."""

    def __init__(self, test, **over):
        fields = {**chart_fields(), **over}
        self.test = test
        self.threshold = int(fields['lagThreshold'])
        self.activation = int(fields.get('activationLagThreshold', 0))
        self.policy = fields.get('offsetResetPolicy', 'latest')
        self.idle_allowed = fields.get('allowIdleConsumers') == 'true'
        self.persistent_excluded = fields.get('excludePersistentLag') == 'true'
        self.zero_on_invalid = fields.get('scaleToZeroOnInvalidOffset') == 'true'
        self.before = {}

    def of_partition(self, partition, offset, end):
        """(lag for the number of copies, lag for whether there is any copy)"""
        if offset == NO_OFFSET and (self.policy == 'latest' or self.zero_on_invalid):
            return (0, 0) if self.zero_on_invalid else (1, 1)
        if offset == NO_OFFSET:
            return end, end
        known = self.before.get(partition)
        if self.persistent_excluded and known == offset:
            return 0, end - offset
        self.before[partition] = offset
        return end - offset, end - offset

    def look(self):
        """(lag that counts, is a copy needed at all, how many)"""
        said = [json.loads(line) for line in
                self.test.kafka.probe('lag', self.test.group, self.test.commands)]
        lags = [self.of_partition(**each) for each in said]
        lag, whole = (sum(column) for column in zip(*lags))
        if not self.idle_allowed and lag // self.threshold > len(lags):
            lag = len(lags) * self.threshold
        active = whole > self.activation
        # The autoscaler's part: an average value a copy; from and to none is KEDA's own.
        copies = max(1, min(COPIES, math.ceil(lag / self.threshold))) if active else 0
        return lag, active, copies


class Scaling(support.SystemTest):
    partitions = 4
    window = 50

    def start(self, name='worker', **settings):
        patient = {'limits': {'timeout': '5m'}}
        return Worker(self, name, worker={'window': self.window},
                      accounts={ENOS: patient, KOODRIVE: patient}, **settings)

    def scaler(self, **over):
        """With the chart's fields; the threshold stands to the window as the chart's does."""
        return Scaler(self, **{'lagThreshold': str(2 * self.window), **over})

    def spread(self, count):
        """Commands on all partitions in turn, each with a key of its own."""
        return [self.command(f'{i}-0', 'cancel', 'enos', {'channelId': 'ch', 'taskId': f't-{i}'},
                             key=f'k{i}', partition=i % self.partitions) for i in range(count)]

    def until_committed(self, *offsets):
        wait_for('the commits', lambda: list(offsets) == [
            offset for offset, _ in self.kafka.committed(self.group, self.commands).values()])

    def test_the_charts_threshold_is_above_what_one_partition_may_have_in_work(self):
        example = (CHART.parents[1] / 'worker/app/kancel.example.yaml').read_text()
        window = int(re.search(r'^  window: (\d+)', example, re.M)[1])
        self.assertGreater(int(chart_fields()['lagThreshold']), window)
        self.assertEqual(('earliest', 'true', 'false'),
                         tuple(chart_fields()[name] for name in
                               ('offsetResetPolicy', 'excludePersistentLag', 'allowIdleConsumers')))

    def test_a_group_that_never_was_counts_every_command(self):
        """So that the first copy comes: by `latest` it would be one a partition, whatever waits."""
        self.kafka.produce(self.spread(250))
        self.assertEqual((250, True, 3), self.scaler().look())
        self.assertEqual((250, True, 5), self.scaler(lagThreshold='55').look(),
                         'its bound may be missed by one: maxReplicas is the number of partitions')
        self.assertEqual(4, self.scaler(offsetResetPolicy='latest').look()[0])
        self.assertEqual(0, self.scaler(scaleToZeroOnInvalidOffset='true').look()[0])

    def test_the_first_assignment_commits_every_partition(self):
        """With nothing to do: else an empty partition would have no offset, and by `latest` keep a
        copy for ever."""
        worker = self.start().ready()
        self.until_committed(0, 0, 0, 0)
        self.assertEqual((0, False, 0), self.scaler().look())
        self.assertEqual((0, False, 0), self.scaler(offsetResetPolicy='latest').look())
        self.assertEqual(0, worker.stop())

    def test_lag_falls_to_nothing_as_commands_are_answered(self):
        self.simulator.fault({'provider': 'enos', 'operation': 'cancel'}, {'delay_ms': 200},
                             times=-1)
        self.kafka.produce(self.spread(600))
        reader = Reader(self, self.results)
        scaler = self.scaler(excludePersistentLag='false', allowIdleConsumers='true')
        self.assertEqual((600, True, 6), scaler.look())
        self.assertEqual((400, True, 4), self.scaler().look(), 'no more copies than partitions')
        worker = self.start(log={'level': 'info'})
        reader.wait(1)
        lags = []
        while len(reader.records) < 600:
            lags.append(scaler.look()[0])
        self.assertEqual(sorted(lags, reverse=True), lags, 'it only falls')
        wait_for('no lag', lambda: scaler.look() == (0, False, 0))
        self.assertEqual(0, worker.stop())
        self.assertEqual((0, False, 0), self.scaler().look(), 'nor after the last copy left')

    def test_a_stuck_command_keeps_one_copy_and_asks_for_no_more(self):
        """The frontier stands before it while everything behind it is answered: that lag counts for
        a look, and then only for keeping a copy."""
        stuck = self.command('stuck', 'status', 'koodrive', {'jobId': '1'}, key='s', partition=0)
        self.simulator.fault({'provider': 'koodrive', 'task': '1'}, {'hang': True}, times=-1)
        worker = self.start()
        self.kafka.produce([stuck])
        wait_for('the call', lambda: self.simulator.task('koodrive', '1'))
        self.kafka.produce(self.spread(1200))
        Reader(self, self.results).wait(1200)
        self.until_committed(0, 300, 300, 300)
        scaler = self.scaler()
        self.assertEqual((301, True, 4), scaler.look(), 'at the first look')
        self.assertEqual((0, True, 1), scaler.look())
        self.assertEqual((0, True, 1), scaler.look())
        self.assertEqual((301, True, 4), self.scaler(excludePersistentLag='false').look(),
                         'what it would be for ever')
        worker.kill()
        self.simulator.no_faults()
        worker = self.start('next')
        wait_for('no lag', lambda: scaler.look() == (0, False, 0))
        self.assertEqual(0, worker.stop())

    def test_a_full_window_asks_for_no_more_copies(self):
        """A provider that does not answer fills the windows: more copies would wait like the rest."""
        self.simulator.fault({'provider': 'enos'}, {'hang': True}, times=-1)
        worker = self.start()
        self.until_committed(0, 0, 0, 0)
        self.kafka.produce(self.spread(600))
        wait_for('full windows', lambda: worker.metric('kancel_partitions_paused') == 4)
        scaler = self.scaler()
        scaler.look()
        self.assertEqual((0, True, 1), scaler.look())
        worker.kill()

    def test_markers_of_transactions_are_lag_that_stays(self):
        """A requester's transaction ends with a marker that nobody is given, so its partition ends
        one behind the last command: activationLagThreshold has to allow for it, or one copy is kept
        for ever."""
        worker = self.start()
        self.kafka.produce(self.spread(40), transactional_id=self.group)
        Reader(self, self.results).wait(40)
        self.until_committed(10, 10, 10, 10)
        self.assertEqual((4, True, 1), self.scaler(excludePersistentLag='false').look())
        scaler = self.scaler(activationLagThreshold=str(self.partitions))
        self.assertEqual((4, False, 0), scaler.look())
        self.assertEqual((0, False, 0), scaler.look())
        self.assertEqual(0, worker.stop())


if __name__ == '__main__':
    support.main()
