"""What is trained: one file for each family of tasks, with its model, data, loss and metrics."""
