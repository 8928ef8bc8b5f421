#!/usr/bin/env python3
"""Instructions a command takes in core, codecs and drivers, against the figures of
instructions.txt; ctest runs it as bench.instructions, by hand `run.sh instructions`.

They are counted by callgrind over kancel-instructions, which needs no network: the same every
time, whatever else the machine does. What they depend on besides our code (compiler, options,
libraries, processor) stands in the file's first line; where that differs the test is skipped.

  --update       writes what was counted into the file
  --top CASE     the functions that take most, too
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
REFERENCE = HERE / 'instructions.txt'
PROGRAM = os.environ['KANCEL_INSTRUCTIONS']
CASES = ('enos', 'scnet', 'iotda', 'koodrive')
COUNT = 1000
TOLERANCE = 0.03
SKIPPED = 77
# Not the machine's own variants of memcpy and the like.
SAME_EVERYWHERE = ('glibc.cpu.hwcaps=-AVX2,-AVX,-AVX_Fast_Unaligned_Load,-AVX512F,-AVX512VL,'
                   '-AVX512BW,-ERMS,-FSRM,-BMI2')


def callgrind(case, out):
    """Instructions a command."""
    done = subprocess.run(['valgrind', '--tool=callgrind', f'--callgrind-out-file={out}',
                           '--toggle-collect=measured', PROGRAM, case, str(COUNT)],
                          env={**os.environ, 'GLIBC_TUNABLES': SAME_EVERYWHERE},
                          capture_output=True, text=True, check=False)
    counted = re.search(r'Collected : (\d+)', done.stderr)
    if done.returncode != 0 or not counted:
        sys.exit(f'instructions: {case}:\n{done.stderr}')
    return int(counted[1]) / COUNT


def print_top(out):
    listing = subprocess.run(['callgrind_annotate', '--threshold=95', out], capture_output=True,
                             text=True, check=True).stdout
    lines = re.findall(r'^\s*([\d,]+) \(\s*([\d.]+)%\)\s+(?:\S*/)?(\S+?):(\w\S*)', listing, re.M)
    print('\n| function | file | part | instructions a command |\n|---|---|---|---|')
    for count, part, file, function in lines[:20]:
        each = int(count.replace(',', '')) / COUNT
        print(f'| {function} | {file} | {part} % | {each:,.0f} |')


def reference():
    """(build, {case: instructions})"""
    lines = REFERENCE.read_text().splitlines()
    return lines[0], {case: int(count) for case, count in (line.split() for line in lines[1:])}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--update', action='store_true')
    parser.add_argument('--top', choices=CASES)
    options = parser.parse_args()
    build = subprocess.run([PROGRAM, '--build'], capture_output=True, text=True,
                           check=True).stdout.strip()
    if not shutil.which('valgrind'):
        print('skipped: there is no valgrind (docker/install-deps.sh --tests)')
        sys.exit(SKIPPED)
    known_build, known = reference()
    if build != known_build and not (options.update or options.top):
        print(f'skipped: instructions.txt has figures of {known_build}; this is {build}')
        sys.exit(SKIPPED)
    wrong, counted = [], {}
    for case in [options.top] if options.top else CASES:
        with tempfile.NamedTemporaryFile(prefix='callgrind.') as out:
            counted[case] = round(callgrind(case, out.name))
            change = counted[case] / known[case] - 1 if case in known else 0
            print(f'{case:9} {counted[case]:8,} instructions a command ({change:+.1%})', flush=True)
            if options.top:
                print_top(out.name)
        if abs(change) > TOLERANCE:
            wrong.append(f'{case}: {known[case]:,} were known, now it takes {counted[case]:,}')
    if options.update:
        REFERENCE.write_text('\n'.join([build, *(f'{case} {count}'
                                                 for case, count in counted.items())]) + '\n')
    elif wrong and not options.top:
        print('\n'.join(wrong), file=sys.stderr)
        sys.exit(f'instructions: more than {TOLERANCE:.0%} away. If that is meant, or better, '
                 'write it down: tests/bench/run.sh instructions --update')


if __name__ == '__main__':
    main()
