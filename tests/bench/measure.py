"""What all benches share: figures kept by row and round, medians with the least and the most, the
machine's noise beside them, JSON files, and the comparison of two of those.

A Book holds for every row one dict of figures a round. The rounds of all rows are measured in turn,
so that a slow minute of the machine hits them all alike.
"""

import argparse
import datetime
import hashlib
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

# More than this of a core used by others while a row was measured: its figures are doubtful.
FOREIGN_MOST = 0.2
TICKS = os.sysconf('SC_CLK_TCK')


def say(text):
    print(text, file=sys.stderr, flush=True)


# ---- the machine --------------------------------------------------------------------------------


def cpu_s(pid):
    """CPU time of a process so far, to the nanosecond (Linux' clock of another process)."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def machine_busy_s():
    fields = pathlib.Path('/proc/stat').read_text().split('\n', 1)[0].split()[1:9]
    user, nice, system, _, _, irq, soft_irq, steal = map(int, fields)
    return (user + nice + system + irq + soft_irq + steal) / TICKS


def own_cpu_s():
    """Of this process and of children that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def resident_mib(pid):
    for line in pathlib.Path(f'/proc/{pid}/status').read_text().splitlines():
        if line.startswith('VmRSS:'):
            return int(line.split()[1]) / 1024
    return 0.0


def calibration_ms():
    """A fixed piece of work, best of three: how fast the processor is at the moment."""
    block, best = bytes(1 << 24), float('inf')
    for _ in range(3):
        began = time.perf_counter()
        hashlib.md5(block).digest()
        best = min(best, time.perf_counter() - began)
    return best * 1000


class Noise:
    """Figures of what the machine did besides: `with Noise(pids) as noise: ...`, where `pids` live
    all the time, and what else belongs to the measurement is a child that ends within."""

    def __init__(self, *pids):
        self.pids, self.figures = pids, {}

    def spent(self):
        return machine_busy_s() - own_cpu_s() - sum(map(cpu_s, self.pids))

    def __enter__(self):
        calibrated = calibration_ms()
        self.began, self.at_first = time.monotonic(), self.spent()
        self.figures['calib_ms'] = calibrated
        return self

    def __exit__(self, *_):
        seconds = time.monotonic() - self.began
        self.figures['foreign_cores'] = max(0.0, (self.spent() - self.at_first) / seconds)


def processor():
    for line in pathlib.Path('/proc/cpuinfo').read_text().splitlines():
        if line.startswith('model name'):
            return line.split(':', 1)[1].strip()
    return platform.machine()


# ---- figures ------------------------------------------------------------------------------------


class Column:
    """A figure of the table. better: +1 more is better, -1 less is, 0: neither."""

    def __init__(self, title, name, digits=0, better=0):
        self.title, self.name, self.digits, self.better = title, name, digits, better

    def number(self, value):
        return f'{value:,.{self.digits}f}'

    def cell(self, values):
        """Median (least-most)."""
        if not values:
            return '-'
        middle, least, most = (self.number(pick(values))
                               for pick in (statistics.median, min, max))
        return middle if least == most else f'{middle} ({least}-{most})'


def print_table(titles, rows):
    """Markdown that is readable as it is."""
    widths = [max(len(str(line[i])) for line in [titles, *rows]) for i in range(len(titles))]
    for line in [titles, ['-' * width for width in widths], *rows]:
        print('| ' + ' | '.join(f'{cell!s:{width}}' for cell, width in zip(line, widths)) + ' |')


