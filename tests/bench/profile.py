#!/usr/bin/env python3
"""Where the worker's time goes under load: `run.sh profile` starts it.

perf samples the worker's processor time at one point; where the machine counts no cycles, by the
clock. Printed are the functions that take most, and each library's part.
"""

import argparse
import re
import shutil
import subprocess
import sys

import measure
from point import Point

EVENTS = {'cycles': ['-e', 'cycles'], 'clock': ['-e', 'cpu-clock']}


class Profiled(Point):
    """Samples while the load runs."""

    calls, count = 100, 100000
    event, data = 'clock', None

    def loaded(self, *workers):
        self.data = self.folder / 'perf.data'
        perf = subprocess.Popen(['perf', 'record', '-q', '-F', '997', *EVENTS[self.event], '-p',
                                 str(workers[0].process.pid), '-o', self.data],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return super().loaded(*workers)
        finally:
            perf.terminate()
            perf.wait()


def report(data, by):
    """[(per cent, name)]"""
    done = subprocess.run(['perf', 'report', '-i', data, '--stdio', '--no-children', '-s', by],
                          capture_output=True, text=True, check=True)
    return [(float(part), ' '.join(name.split()))
            for part, name in re.findall(r'^\s+([\d.]+)%\s+(\S.*?)[- ]*$', done.stdout, re.M)]


def counts_cycles():
    done = subprocess.run(['perf', 'stat', '-e', 'cycles', 'true'], capture_output=True, text=True,
                          check=False)
    return done.returncode == 0 and 'not supported' not in done.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--delay', type=int, default=10, metavar='MS', help='(%(default)s)')
    parser.add_argument('--calls', type=int, default=100, help='in flight (%(default)s)')
    parser.add_argument('--count', type=int, default=100000, help='commands (%(default)s)')
    parser.add_argument('--top', type=int, default=10, help='functions (%(default)s)')
    options = parser.parse_args()
    if not shutil.which('perf'):
        sys.exit('bench: there is no perf (Debian: linux-perf); run.sh instructions --top CASE '
                 'shows core and codecs by valgrind')
    point = Profiled(delay_ms=options.delay, calls=options.calls, count=options.count,
                     event='cycles' if counts_cycles() else 'clock')
    figures = measure.measured(point)
    each = figures['cpu_us']
    print(f"{measure.version()}: {figures['per_s']:,.0f} commands/s, {each:.1f} us of CPU each; "
          f'{options.delay} ms a call, {options.calls} in flight; sampled by {point.event}')
    for by, title, most in (('dso', 'library', 8), ('symbol,dso', 'function', options.top)):
        print()
        measure.print_table([title, 'part', 'us/command'],
                            [[name, f'{part:.1f} %', f'{part / 100 * each:.2f}']
                             for part, name in report(point.data, by)[:most]])


if __name__ == '__main__':
    main()
