"""
Models: from features at a close to a calibrated probability that the price rises.

    artefact record     weights and where they come from, as one value of bytes
    kinds               the table of kinds, and a file for each, with its equations
    inputs dataset      what models read unless told otherwise; rows to learn from
    training            from rows to an artefact
    relevance           which inputs a model needs
    inference           the model in force
    gate                whether a challenger may take over
    drift               whether the world is still that of the training
    functions           exp, sigmoid and tanh, the same bits everywhere
    scores calibrate buckets   how good probabilities were; made honest; by how sure they were
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
