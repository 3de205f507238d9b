# SPDX-License-Identifier: MIT
"""check_onnx.py FILE: what ONNX's own checker says, and what it does not see. The first problem is an exception.

One input, which is no weight; a batch of any size, which no Reshape or Expand fixes; weights in the file itself, under
the names of its metadata.
"""

import ast
import json
import sys

import onnx
from onnx import numpy_helper

model = onnx.load(sys.argv[1])
onnx.checker.check_model(model, full_check=True)
graph = model.graph
weights = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
metadata = {p.key: p.value for p in model.metadata_props}
assert model.ir_version == 8 and [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
assert [i.name for i in graph.input] == ["pixels"] and [o.name for o in graph.output] == ["logits"]
for value in (graph.input[0], graph.output[0]):
    assert value.type.tensor_type.shape.dim[0].dim_param == "batch", value
for node in graph.node:
    if node.op_type == "Reshape":
        assert weights[node.input[1]][0] == 0, node
    if node.op_type == "Expand":
        assert node.input[1] not in weights, node
if "names" in metadata:
    names = json.loads(metadata["class_names"])
    assert ast.literal_eval(metadata["names"]) == dict(enumerate(names)), metadata
    assert len(names) == graph.output[0].type.tensor_type.shape.dim[1].dim_value
