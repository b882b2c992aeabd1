"""What options become: optimizers and their schedules, quantizers, callbacks."""
