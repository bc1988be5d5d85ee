"""Sequence models that learn by gradient (extra ``neural``). PyTorch trains them, NumPy and ONNX Runtime serve them.

``sequences``, ``served`` and ``vectors`` need no PyTorch; a recipe's own file does, and is imported only to train.
"""
