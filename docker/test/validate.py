"""validate.py FILE: checks rendered manifests against Kubernetes' own schemas; custom resources, which
have none there, by the fields that they must have."""

import sys

import kubernetes_validate
import yaml

CUSTOM = {
    'ServiceMonitor': lambda spec: spec['endpoints'][0]['port'] and spec['selector']['matchLabels'],
    'ScaledObject': lambda spec: spec['scaleTargetRef']['name'] and all(
        trigger['type'] == 'kafka' and trigger['useCachedMetrics'] is True
        and all(isinstance(value, str) for value in trigger['metadata'].values())
        and {'bootstrapServers', 'consumerGroup', 'topic', 'lagThreshold'} <= trigger['metadata'].keys()
        for trigger in spec['triggers']),
}

for manifest in yaml.safe_load_all(open(sys.argv[1])):
    if not manifest:
        continue
    kind = manifest['kind']
    if kind in CUSTOM:
        assert CUSTOM[kind](manifest['spec']), kind
    else:
        kubernetes_validate.validate(manifest, '1.31', strict=True)
