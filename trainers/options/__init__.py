"""What a configuration may say, each thing once; nothing here imports TensorFlow or Keras."""