class Book:
    def __init__(self, bench):
        self.bench, self.rows, self.about = bench, {}, {}

    def add(self, row, figures):
        self.rows.setdefault(row, []).append(figures)

    def values(self, row, name):
        return [figures[name] for figures in self.rows.get(row, [])
                if figures.get(name) is not None]

    def median(self, row, name):
        return statistics.median(self.values(row, name))

    def noisy(self, row):
        return sum(value > FOREIGN_MOST for value in self.values(row, 'foreign_cores'))

    def print(self, columns, rows=None, first='row', name=str):
        """The table of these rows (all); a row that was measured beside others' work is marked."""
        lines = []
        for row in rows or self.rows:
            rounds, noisy = len(self.rows[row]), self.noisy(row)
            cells = [column.cell(self.values(row, column.name)) for column in columns]
            lines.append([name(row), *cells, f'{noisy} of {rounds}' if noisy else ''])
        print_table([first, *(column.title for column in columns), 'noisy'], lines)

    def print_noise(self):
        """One line: may these figures be trusted?"""
        foreign = [value for row in self.rows for value in self.values(row, 'foreign_cores')]
        speed = [value for row in self.rows for value in self.values(row, 'calib_ms')]
        if not foreign:
            return
        noisy = sum(value > FOREIGN_MOST for value in foreign)
        print(f'machine: {os.cpu_count()} cores, {processor()}; cores used by others '
              f'{Column("", "", 2).cell(foreign)}, above {FOREIGN_MOST} in {noisy} of '
              f'{len(foreign)} measurements; a fixed piece of work took '
              f'{Column("", "", 1).cell(speed)} ms')

    # ---- files ----

    def save(self, file):
        self.about.setdefault('at', datetime.datetime.now().isoformat(timespec='seconds'))
        text = json.dumps({'bench': self.bench, 'about': {**self.about, 'cores': os.cpu_count(),
                                                          'processor': processor()},
                           'rows': self.rows}, indent=1)
        pathlib.Path(file).write_text(text + '\n')

    @classmethod
    def load(cls, file):
        content = json.loads(pathlib.Path(file).read_text())
        book = cls(content['bench'])
        book.about, book.rows = content['about'], content['rows']
        return book

    def print_comparison(self, other, columns):
        """This run against an earlier one: changes of medians, and whether the spreads overlap."""
        if other.bench != self.bench:
            sys.exit(f'bench: --compare: a file of {other.bench}, not of {self.bench}')
        print(f"\nagainst {other.about.get('version', '?')} of {other.about.get('at', '?')}, on "
              f"{other.about.get('processor', '?')}")
        lines = []
        for row in self.rows:
            for column in columns:
                now, then = self.values(row, column.name), other.values(row, column.name)
                if now and then and column.better:
                    lines.append([row, column.title, column.cell(then), column.cell(now),
                                  *verdict(then, now, column.better)])
        print_table(['row', 'figure', 'then', 'now', 'change', 'verdict'], lines)


def verdict(then, now, better):
    """('+12 %', 'better'): worse or better only where the two spreads do not overlap."""
    before, after = statistics.median(then), statistics.median(now)
    change = f'{100 * (after / before - 1):+.0f} %' if before else '-'
    if min(len(then), len(now)) < 3 and before != after:
        return change, 'too few rounds to tell'
    if min(now) > max(then):
        return change, 'better' if better > 0 else 'WORSE'
    if max(now) < min(then):
        return change, 'WORSE' if better > 0 else 'better'
    return change, 'within the spread'


# ---- a bench's command line ---------------------------------------------------------------------


def parser(description, repeat=3):
    options = argparse.ArgumentParser(description=description,
                                      formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument('--repeat', type=int, default=repeat, help='rounds (%(default)s)')
    options.add_argument('--json', metavar='FILE', help='write all figures there')
    options.add_argument('--compare', metavar='FILE', help='with an earlier --json')
    return options


def version():
    return subprocess.run([os.environ['KANCEL_WORKER'], '--version'], capture_output=True,
                          text=True, check=True).stdout.strip()


def finish(book, options, columns):
    """The machine's noise, the file, the comparison."""
    book.about['version'] = version()
    book.print_noise()
    if options.json:
        book.save(options.json)
    if options.compare:
        book.print_comparison(Book.load(options.compare), columns)


def measured(test):
    """Runs a support.SystemTest that keeps its result in `figures`; ends the bench if it fails."""
    result = test.run()
    if not result.wasSuccessful() or result.skipped:
        for _, trace in result.errors + result.failures + result.skipped:
            say(trace)
        sys.exit('bench: not measured')
    return test.figures
