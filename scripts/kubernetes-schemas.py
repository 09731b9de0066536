#!/usr/bin/env python3
"""kubernetes-schemas.py OUT SWAGGER CRD... : JSON schemas for kubeconform, one for each kind, from Kubernetes' swagger.json and from CRDs. Unknown
fields are refused. The files are OUT/KIND-GROUP-VERSION.json in lower case; the core group is `core`.
"""

import json
import sys
from pathlib import Path

import yaml

PREFIX = "#/definitions/"
INT_OR_STRING = {"oneOf": [{"type": "string"}, {"type": "integer"}]}
# Definitions that take more than the OpenAPI document says.
OTHER = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": INT_OR_STRING,
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": ["string", "number"]},
}


def strict(schema):
    """A schema that refuses unknown fields of objects with fields, in the terms of JSON Schema."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return INT_OR_STRING
    # A CEL rule, a format of Go and a validation that only the API server does.
    kept = {key: value for key, value in schema.items() if not key.startswith("x-kubernetes") and key not in {"format", "nullable"}}
    result = {key: strict(value) for key, value in kept.items() if key != "properties"}
    if "properties" in kept:
        result["properties"] = {name: strict(value) for name, value in kept["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            result.setdefault("additionalProperties", False)
    if schema.get("nullable") and isinstance(result.get("type"), str):
        result["type"] = [result["type"], "null"]
    return result


def write(directory, kind, group, version, schema):
    parts = [kind, group.split(".")[0], version]
    (directory / ("-".join(part for part in parts if part).lower() + ".json")).write_text(json.dumps(schema))


def from_swagger(directory, path):
    definitions = json.loads(path.read_text())["definitions"]
    strict_ones = {name: OTHER.get(name) or strict(one) for name, one in definitions.items()}
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", []):
            # Lists and options are no objects of a manifest.
            if "metadata" in definition.get("properties", {}):
                schema = {"$ref": PREFIX + name, "definitions": strict_ones}
                write(directory, kind["kind"], kind["group"], kind["version"], schema)


def from_crd(directory, path):
    spec = yaml.safe_load(path.read_text())["spec"]
    for version in spec["versions"]:
        schema = version["schema"]["openAPIV3Schema"]
        schema["properties"] |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
        write(directory, spec["names"]["kind"], spec["group"], version["name"], strict(schema))


def main():
    out, swagger, *crds = map(Path, sys.argv[1:])
    out.mkdir(parents=True)
    from_swagger(out, swagger)
    for crd in crds:
        from_crd(out, crd)


main()
