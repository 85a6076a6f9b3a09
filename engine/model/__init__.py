"""
Models: from features at a close to a calibrated probability that the price rises.

    artefact record     weights and where they come from, as one value of bytes
    kinds               the table of kinds, and the one kernel that runs them; a file for each, with its equations
    functions           exp, sigmoid and tanh, the same bits everywhere
    current recent      the model in force, its state and the swap; the newest rows, with which it is warmed up
    predictions         what it said at each close, as records
    inputs dataset      what models read unless told otherwise; rows to learn from
    labels parts        what is learnt, and which rows may be learnt from
    options train       how a model is trained, and the way from rows to an artefact
    prepare newton network     rows as a fit takes them, and the two ways to fit
    calibrate scores importance reference measure    what the record says of a model
    gate verdict bootstrap     whether a challenger may take over, on rows that nobody has seen
    drift drift_detectors drift_policy psi    whether the world is still that of the training, and what follows if not
"""

from papertape.engine.model.artefact import Artefact, read_artefact, with_version, write_artefact
from papertape.engine.model.dataset import Dataset
from papertape.engine.model.inputs import MODEL_FEATURES, STRUCTURE_INPUTS, default_inputs
from papertape.engine.model.kinds import KINDS
from papertape.engine.model.record import ModelRecord
from papertape.engine.model.training.options import TrainingOptions
from papertape.engine.model.training.train import Trained, train

__all__ = [
    "KINDS",
    "MODEL_FEATURES",
    "STRUCTURE_INPUTS",
    "Artefact",
    "Dataset",
    "ModelRecord",
    "Trained",
    "TrainingOptions",
    "default_inputs",
    "read_artefact",
    "train",
    "with_version",
    "write_artefact",
]
