"""A small detector of handwritten digits: scenes, network, training, export and evaluation."""
