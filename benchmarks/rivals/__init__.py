"""The networks of the trainers in PyTorch, with the usual loop: a file for each family.

Each has the batches, the augmentation, the losses and the optimizer of a setting of ours, and as
many weights. What of an input pipeline is vectorised there is vectorised here.
"""
