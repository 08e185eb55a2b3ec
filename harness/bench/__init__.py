"""A bench of phones that may fail at any moment.

`bench_file` says which phones there are, `pool` leases one that is fit, `attempts` repeats
on another what failed for the bench's sake, `ledger` remembers which phone gave trouble,
`recovery` brings one back, `evidence` keeps what a failed run can still tell.
"""
