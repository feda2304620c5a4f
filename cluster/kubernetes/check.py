#!/usr/bin/env python3
"""check.py MANIFEST [SCHEMA]: whether an MPIJob is one, without a cluster and without a network.

Reads the manifest (YAML; Debian: python3-yaml), checks it against mpijob_schema.json, which knows the fields that are
used here, and then what no schema says: every mounted volume is declared, the launcher starts as many processes as the
workers have slots. Prints each mistake with its place; status 0 without, 1 with mistakes, 77 where there is no yaml.
"""
import json
import os
import re
import sys

try:
    import yaml
except ImportError:
    print("skipped: no python3-yaml")
    sys.exit(77)

KINDS = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}


def check(value, schema, place, definitions, mistakes):
    schema = definitions[schema["$ref"]] if "$ref" in schema else schema
    kind = schema.get("type")
    if kind and (not isinstance(value, KINDS[kind]) or (kind == "integer" and isinstance(value, bool))):
        mistakes.append(f"{place}: found {value!r}, wanted {kind}")
        return
    if "enum" in schema and value not in schema["enum"]:
        mistakes.append(f"{place}: found {value!r}, wanted one of {schema['enum']}")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        mistakes.append(f"{place}: found {value!r}, wanted {schema['pattern']}")
    if "minimum" in schema and (value if kind == "integer" else len(value)) < schema["minimum"]:
        mistakes.append(f"{place}: found {value!r}, wanted at least {schema['minimum']}")
    if kind == "array":
        for n, one in enumerate(value):
            check(one, schema.get("items", {}), f"{place}[{n}]", definitions, mistakes)
    if kind == "object":
        for name in schema.get("required", []):
            if name not in value:
                mistakes.append(f"{place}: has no {name}")
        for name, one in value.items():
            known = schema.get("properties", {}).get(name)
            if known is not None:
                check(one, known, f"{place}.{name}", definitions, mistakes)
            elif schema.get("additionalProperties") is False:
                mistakes.append(f"{place}: no field is called {name}")


def check_sense(job, mistakes):
    replicas = job["spec"]["mpiReplicaSpecs"]
    for role, replica in replicas.items():
        pod = replica["template"]["spec"]
        declared = {volume["name"] for volume in pod.get("volumes", [])}
        for container in pod["containers"]:
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in declared:
                    mistakes.append(f"{role}: mounts {mount['name']}, which no volume is called")
    words = replicas["Launcher"]["template"]["spec"]["containers"][0].get("command", [])
    slots = job["spec"].get("slotsPerWorker", 1) * replicas["Worker"]["replicas"]
    if "-n" in words and words[words.index("-n") + 1] != str(slots):
        mistakes.append(f"the launcher starts {words[words.index('-n') + 1]} ranks, the workers have {slots} slots")


def main():
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "mpijob_schema.json")
    with open(sys.argv[2] if len(sys.argv) > 2 else beside, encoding="utf-8") as file:
        schema = json.load(file)
    with open(sys.argv[1], encoding="utf-8") as file:
        job = yaml.safe_load(file)
    mistakes = []
    check(job, schema, "MPIJob", schema["definitions"], mistakes)
    if not mistakes:
        check_sense(job, mistakes)
    for mistake in mistakes:
        print(mistake)
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
