"""Sweeps: a frozen grid of trials, run by any number of workers, each trial recorded once.

`grid` says which trials there are, `store` keeps what is known of them on disk, `worker` runs them
one after the other, and `pool` and `engines` start workers, here and on other machines. The program
is `python -m trainers.sweep`.
"""
