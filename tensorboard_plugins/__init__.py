"""Plugins of TensorBoard. They import neither Keras nor TensorFlow."""
