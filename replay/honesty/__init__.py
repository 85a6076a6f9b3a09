"""
Honesty: the whole learning pipeline on markets whose truth is known.

    experiment  what an experiment is given, and the row that it makes
    lab         the pipeline itself: rows, attempts, out-of-sample scores, profit
    noise       (a) nothing to find      edge    (b) an edge of known size, (c) the same with its labels shuffled
    leaks       (d) purge and embargo, (e) look-ahead: removed or planted on purpose, and noticed
    study       the experiments in order  plants  defects that make it fail, for tests
    process     the study in a process of its own: networks are trained with torch
"""

from papertape.replay.honesty.experiment import HonestyOptions, HonestyRow
from papertape.replay.honesty.run import run_honesty
from papertape.replay.honesty.study import honesty

__all__ = ["HonestyOptions", "HonestyRow", "honesty", "run_honesty"]
