"""Engines that solve many trials together: each gives the answers of solving them one by one, to a stated tolerance."""
