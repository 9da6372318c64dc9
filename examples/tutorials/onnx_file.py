"""You have an ONNX file: certified as it is, from the command line or from Python.

Needs onnx (to write the file of this example) and onnxruntime.

python examples/tutorials/onnx_file.py (about 5 seconds)
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression

import sfumato as sf

data = sf.load_dataset("digits")
pixels = data.train.x.reshape(len(data.train), -1)
noisy = pixels + np.random.default_rng(0).normal(0, 0.3, pixels.shape)
linear = LogisticRegression(max_iter=300).fit(noisy, data.train.y)

# images in, scores out: what an export of your network looks like
weights = {"weights": linear.coef_.T.astype(np.float32), "bias": linear.intercept_.astype(np.float32)}
graph = helper.make_graph(
    [
        helper.make_node("Flatten", ["images"], ["rows"]),
        helper.make_node("MatMul", ["rows", "weights"], ["products"]),
        helper.make_node("Add", ["products", "bias"], ["scores"]),
    ],
    "digits",
    [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 1, 8, 8])],
    [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])],
    [numpy_helper.from_array(array, name) for name, array in weights.items()],
)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), "digits.onnx")

# the same: sfumato certify --model digits.onnx --data digits --beta 0.3 --plan "decide(0.2)" --out onnx.tsv
smoothed = sf.SmoothedClassifier(sf.from_onnx("digits.onnx"), beta=0.3)
certificates = smoothed.certify(data.test.x[:60], plan="decide(0.2)", labels=data.test.y[:60])
certificates.to_tsv("onnx.tsv")
print("certified accuracy,", certificates.accuracy([0.2]))
