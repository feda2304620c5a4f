"""The Python package safetensors, asked by a test: python3 safetensors_peer.py read FILE | write FILE

Prints as JSON what is in the file: element type, shape and bytes (hexadecimal) of each tensor.
"""
import json
import sys

import numpy
from safetensors import deserialize, safe_open
from safetensors.numpy import save_file

WRITTEN = {
    "f64": ("F64", numpy.arange(4, dtype=numpy.float64).reshape(2, 2) / 3),
    "f32": ("F32", numpy.array([1.5, -0.0, numpy.inf], dtype=numpy.float32)),
    "half": ("F16", numpy.arange(5, dtype=numpy.float16).reshape(1, 5)),
    "long": ("I64", numpy.array(-7, dtype=numpy.int64)),
    "int": ("I32", numpy.array([1, -2], dtype=numpy.int32)),
    "byte": ("U8", numpy.arange(7, dtype=numpy.uint8)),
    "mask": ("BOOL", numpy.array([False, True, True])),
    "none": ("F32", numpy.zeros((0, 4), dtype=numpy.float32)),
    "Größe / \"x\"": ("U8", numpy.array([122], dtype=numpy.uint8)),
}


def described(dtype, shape, data):
    return {"dtype": dtype, "shape": list(shape), "bytes": bytes(data).hex()}


def read(path):
    with open(path, "rb") as file:
        tensors = deserialize(file.read())
    with safe_open(path, "np") as opened:
        metadata = opened.metadata()
        if sorted(opened.keys()) != sorted(name for name, _ in tensors):
            raise SystemExit("the package's two readers find other names")
    return {"metadata": metadata, "tensors": {name: described(t["dtype"], t["shape"], t["data"]) for name, t in tensors}}


def write(path):
    save_file({name: array for name, (_, array) in WRITTEN.items()}, path, {"made": "by a peer"})
    return {name: described(dtype, array.shape, array.tobytes()) for name, (dtype, array) in WRITTEN.items()}


if __name__ == "__main__":
    print(json.dumps(read(sys.argv[2]) if sys.argv[1] == "read" else write(sys.argv[2])))
