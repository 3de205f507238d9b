#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A second reader of safetensors, from the specification (github.com/huggingface/safetensors) and Python's standard library alone.

    read_safetensors.py FILE...         name, dtype, shape and SHA-256 of each tensor, in the order of their data
    read_safetensors.py --dump FILE...  metadata, then name and shape of each tensor

Exit code 1 where the specification forbids a file. read() is for other scripts.
"""

import hashlib
import json
import sys

MAX_HEADER = 100_000_000
BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4,
         "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8}


class Bad(Exception):
    """What the specification forbids."""


def check(condition, message):
    if not condition:
        raise Bad(message)


def no_duplicates(pairs):
    result = dict(pairs)
    check(len(result) == len(pairs), "a key stands twice")
    return result


def no_constants(text):
    raise Bad(f"{text} is no JSON")


def is_size(value):
    return type(value) is int and 0 <= value < 1 << 64  # bool is no number here


def read_header(data):
    check(len(data) >= 8, f"{len(data)} bytes hold no header")
    length = int.from_bytes(data[:8], "little")
    check(length <= MAX_HEADER, f"a header of {length} bytes, but at most {MAX_HEADER} are allowed")
    check(8 + length <= len(data), f"the header ends at byte {8 + length}, the file at {len(data)}")
    check(data[8:9] == b"{" and length > 0, "the header does not begin with '{'")
    try:
        header = json.loads(data[8:8 + length].rstrip(b" ").decode("utf-8"), object_pairs_hook=no_duplicates,
                            parse_constant=no_constants)
    except (ValueError, RecursionError) as error:
        raise Bad(f"the header is no JSON: {error}") from error
    return header, data[8 + length:]


def check_tensor(name, entry, size):
    check(type(entry) is dict and set(entry) == {"dtype", "shape", "data_offsets"},
          f"{name}: not dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    check(type(dtype) is str and dtype in BYTES, f"{name}: dtype {dtype} is unknown")
    check(type(shape) is list and all(map(is_size, shape)), f"{name}: shape {shape} is no list of sizes")
    check(type(offsets) is list and len(offsets) == 2 and all(map(is_size, offsets)), f"{name}: offsets {offsets}")
    count = BYTES[dtype]
    for n in shape:
        count *= n
        check(count < 1 << 64, f"{name}: shape {shape} overflows")
    check(offsets[0] <= offsets[1] <= size, f"{name}: offsets {offsets} do not lie in {size} bytes of data")
    check(offsets[1] - offsets[0] == count, f"{name}: {offsets[1] - offsets[0]} bytes, but its shape takes {count}")


def read(path):
    """(metadata, {name: (dtype, shape, bytes)}), in the order of the data."""
    with open(path, "rb") as file:
        header, data = read_header(file.read())
    metadata = header.pop("__metadata__", {})
    check(type(metadata) is dict and all(type(v) is str for v in metadata.values()), "metadata are not text to text")
    for name, entry in header.items():
        check_tensor(name, entry, len(data))
    end = 0
    tensors = {}
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        start, stop = entry["data_offsets"]
        check(start == end, f"{name}: begins at {start}, but the tensor before it ends at {end}")
        tensors[name] = (entry["dtype"], entry["shape"], data[start:stop])
        end = stop
    check(end == len(data), f"{len(data)} bytes of data, but the tensors end at {end}")
    return metadata, tensors


def show(path, dump):
    metadata, tensors = read(path)
    if dump:
        for key, value in metadata.items():
            print(f"{key}: {value!r}")
    for name, (dtype, shape, data) in tensors.items():
        print(name, shape) if dump else print(name, dtype, shape, hashlib.sha256(data).hexdigest())


def main(arguments):
    dump = arguments[:1] == ["--dump"]
    paths = arguments[dump:]
    if not paths or paths[0].startswith("-"):
        print("usage: read_safetensors.py [--dump] FILE...", file=sys.stderr)
        return 2
    bad = 0
    for path in paths:
        try:
            show(path, dump)
        except (Bad, OSError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            bad = 1
    return bad


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
