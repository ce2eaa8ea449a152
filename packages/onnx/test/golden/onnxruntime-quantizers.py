"""Codes that onnxruntime's own quantizers make of two small weights.

    pip install onnxruntime==1.30.0 onnx==1.23.1 onnx-ir sympy
    python packages/onnx/test/golden/onnxruntime-quantizers.py > packages/onnx/test/golden/onnxruntime-quantizers.json
"""

import json, logging, os, tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

logging.disable(logging.CRITICAL)


def weight(rows, columns):
    """Uneven columns, one of zeros, one that is never negative, one never positive, some halves of a step."""
    i = np.arange(rows * columns)
    w = ((i * 7919 + 13) % 1009 / 1009 - 0.37) * (1 + i % columns) / 3
    w = w.reshape(rows, columns)
    w[:, 2] = 0
    w[:, 3] = np.abs(w[:, 3])
    w[:, 4] = -np.abs(w[:, 4])
    w[:, 5] = np.arange(rows) * 0.5 - 5
    w[0, 5] = 127
    w[1, 5] = -127
    return w.astype(np.float32)


def model(w, table):
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "ids"], ["x"], "look"),
            helper.make_node("MatMul", ["x", "w"], ["y"], "work"),
        ],
        "golden",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", w.shape[1]])],
        [numpy_helper.from_array(w, "w"), numpy_helper.from_array(table, "table")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def content(tensor):
    return numpy_helper.to_array(tensor).reshape(-1).tolist()


w, table = weight(40, 10), weight(7, 40)
cases = []
with tempfile.TemporaryDirectory() as folder:
    source, target = os.path.join(folder, "a.onnx"), os.path.join(folder, "b.onnx")
    onnx.save(model(w, table), source)
    for weight_type, name in ((QuantType.QInt8, "int8"), (QuantType.QUInt8, "uint8")):
        for per_channel in (False, True):
            for reduce_range in (False, True):
                quantize_dynamic(source, target, weight_type=weight_type, per_channel=per_channel, reduce_range=reduce_range)
                found = {t.name: content(t) for t in onnx.load(target).graph.initializer}
                options = {"weightType": name, "perChannel": per_channel, "reduceRange": reduce_range}
                cases.append({"dynamic": options, "constants": found})
    for bits in (4, 8):
        for symmetric in (True, False):
            quantizer = MatMulNBitsQuantizer(onnx.load(source), bits=bits, block_size=16, is_symmetric=symmetric)
            quantizer.process()
            graph = quantizer.model.model.graph
            node = next(n for n in graph.node if n.op_type == "MatMulNBits")
            held = {t.name: t for t in graph.initializer}
            found = [content(held[name]) for name in node.input[1:] if name]
            cases.append({"blocks": {"bits": bits, "blockSize": 16, "symmetric": symmetric}, "constants": found})
print(json.dumps({"weight": w.reshape(-1).tolist(), "table": table.reshape(-1).tolist(), "cases": cases}))
