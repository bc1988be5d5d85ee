"""Sequence models that learn by gradient (extra ``neural``). PyTorch trains them; what is served is NumPy and ONNX Runtime.

``sequences``, ``served`` and ``vectors`` need no PyTorch; a recipe's own file does, and is imported only to train.
"""
