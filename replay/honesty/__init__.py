"""
Honesty: the whole learning pipeline on markets whose truth is known.

    experiment study  what an experiment is given and makes; the experiments in order
    pipeline          rows, attempts, out-of-sample scores, profit: the parts that a replay has
    noise edge        (a) nothing to find; (b) an edge of known size, (c) the same with its labels shuffled
    leaks             (d) purge and embargo, (e) look-ahead: removed or planted, and noticed
    signals          (g) models about a strategy's own signals
    recipe           (f) evidence over years: noise, an edge, an edge that ends
    defects patched   defects that make the study fail, and how a part of the pipeline is replaced for a while
    run worker        the study in a process of its own, and that process
"""

from papertape.replay.honesty.experiment import HonestyOptions, HonestyRow
from papertape.replay.honesty.run import run_honesty
from papertape.replay.honesty.study import honesty

__all__ = ["HonestyOptions", "HonestyRow", "honesty", "run_honesty"]
