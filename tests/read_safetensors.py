#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""read_safetensors.py [--dump] FILE: checks all that the safetensors format demands (its README and reference reader).

    8 bytes N, unsigned, little-endian, at most 10^8; N bytes of UTF-8 JSON that begin with '{' and may end in spaces;
    the data, which the tensors fill from the first byte to the last, without holes and without overlaps

--dump prints name, dtype and shape of each tensor, in the order of the data. A bad file: exit code 1 and a sentence.
As a module: read(path) gives the metadata and {name: (dtype, shape, bytes)}.
"""

import json
import struct
import sys

BITS = {"BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
        "I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64}
MAX_HEADER = 100_000_000


def need(condition, sentence):
    if not condition:
        raise ValueError(sentence)


def no_duplicates(pairs):
    keys = [key for key, _ in pairs]
    need(len(set(keys)) == len(keys), f"the header has a key twice: {sorted(k for k in keys if keys.count(k) > 1)[:1]}")
    return dict(pairs)


def no_constant(name):
    raise ValueError(f"the header holds {name}, which is no JSON")


def is_size(value):
    return type(value) is int and 0 <= value < 2**64  # a bool is an int, too


def check_tensor(name, entry, size):
    """(begin, end) of a tensor whose entry is sound by itself."""
    need(isinstance(entry, dict) and set(entry) == {"dtype", "shape", "data_offsets"},
         f"tensor '{name}' must have dtype, shape and data_offsets, and nothing else")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    need(isinstance(dtype, str) and dtype in BITS, f"tensor '{name}' has an unknown dtype: {dtype}")
    need(isinstance(shape, list) and all(map(is_size, shape)), f"tensor '{name}': the shape is no list of sizes")
    need(isinstance(offsets, list) and len(offsets) == 2 and all(map(is_size, offsets)),
         f"tensor '{name}': data_offsets are not two sizes")
    begin, end = offsets
    need(begin <= end <= size, f"tensor '{name}' lies at {begin} to {end}, but the data have {size} bytes")
    count = 1
    for extent in shape:
        count *= extent
    need(count * BITS[dtype] < 2**67, f"tensor '{name}': the shape overflows")
    need(count * BITS[dtype] == (end - begin) * 8, f"tensor '{name}' has {end - begin} bytes, which is not its shape")
    return begin, end


def parse(content):
    """The metadata and {name: (dtype, shape, bytes)} of a file's bytes, by place; ValueError: what is wrong."""
    need(len(content) >= 8, f"{len(content)} bytes are too few for the header's length")
    (length,) = struct.unpack("<Q", content[:8])
    need(length <= MAX_HEADER, f"a header of {length} bytes is longer than {MAX_HEADER}")
    need(length <= len(content) - 8, f"a header of {length} bytes does not fit into {len(content)}")
    text = content[8 : 8 + length]
    need(text.startswith(b"{"), "the header does not begin with '{'")
    try:
        header = json.loads(text.decode("utf-8").rstrip(" "), object_pairs_hook=no_duplicates,
                            parse_constant=no_constant)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"the header is no JSON in UTF-8: {error}") from None
    metadata = header.pop("__metadata__", {})
    need(isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values()),
         "__metadata__ is no map of texts to texts")
    data, places, at = content[8 + length :], [], 0
    for name, entry in header.items():
        places.append((*check_tensor(name, entry, len(data)), name))
    for begin, end, name in sorted(places):
        need(begin == at, f"tensor '{name}' begins at byte {begin} of the data, but must at byte {at}")
        at = end
    need(at == len(data), f"the tensors end at byte {at}, but the data at byte {len(data)}")
    return metadata, {name: (header[name]["dtype"], header[name]["shape"], data[begin:end])
                      for begin, end, name in sorted(places)}


def read(path):
    with open(path, "rb") as file:
        return parse(file.read())


def main(arguments):
    dump = arguments[:1] == ["--dump"]
    if len(arguments) != dump + 1:
        print("usage: read_safetensors.py [--dump] FILE", file=sys.stderr)
        return 2
    try:
        tensors = read(arguments[-1])[1]
    except (OSError, ValueError) as error:
        print(f"{arguments[-1]}: {error}", file=sys.stderr)
        return 1
    if dump:
        for name, (dtype, shape, _) in tensors.items():
            print(name, dtype, "x".join(map(str, shape)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
