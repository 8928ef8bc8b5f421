#!/usr/bin/env python3
"""sbom.py PROGRAM VERSION: a software bill of materials (CycloneDX 1.5, JSON) on standard output:
the program and every library that it loads, with the distribution's package, version and licence
file. A library that no package owns is named by its file and SHA-256."""

import hashlib
import json
import pathlib
import re
import subprocess
import sys


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def libraries(program):
    """Every shared library that is loaded, by its real path."""
    paths = re.findall(r'(?:=> )?(/\S+) \(0x', run('ldd', program))
    return sorted({str(pathlib.Path(path).resolve()) for path in paths})


def package_of(path):
    """The Debian package that owns a file, or None; /lib and /usr/lib are one folder there."""
    for name in (path, re.sub('^/usr/lib', '/lib', path)):
        done = subprocess.run(['dpkg-query', '-S', name], capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout.split(':')[0]
    return None


def package_component(name):
    version, source, arch = run('dpkg-query', '-W', '-f',
                                '${Version}|${source:Package}|${Architecture}', name).split('|')
    release = dict(line.split('=', 1)
                   for line in pathlib.Path('/etc/os-release').read_text().splitlines() if '=' in line)
    distro = f"{release['ID']}-{release.get('VERSION_ID', '').strip(chr(34))}"
    return {'type': 'library', 'name': name, 'version': version,
            'bom-ref': f'deb:{name}',
            'purl': f'pkg:deb/{release["ID"]}/{name}@{version.replace("+", "%2B")}?arch={arch}&distro={distro}',
            'properties': [{'name': 'debian:source', 'value': source},
                           {'name': 'licence:file', 'value': f'/usr/share/doc/{name}/copyright'}]}


def file_component(path):
    digest = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
    return {'type': 'library', 'name': pathlib.Path(path).name, 'bom-ref': f'file:{path}',
            'hashes': [{'alg': 'SHA-256', 'content': digest}]}


def main():
    program, version = sys.argv[1:]
    packages, loose = set(), []
    for path in libraries(program):
        package = package_of(path)
        if package:
            packages.add(package)
        else:
            loose.append(path)
    components = [*map(package_component, sorted(packages)), *map(file_component, loose)]
    kancel = {'type': 'application', 'name': 'kancel', 'version': version, 'bom-ref': 'kancel',
              'licenses': [{'license': {'id': 'Apache-2.0'}}],
              'hashes': file_component(program)['hashes']}
    json.dump({'bomFormat': 'CycloneDX', 'specVersion': '1.5', 'version': 1,
               'metadata': {'component': kancel}, 'components': components,
               'dependencies': [{'ref': 'kancel',
                                 'dependsOn': [each['bom-ref'] for each in components]}]},
              sys.stdout, indent=2)
    print()


if __name__ == '__main__':
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main()
