"""The benchmarks of PFHub (https://pages.nist.gov/pfhub): each against a converged run and the community's curves."""
