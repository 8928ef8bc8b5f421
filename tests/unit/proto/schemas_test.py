#!/usr/bin/env python3
"""The schemas are schemas, every example is valid, and every invalid example is refused.

What is wrong in an invalid example is its file's name. `text-*` are no concern of a schema: JSON
parsers see a valid command there, or nothing at all; the codec's own tests refuse them.
"""
import copy
import json
import pathlib
import sys

try:
    from jsonschema import Draft202012Validator
except ImportError:
    sys.exit("schemas_test: Python module jsonschema is missing (Debian: python3-jsonschema)")

ROOT = pathlib.Path(__file__).resolve().parents[3]
PROTO = ROOT / "proto"
EXAMPLES = PROTO / "examples"
# What was frozen: such files are only ever added.
COMPATIBILITY = ROOT / "tests" / "fixtures" / "compatibility"
# Of a provider that only the tests know: what a new one brings.
FRAGMENT = ROOT / "tests" / "unit" / "fifth" / "support" / "parcel.schema.json"
EVENT_ATTRIBUTES = {"specversion", "id", "source", "type"}
# Fewer would mean that the test looks in the wrong place.
LEAST = {"command-": 12, "result-": 16, "event-": 3}
PROGRESS = {"progress-": 1}
LEAST_INVALID = {"command-": 19, "task-": 18, "result-": 17}


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def validator(name):
    schema = read(PROTO / f"{name}.schema.json")
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def content_of(schema):
    """What the data of an event must be: its id may be left to the event."""
    return Draft202012Validator({"$ref": "#/$defs/content", "$defs": schema.schema["$defs"]})


def message_of(path, command, result):
    """(validator, message) of one file."""
    message = read(path)
    schema = result if "result" in path.name else command
    if not path.name.startswith("event-"):
        return schema, message
    missing = EVENT_ATTRIBUTES - message.keys()
    if missing:
        sys.exit(f"{path.name}: without {missing}")
    return (content_of(command) if schema is command else result), message["data"]


def check(directory, least, expect_valid, command, result):
    faults = []
    for prefix, count in least.items():
        paths = sorted(directory.glob(f"{prefix}*.json"))
        if len(paths) < count:
            faults.append(f"{directory.name}/{prefix}*: {len(paths)} files; expected {count}")
        for path in paths:
            schema, message = message_of(path, command, result)
            errors = [error.message for error in schema.iter_errors(message)]
            if expect_valid and errors:
                faults.append(f"{path.name}: {errors[0]}")
            if not expect_valid and not errors:
                faults.append(f"invalid/{path.name}: is valid")
    return faults


def check_fragment(command):
    """A fragment put among the others is all that the schema needs for another provider."""
    good = {"id": "c-1", "operation": "cancel", "provider": "parcel", "task": {"shipment": "A1"}}
    misspelt = dict(good, task={"shipments": "A1"})
    if not list(command.iter_errors(good)):
        return ["parcel: known before its fragment is there"]
    schema = copy.deepcopy(command.schema)
    schema["$defs"]["content"]["oneOf"].append(read(FRAGMENT))
    Draft202012Validator.check_schema(schema)
    extended = Draft202012Validator(schema)
    faults = [f"parcel: {error.message}" for error in extended.iter_errors(good)]
    if not list(extended.iter_errors(misspelt)):
        faults.append("parcel: a misspelt member is valid")
    return faults + check(EXAMPLES, LEAST, True, extended, validator("result"))


def opened(part):
    """A result's schema as its readers have to take it: kinds and states may be added."""
    if isinstance(part, list):
        return [opened(each) for each in part]
    if not isinstance(part, dict):
        return part
    return {name: {"type": "string"} if name in ("kind", "state") and "enum" in value
            else opened(value) for name, value in part.items()}


def check_compatibility(command):
    """Old commands are valid now, and a reader of old results can read today's."""
    faults = []
    versions = sorted(COMPATIBILITY.iterdir())
    if not versions:
        faults.append("compatibility: no version is there")
    for version in versions:
        result = Draft202012Validator(opened(read(version / "result.schema.json")))
        progress = Draft202012Validator({"$ref": "#/$defs/progress",
                                         "$defs": result.schema["$defs"]})
        faults += check(version, {"command-": 12, "event-command": 1}, True, command, result)
        faults += check(EXAMPLES, {"result-": 16, "event-result": 1}, True, command, result)
        faults += check(EXAMPLES, PROGRESS, True, progress, result)
    return faults


def main():
    command, result = validator("command"), validator("result")
    faults = check(EXAMPLES, LEAST, True, command, result)
    faults += check(EXAMPLES / "invalid", LEAST_INVALID, False, command, result)
    progress = Draft202012Validator({"$ref": "#/$defs/progress", "$defs": result.schema["$defs"]})
    faults += check(EXAMPLES, PROGRESS, True, progress, result)
    faults += check(EXAMPLES / "invalid", PROGRESS, False, progress, result)
    faults += check_fragment(command)
    faults += check_compatibility(command)
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
