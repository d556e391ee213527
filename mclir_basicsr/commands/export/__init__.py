"""``mclir export``: a trained network for others: weights, model card, ONNX."""
