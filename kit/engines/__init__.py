"""TensorRT engines (plans): what is built from, with what options, where, and what was seen of the result."""
