#!/usr/bin/env python3
"""Workers join, leave and die under load, under each of the group's protocols: work that was done is
not done again. The figures are what the simulator counted."""

import json

import support

KEYS, EACH = 1000, 6
CONCURRENCY = 20

COOPERATIVE = {'partition.assignment.strategy': 'cooperative-sticky'}
RANGE = {'partition.assignment.strategy': 'range'}
# Its heartbeats and session are the broker's to set.
CONSUMER = {'group.protocol': 'consumer', 'session.timeout.ms': None,
            'heartbeat.interval.ms': None}


class Rebalance(support.SystemTest):
    partitions = 8
    simulator_options = ('--delay-ms', '30-80')

    def start(self, name, properties, instance=''):
        config = {'kafka': {'properties': properties}, 'worker': {'instance_id': instance},
                  'log': {'level': 'info'},
                  'accounts': {support.ENOS: {'limits': {'concurrency': CONCURRENCY}}}}
        return support.Worker(self, name, **config)

    def worker_config(self, **settings):
        config = super().worker_config(**settings)
        properties = config['kafka']['properties']
        config['kafka']['properties'] = {name: value for name, value in properties.items()
                                         if value is not None}
        return config

    def repeated(self):
        """Cancels that were sent again, and statuses that were asked of what may have been sent."""
        tasks = self.simulator.ledger()['tasks']
        return (sum(max(0, task['cancels_asked'] - 1) for task in tasks),
                sum(task['statuses_asked'] for task in tasks))

    def come_and_go(self, properties, static=False):
        """Clean handovers first: nothing may be asked twice. Then one is killed: no more than what
        it had in flight."""
        def name(number):
            return f'slot-{number}' if static else ''
        commands = self.load(KEYS, EACH)
        self.kafka.produce(commands)
        reader = support.Reader(self, self.results)
        workers = [self.start('1', properties, name(1))]
        for number, share in ((2, 0.1), (3, 0.2)):
            reader.wait(int(share * len(commands)))
            workers.append(self.start(str(number), properties, name(number)).ready())
        for share in (0.35, 0.45):
            reader.wait(int(share * len(commands)))
            self.assertEqual(0, workers.pop(0).stop())
        workers.append(self.start('4', properties, name(1)).ready())
        reader.wait(int(0.6 * len(commands)))
        clean = self.repeated()
        workers.pop(0).kill()
        at = len(reader.records)
        self.assertLess(at, len(commands), 'killed in the middle')
        workers.append(self.start('5', properties, name(3)))
        reader.wait(len(commands))
        repeats, looks = self.repeated()
        print(f'  after 2 joined, 2 left, 1 came back: {clean[0]} cancels repeated, {clean[1]} '
              f'statuses asked; with one killed: {repeats} repeated '
              f'({100 * repeats / len(commands):.3f} % of {len(commands)} commands), {looks} '
              'statuses asked', flush=True)
        self.assertEqual([0, 0], [worker.stop() for worker in workers])
        self.assert_exactly_once(commands)
        self.assertEqual((0, 0), clean, 'asked again after clean handovers')
        self.assertLessEqual(repeats, CONCURRENCY, 'more than what was in flight')
        self.assertLess(repeats, len(commands) / 1000)

    def test_cooperative_sticky(self):
        self.come_and_go(COOPERATIVE)

    def test_range(self):
        self.come_and_go(RANGE)

    def test_consumer_protocol(self):
        self.come_and_go(CONSUMER)

    def test_a_partition_that_is_regained_is_fenced(self):
        """The sink may still hold a batch of a former ownership when its partition comes back; that
        must not rewind what the owner in between committed. Brokers tell them apart."""
        for properties in (COOPERATIVE, RANGE, CONSUMER):
            pairs = [f'{name}={value}' for name, value in properties.items() if value]
            if properties is not CONSUMER:
                pairs += ['session.timeout.ms=6000', 'heartbeat.interval.ms=200']
            with self.subTest(pairs[0]):
                said = json.loads(self.kafka.probe('regained', f'{self.group}-{pairs[0][-6:]}',
                                                   self.commands, *pairs)[0])
                print(f'  {pairs[0]}: {said}', flush=True)
                self.assertEqual('ILLEGAL_GENERATION', said['regained'])

    def test_static_membership(self):
        self.come_and_go(COOPERATIVE, static=True)


if __name__ == '__main__':
    support.main()
